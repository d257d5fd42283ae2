"""What a Content-Security-Policy says of a page."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def own_scripts(page: str) -> str:
    """Those that stand in the page, each named by its hash."""
    return " ".join(
        "'sha256-" + b64encode(sha256(script.encode()).digest()).decode() + "'"
        for script in _INLINE_SCRIPT.findall(page)
    )
