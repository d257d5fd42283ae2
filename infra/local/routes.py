"""Which route answers a path: a literal beats a parameter, a parameter beats `{proxy+}`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from infra.local.template import Route


@dataclass
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameters: dict[str, "_Node"] = field(default_factory=dict)
    greedy: dict[str, dict[str, Route]] = field(default_factory=dict)
    methods: dict[str, Route] = field(default_factory=dict)


class RouteTable:
    """All routes of an API."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            methods: dict[str, Route] | None = None
            for segment in _segments(route.path):
                if segment.startswith("{") and segment.endswith("+}"):
                    methods = node.greedy.setdefault(segment[1:-2], {})
                elif segment.startswith("{") and segment.endswith("}"):
                    node = node.parameters.setdefault(segment[1:-1], _Node())
                else:
                    node = node.literals.setdefault(segment, _Node())
            (node.methods if methods is None else methods)[route.method] = route

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route, and its path parameters as they stand in the path, still encoded.

        The most specific resource answers, or nothing: one that lacks the method is not passed
        over for a more general one.
        """
        segments = _segments(path)
        # API Gateway takes no notice of one slash at the end.
        if len(segments) > 1 and not segments[-1]:
            segments.pop()
        found = _match(self._root, segments, 0)
        if found is None:
            return None
        methods, parameters = found
        route = methods.get(method) or methods.get("ANY")
        return None if route is None else (route, dict(parameters))


def _segments(path: str) -> list[str]:
    return [] if path == "/" else path.removeprefix("/").split("/")


def _match(
    node: _Node, segments: list[str], position: int
) -> tuple[dict[str, Route], tuple[tuple[str, str], ...]] | None:
    if position == len(segments):
        return (node.methods, ()) if node.methods else None
    segment = segments[position]
    literal = node.literals.get(unquote(segment))
    if literal is not None and (found := _match(literal, segments, position + 1)):
        return found
    if segment:
        for name, child in node.parameters.items():
            if found := _match(child, segments, position + 1):
                return found[0], ((name, segment), *found[1])
    for name, methods in node.greedy.items():
        return methods, ((name, "/".join(segments[position:])),)
    return None
