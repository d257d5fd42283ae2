"""The Image Management API's own code, shared by its functions as a Lambda layer."""
