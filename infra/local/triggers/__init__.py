"""What invokes functions besides HTTP: queues, schedules, custom resources.

`running` holds those of a template. `event_source` polls a queue, for functions here or behind
another Lambda API (`lambda_endpoint`).
"""
