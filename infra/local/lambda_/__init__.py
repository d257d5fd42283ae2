"""Lambda, locally.

`functions` runs those of a template, each in a `pool` of environments. An `environment` is AWS's
emulator around AWS's runtime (`launch`, `rie`, `output`), on one Python (`interpreter`) and
installed code (`artifacts`). `invoke_api` lets people and SDKs in.
"""
