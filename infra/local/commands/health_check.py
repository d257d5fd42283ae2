"""Whether the API of a running local cloud is healthy: what a container's health check asks.

python -m infra.local.commands.health_check
"""

import sys
import urllib.error
import urllib.request

from infra.local.settings import read_settings

_TIMEOUT_SECONDS = 8


def main() -> int:
    """The exit status: 0 when /health answers 200; else 1, with the reason on standard output."""
    state = read_settings().running_cloud() or {}
    if "api_url" not in state:
        print("not up yet")
        return 1
    url = f"{state['api_url']}/health"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - our own URL
            return 0
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace"))
    except OSError as error:
        print(error)
    return 1


if __name__ == "__main__":
    sys.exit(main())
