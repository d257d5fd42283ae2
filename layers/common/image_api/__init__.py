"""The Image Management API's own code, shared by its functions as a Lambda layer."""

# The one place that says it; pyproject.toml and the OpenAPI document read it here.
__version__ = "1.0.0"
