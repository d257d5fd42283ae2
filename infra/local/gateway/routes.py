"""Which route answers a path: a literal beats a parameter, a parameter beats `{proxy+}`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from infra.local.template.model import Route


@dataclass
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameters: dict[str, "_Node"] = field(default_factory=dict)
    greedy: dict[str, dict[str, Route]] = field(default_factory=dict)
    methods: dict[str, Route] = field(default_factory=dict)


class RouteTable:
    """All routes of an API. REST APIs take no notice of one slash at the end, HTTP APIs do."""

    def __init__(self, routes: Iterable[Route], *, ignores_last_slash: bool = True) -> None:
        self._ignores_last_slash = ignores_last_slash
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

        Of the resources that have the method, or ANY, the most specific one answers: one that
        lacks the method is passed over for a more general one.
        """
        segments = _segments(path)
        if self._ignores_last_slash and len(segments) > 1 and not segments[-1]:
            segments.pop()
        found = _match(self._root, segments, 0, method)
        return None if found is None else (found[0], dict(found[1]))


def _segments(path: str) -> list[str]:
    return [] if path == "/" else path.removeprefix("/").split("/")


def _match(
    node: _Node, segments: list[str], position: int, method: str
) -> tuple[Route, tuple[tuple[str, str], ...]] | None:
    if position == len(segments):
        route = _of_method(node.methods, method)
        return None if route is None else (route, ())
    segment = segments[position]
    literal = node.literals.get(unquote(segment))
    if literal is not None and (found := _match(literal, segments, position + 1, method)):
        return found
    if segment:
        for name, child in node.parameters.items():
            if found := _match(child, segments, position + 1, method):
                return found[0], ((name, segment), *found[1])
    for name, methods in node.greedy.items():
        if route := _of_method(methods, method):
            return route, ((name, "/".join(segments[position:])),)
    return None


def _of_method(methods: Mapping[str, Route], method: str) -> Route | None:
    return methods.get(method) or methods.get("ANY")
