"""API Gateway, locally: REST APIs in `rest_api`, HTTP APIs in `http_api`, here what both share.

`serving` has the gateway for an API, `request` reads what came, `routes` finds what answers it,
`authorizers` say who may pass, `event` is what a function is invoked with, `invoking` waits for it,
`answer` is what it says.
"""
