"""multipart/form-data (RFC 7578), read strictly, and in the time of its bytes.

Powertools' own reader takes a preamble for a part, finds a delimiter inside a line, and a part's
name inside `filename="..."`; Python's `email` counts all quotes anew for each semicolon.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from aws_lambda_powertools.event_handler.openapi.params import UploadFile

MAX_PARTS = 100
MAX_PART_HEADERS_BYTES = 16 * 1024
CHARSET_FIELD = "_charset_"
"""Not a field, but what says in which charset the others are (RFC 7578, 4.6)."""

Value = UploadFile | str

_HEADER = "Content-Type"
_MAX_PARAMETERS = 32

# A semicolon, a name, and perhaps a value, which may stand in quotes; nothing is tried twice.
_PARAMETER = re.compile(
    r';[ \t]*+([^\s=;"]++)[ \t]*+(?:=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^;]*+)))?', re.DOTALL
)
_ESCAPED = re.compile(r'\\(["\\])')
_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "latin1": "iso-8859-1",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "shift_jis": "shift_jis",
    "windows-31j": "cp932",
    "euc-jp": "euc_jp",
    "euc-kr": "euc_kr",
    "gb2312": "gb2312",
    "gbk": "gbk",
    "gb18030": "gb18030",
    "big5": "big5",
    "koi8-r": "koi8_r",
    **{f"iso-8859-{part}": f"iso8859_{part}" for part in (*range(1, 12), *range(13, 17))},
    **{f"windows-{page}": f"cp{page}" for page in range(1250, 1259)},
}


class MalformedForm(ValueError):
    """What is wrong with a form, in words; `field` is the header or the field whose fault it is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class _Part(NamedTuple):
    name: str
    filename: str | None
    content_type: str | None
    content: bytes


def parse(
    body: bytes,
    content_type: str,
    files: Collection[str] = ("image",),
    texts: Collection[str] | None = None,
) -> dict[str, Value | list[Value]]:
    """By name, a list where a name repeats; those in `files` are files, all others texts,
    whatever headers their parts have. Where `texts` are named, others are empty: their content may
    be anything. Raises MalformedForm."""
    parts = list(_parts(body, _boundary(content_type)))
    default = next(
        (
            part.content.decode("ascii", "replace").strip()
            for part in (_part(part) for part in parts)
            if part.name == CHARSET_FIELD
        ),
        "utf-8",
    )
    fields: dict[str, Value | list[Value]] = {}
    for part in (_part(part, _CHARSETS.get(default.lower(), "utf-8")) for part in parts):
        if part.name == CHARSET_FIELD:
            continue
        _require_readable(part)
        value: Value = ""
        if part.name in files:
            value = _file(part)
        elif texts is None or part.name in texts:
            value = _text(part, default)
        before = fields.get(part.name)
        if before is None:
            fields[part.name] = value
        else:
            fields[part.name] = [*before, value] if isinstance(before, list) else [before, value]
    return fields


def _boundary(content_type: str) -> bytes:
    boundary = dict(_parameters(content_type)).get("boundary", "")
    if not boundary.strip() or not boundary.isascii():
        raise MalformedForm(
            "The Content-Type has no boundary; let your client set this header",
            _HEADER,
        )
    return boundary.encode("ascii")


def _parts(body: bytes, boundary: bytes) -> Iterator[bytes]:
    # Every delimiter begins a line; the first one may begin the body.
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 1)
    if not parts or parts[0].startswith(b"\n"):
        raise _without_delimiters(body, boundary)
    for part in parts[:MAX_PARTS]:
        if part.startswith(b"--"):
            return
        yield part
    if len(parts) > MAX_PARTS:
        if parts[MAX_PARTS].startswith(b"--"):
            return
        raise MalformedForm(f"The form has more than {MAX_PARTS} parts")
    raise MalformedForm("The form is cut off: its last delimiter is missing")


def _without_delimiters(body: bytes, boundary: bytes) -> MalformedForm:
    if not body:
        return MalformedForm("The form is empty")
    if b"--" + boundary + b"\n" in body[:4096]:
        return MalformedForm("The lines of the form end in LF; they must end in CRLF")
    return MalformedForm(
        "The boundary of the Content-Type is not in the form; let your client set this header",
        _HEADER,
    )


def _part(part: bytes, codec: str = "utf-8") -> _Part:
    """Of what follows a delimiter, the rest of whose line is still in front.

    `codec` is the form's; what it cannot read is left as lone surrogates.
    """
    lines, blank_line, content = part.partition(b"\r\n\r\n")
    padding, _, header_lines = lines.partition(b"\r\n")
    if len(header_lines) > MAX_PART_HEADERS_BYTES:
        raise MalformedForm(
            f"The headers of a part have more than {MAX_PART_HEADERS_BYTES // 1024} KB"
        )
    if padding.strip(b" \t") or not blank_line:
        raise MalformedForm("A part of the form has no readable headers")
    # Delimited by characters of ASCII, which UTF-16 has in other bytes.
    header_codec = "utf-8" if codec.startswith("utf-16") else codec
    headers = _headers(header_lines.decode(header_codec, "surrogateescape"))
    parameters = dict(_parameters(headers.get("content-disposition", "")))
    name = _extended(parameters.get("name*")) or parameters.get("name")
    if name is None:
        raise MalformedForm("A part of the form has no name in its Content-Disposition")
    filename = _extended(parameters.get("filename*"))
    if filename is None:
        filename = _without_encoded_words(parameters.get("filename"))
    return _Part(name, filename, headers.get("content-type"), content)


def _headers(lines: str) -> dict[str, str]:
    """The first of each name, in lower case; a line that begins with a space goes on."""
    headers: dict[str, str] = {}
    unfolded = re.sub(r"\r\n[ \t]", " ", lines)
    for line in reversed(unfolded.split("\r\n")):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers


def _parameters(header: str) -> Iterator[tuple[str, str]]:
    """Names, in lower case, and values; the first of each name comes last."""
    found = list(itertools.islice(_PARAMETER.finditer(header), _MAX_PARAMETERS + 1))
    if len(found) > _MAX_PARAMETERS:
        raise MalformedForm("A header of the form has too many parameters")
    for match in reversed(found):
        name, quoted, plain = match.groups()
        value = (plain or "").strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        yield name.lower(), value


def _extended(value: str | None) -> str | None:
    """A value with its charset (RFC 8187); none where the charset is not known."""
    if value is None:
        return None
    charset, _, rest = value.partition("'")
    codec = _CHARSETS.get(charset.strip().lower())
    if codec is None:
        return None
    return unquote_to_bytes(rest.partition("'")[2]).decode(codec, "surrogateescape")


def _without_encoded_words(filename: str | None) -> str | None:
    """A name as mail programs write one that is not ASCII (RFC 2047), which some clients send."""
    if filename is None or not (filename.startswith("=?") and filename.endswith("?=")):
        return filename
    # Imported here: hardly anybody does.
    from email.errors import HeaderParseError
    from email.header import decode_header, make_header

    try:
        return str(make_header(decode_header(filename)))
    except (HeaderParseError, LookupError, ValueError):
        return filename


def _require_readable(part: _Part) -> None:
    if _is_unreadable(part.name):
        raise MalformedForm("A name in the form is not UTF-8")
    if _is_unreadable(part.filename or ""):
        raise MalformedForm("The name of this file is not UTF-8, nor in its charset", part.name)


def _is_unreadable(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _file(part: _Part) -> UploadFile:
    # A name is a hint (RFC 7578, 4.2), and some clients send none.
    return UploadFile(
        content=part.content, filename=part.filename or "", content_type=part.content_type
    )


def _text(part: _Part, default_charset: str) -> str:
    parameters = dict(_parameters(part.content_type or ""))
    charset = parameters.get("charset", default_charset).strip()
    codec = _CHARSETS.get(charset.lower())
    if codec is None:
        raise MalformedForm("The charset of this field is not known; send UTF-8", part.name)
    try:
        return part.content.decode(codec)
    except UnicodeDecodeError as error:
        raise MalformedForm(
            f"This text is not {'UTF-8' if codec == 'utf-8' else 'in its charset'}", part.name
        ) from error
