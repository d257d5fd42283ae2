"""What an HTTP API says to pages of other origins, in place of whatever its functions say."""

from multidict import CIMultiDict

from infra.local.template.model import Cors

_PREFIX = "access-control-"


def is_preflight(method: str, headers: dict[str, list[str]]) -> bool:
    """Whether a browser asks what a page may send."""
    names = {name.lower() for name in headers}
    return method == "OPTIONS" and {"origin", "access-control-request-method"} <= names


def add_cors(headers: CIMultiDict[str], cors: Cors, origin: str, *, is_preflight: bool) -> None:
    """For an origin that is not allowed, nothing is said."""
    for name in [name for name in headers if name.lower().startswith(_PREFIX)]:
        headers.popall(name, None)
    allowed = _allowed_origin(cors, origin)
    if allowed is None:
        return
    headers["Access-Control-Allow-Origin"] = allowed
    if cors.allow_credentials:
        headers["Access-Control-Allow-Credentials"] = "true"
    if not is_preflight:
        _add_list(headers, "Access-Control-Expose-Headers", cors.expose_headers)
        return
    _add_list(headers, "Access-Control-Allow-Methods", cors.allow_methods)
    _add_list(headers, "Access-Control-Allow-Headers", cors.allow_headers)
    if cors.max_age_seconds is not None:
        headers["Access-Control-Max-Age"] = str(cors.max_age_seconds)


def _allowed_origin(cors: Cors, origin: str) -> str | None:
    if not origin:
        return None
    if "*" in cors.allow_origins:
        return "*"
    scheme = origin.partition("://")[0]
    return origin if {origin, f"{scheme}://*"} & set(cors.allow_origins) else None


def _add_list(headers: CIMultiDict[str], name: str, values: tuple[str, ...]) -> None:
    if values:
        headers[name] = ",".join(values)
