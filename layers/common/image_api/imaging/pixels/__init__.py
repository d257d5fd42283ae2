"""Decoding, scaling and encoding, by Pillow and pillow_heif: nothing else imports these two."""
