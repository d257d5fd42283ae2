"""template.yaml as the local cloud understands it."""
