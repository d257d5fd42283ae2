"""template.yaml as the local cloud understands it.

`reader` is the way in and `model` what comes out. In between SAM translates (`translation`),
references become values (`resources`, `intrinsics`), and each kind of thing is read.
"""
