"""`python -m image_api_client` is `images`."""

from image_api_client.cli import main

main()
