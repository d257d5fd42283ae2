"""What a file says of itself, read without decoding a pixel; one module for each format.

A module has one generator of the format's parts (segments, chunks, blocks, boxes), which checks
that they lie within the file. `header` reads them and copies none; `clean_parts` says which stay.
"""
