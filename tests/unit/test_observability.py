"""What an operator finds in the log: each line says whose it is; what escapes is a line as well."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest

from image_api.core.renditions import renderer
from image_api.core.renditions.on_demand import (
    FoundRendition,
    RenditionKey,
    RenditionsOnDemand,
    Viewer,
    asked_for,
)
from image_api.core.renditions.render_requests import (
    Picture,
    Renderings,
    StillRendering,
    render_request,
)
from image_api.core.tracing import Origin
from image_api.errors import RenditionUnderWay, ServiceUnavailable
from image_api.observability import failures_logged
from tests import samples
from tests.application import LambdaContext
from tests.fakes import FakeStorage
from tests.log_lines import log_lines
from tests.unit.core.consumer_bench import Bench, FakeRenderer, away, use_fake_pixels

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ORIGIN = Origin("request-7", f"00-{TRACE}-0012345678901234-01")
ORIGINAL = "storage/6f1c/original.png"


def test_whatever_escapes_a_function_is_one_line_and_goes_on() -> None:
    error = KeyError("odd")

    @failures_logged
    def handler(_event: dict[str, Any], _context: Any) -> None:
        raise error

    context: Any = LambdaContext()
    with log_lines() as lines, pytest.raises(KeyError) as raised:
        handler({}, context)
    assert raised.value is error
    (line,) = lines
    assert (line["level"], line["message"]) == ("ERROR", "the function failed")
    assert line["function_name"] == context.function_name
    assert line["request_id"] == context.aws_request_id
    assert line["exception_name"] == "KeyError"
    assert "raise error\nKeyError: 'odd'" in line["exception"]


@pytest.mark.parametrize("away_for", ["nothing", "get", "put"])
def test_a_renderers_lines_are_found_by_the_request_that_asked_for_the_picture(
    away_for: str,
) -> None:
    storage = FakeStorage({ORIGINAL: (samples.png(), "image/png")})
    picture = Picture(ORIGINAL, "storage/6f1c/2-abcd", origin=ORIGIN)
    storage.fault = away(away_for)
    with log_lines() as lines:
        try:
            Renderings(FakeRenderer(storage), FakeRenderer(storage), storage).render(picture)
        except ServiceUnavailable:
            assert away_for != "nothing"
    # One at its beginning, as a process that is ended writes none at its end.
    levels = ["INFO"] if away_for == "nothing" else ["INFO", "WARNING"]
    assert [line["level"] for line in lines] == levels
    assert {(line["correlation_id"], line["trace_id"]) for line in lines} == {("request-7", TRACE)}


def test_a_renderers_crash_is_found_by_the_request_that_asked_for_the_picture() -> None:
    def out_of_memory(*_: str) -> None:
        raise MemoryError

    storage = FakeStorage({ORIGINAL: (samples.png(), "image/png")}, fault=out_of_memory)
    picture = Picture(ORIGINAL, "storage/6f1c/2-abcd", origin=ORIGIN)
    task = render_request(picture, FakeRenderer(storage), 1e12)

    @failures_logged
    def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        return renderer.run(event, FakeRenderer(storage), lambda: 60)

    context: Any = LambdaContext()
    with log_lines() as lines, pytest.raises(MemoryError):
        handler(json.loads(json.dumps(task)), context)
    first, failed = lines
    assert (failed["message"], failed["correlation_id"]) == ("the function failed", "request-7")
    # By which the lines are found that the runtime writes.
    assert first["request_id"] == failed["request_id"] == context.aws_request_id


def test_a_rendition_on_demand_is_found_by_the_request_for_it() -> None:
    key = RenditionKey(7, 64, "", "webp")
    records, renderings, nobody = Mock(), Mock(), Mock()
    records.find.return_value = FoundRendition(key, "photo", "ready", True, False, ORIGINAL)
    renderings.render.side_effect = StillRendering
    viewer = Viewer("203.0.113.7", user_id=7, origin=ORIGIN)
    on_demand = RenditionsOnDemand(records, nobody, renderings, nobody)
    with pytest.raises(RenditionUnderWay):
        on_demand.answer(viewer, 7, asked_for(64, None, "webp", None))
    (picture, _) = renderings.render.call_args.args
    assert picture.origin == ORIGIN


def test_a_renderer_takes_what_the_version_before_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_pixels(monkeypatch)
    bench = Bench()
    invoke, asked = bench.renderer.invoke, []

    def as_before(payload: bytes, wait_seconds: float) -> bytes:
        task = json.loads(payload)
        asked.append((task.pop("correlation_id"), task.pop("traceparent")))
        return invoke(json.dumps(task).encode(), wait_seconds)

    monkeypatch.setattr(bench.renderer, "invoke", as_before)
    upload = bench.accept_upload()
    with log_lines() as lines:
        assert bench.process(upload) == {"applied": 1}
    assert asked == [(upload.correlation_id, upload.traceparent)]
    # And says nothing of the request of the picture before.
    assert "correlation_id" not in lines[0]
    bench.consumer.close()


def test_a_change_that_is_given_up_is_a_warning_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_fake_pixels(monkeypatch)
    bench = Bench()
    good, damaged = bench.accept_upload(), bench.accept_upload(b"damaged", user_id=2)
    with log_lines() as lines:
        assert bench.process(good, damaged) == {"applied": 1, "dead": 1}
    ended = {line["event_id"]: line for line in lines if line["message"] == "attempt ended"}
    assert ended[good.id]["level"] == "INFO"
    dead = ended[damaged.id]
    assert (dead["level"], dead["outcome"]) == ("WARNING", "dead")
    assert dead["reason"] == "The image is damaged"
    assert (dead["image_id"], dead["correlation_id"], dead["attempt"]) == (
        *(damaged.image_id, damaged.correlation_id),
        1,
    )
    bench.consumer.close()
