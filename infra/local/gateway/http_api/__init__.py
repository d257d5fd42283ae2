"""API Gateway's HTTP APIs.

`server` has the way of a request: `request` reads it, `events` are what functions are invoked with,
`answer` is what they say, `cors` what is said to pages of other origins, `authorization` who may
pass.
"""
