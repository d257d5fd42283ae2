"""API Gateway, locally.

`server` has the way of a request: `request` reads it, `routes` finds what answers, `event` is what
a function is invoked with, `answer` is what it says. Without a function, `mock` answers (CORS
preflights too) and `gateway_responses` refuse; `mapping` fills in what the template says for both.
"""
