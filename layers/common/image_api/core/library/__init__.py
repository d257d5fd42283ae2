"""Images as people see and change them: uploads, edits, lists, the trash."""
