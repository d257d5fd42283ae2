"""What `python -m infra.local` does besides running the cloud, one module a command."""
