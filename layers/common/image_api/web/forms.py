"""multipart/form-data (RFC 7578), read strictly.

Powertools' own reader takes a preamble for a part, finds a delimiter inside a line, and a part's
name inside `filename="..."`.
"""

from __future__ import annotations

from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value

from aws_lambda_powertools.event_handler.openapi.params import UploadFile

MAX_PARTS = 100
MAX_PART_HEADERS_BYTES = 16 * 1024

Value = UploadFile | str


def parse(body: bytes, content_type: str) -> dict[str, Value | list[Value]]:
    """Files and texts by name, a list where a name repeats; raises ValueError for a broken form."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = (message.get_boundary() or "").encode()
    if not boundary.strip():
        raise ValueError("The content type has no boundary")
    fields: dict[str, Value | list[Value]] = {}
    # Every delimiter begins a line; the first one may begin the body.
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 1)
    for part in parts:
        if part.startswith(b"--"):
            return fields
        name, value = _field(part)
        if name is not None:
            before = fields.get(name)
            if before is None:
                fields[name] = value
            else:
                fields[name] = [*before, value] if isinstance(before, list) else [before, value]
    raise ValueError("The form has no end, or too many parts")


def _field(part: bytes) -> tuple[str | None, Value]:
    """Name and value of what follows a delimiter, the rest of whose line is still in front."""
    lines, blank_line, content = part.partition(b"\r\n\r\n")
    padding, _, headers = lines.partition(b"\r\n")
    if padding.strip(b" \t") or not blank_line or len(headers) > MAX_PART_HEADERS_BYTES:
        raise ValueError("A part has no readable headers")
    message = HeaderParser().parsestr(headers.decode("utf-8", "replace"))
    name, filename = _parameter(message, "name"), _parameter(message, "filename")
    if filename is not None:
        return name, UploadFile(
            content=content, filename=filename, content_type=message.get("Content-Type")
        )
    return name, content.decode("utf-8")


def _parameter(message: Message, name: str) -> str | None:
    value = message.get_param(name, header="Content-Disposition")
    return None if value is None else collapse_rfc2231_value(value)
