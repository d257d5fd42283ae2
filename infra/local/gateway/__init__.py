"""API Gateway, locally."""
