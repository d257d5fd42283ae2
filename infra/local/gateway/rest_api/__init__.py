"""API Gateway's REST APIs.

`server` has the way of a request, `authorization` and `validation` say which ones pass. Without a
function, `mock_integrations` answer (a browser's CORS preflight too) and `gateway_responses`
refuse; `mapping` fills in what the template says for both.
"""
