"""Where the objects of images lie in the bucket.

    incoming/<user>/<upload>                what a direct upload sent, until it is completed
    storage/<image>/original.<extension>    as it was uploaded
    storage/<image>/<change>-<attempt>/     what an attempt of a change has made of it
    storage/<image>/on-demand/<claim>/      a rendition that somebody asked for

`<image>` is random, and another one once the image has been hidden.
"""

from __future__ import annotations

import hashlib
import secrets

STORED = "storage/"
# Behind every key that lies there.
LAST_STORED = "storage/~"
_ON_DEMAND = "/on-demand/"


def incoming(user_id: int, upload_id: str) -> str:
    return f"incoming/{user_id}/{upload_id}"


def new_original(extension: str) -> str:
    return f"{STORED}{secrets.token_hex(16)}/original.{extension}"


def image_folder(original_key: str) -> str:
    """Where everything of one image lies, with a slash at the end."""
    return original_key.rpartition("/")[0] + "/"


def other_image_folder(original_key: str) -> str:
    """Nobody's yet."""
    return _beside(original_key, secrets.token_hex(16))


def image_folder_after(event_id: str, original_key: str) -> str:
    """The same for each attempt of that change; nobody can tell it from what they know of the old
    one.
    """
    return _beside(original_key, hashlib.sha256(f"{original_key} {event_id}".encode()).hexdigest())


def attempts(original_key: str, sequence: int) -> str:
    """How the folders of all attempts of a change begin."""
    return f"{image_folder(original_key)}{sequence}-"


def new_attempt(original_key: str, sequence: int) -> str:
    """No two attempts write to the same keys: a late renderer overwrites nothing. No slash at the
    end.
    """
    return attempts(original_key, sequence) + secrets.token_hex(4)


def on_demand(source_key: str, claim_id: str) -> str:
    """Follows from the claim, so that whoever comes later finds it; beside whatever of the image
    it is made of. No slash at the end.
    """
    stored, image, *_ = source_key.split("/")
    return f"{stored}/{image}{_ON_DEMAND}{claim_id}"


def is_on_demand(key: str) -> bool:
    return _ON_DEMAND in key


def _beside(original_key: str, name: str) -> str:
    return f"{image_folder(original_key)[:-1].rpartition('/')[0]}/{name[:32]}/"
