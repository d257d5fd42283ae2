"""`images`: the command line."""

from image_api_client.cli.commands import main

__all__ = ["main"]
