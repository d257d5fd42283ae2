"""What both clients do with a request: retries, tokens, uploads and pages."""

from __future__ import annotations

import inspect
import io
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_api_client import (
    AsyncClient,
    Client,
    Conflict,
    FileTokenStore,
    ImageChanges,
    Invalid,
    ListQuery,
    MemoryTokenStore,
    NotFound,
    NotSignedIn,
    Patience,
    ProcessingFailed,
    ServerError,
    Source,
    StillProcessing,
    Tokens,
    TooManyRequests,
    Unreachable,
    UploadDetails,
)
from image_api_client.images import LARGEST_THROUGH_API_BYTES
from tests.unit.client.api import PreparedApi, image, problem, shown, signed_in, tokens

BROKEN = httpx.ConnectError("refused")
BUSY = problem(503, "service_unavailable")


def test_both_clients_offer_the_same() -> None:
    def offer(client: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name: [
                (parameter.name, parameter.default, parameter.annotation)
                for parameter in inspect.signature(function).parameters.values()
            ]
            for name, function in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_") and not name.endswith("close")
        }

    assert offer(Client) == offer(AsyncClient)


@pytest.mark.parametrize("answer", [BROKEN, BUSY, problem(502, "x"), httpx.Response(504)])
def test_a_request_that_did_not_come_through_is_sent_again(answer: Any) -> None:
    api = PreparedApi(answer, answer, shown())
    assert api.client().get(7).id == 7
    assert len(api.requests) == 3
    api = PreparedApi(answer, answer, shown())
    assert api.awaited(lambda client: client.get(7)).id == 7


def test_the_last_failure_is_the_answer_once_patience_is_over() -> None:
    api = PreparedApi(BUSY)
    with pytest.raises(ServerError) as caught:
        api.client().get(7)
    assert (caught.value.code, len(api.requests)) == ("service_unavailable", 4)
    with pytest.raises(Unreachable, match=r"images\.example"):
        PreparedApi(BROKEN).client().get(7)
    with pytest.raises(Unreachable) as lost:
        PreparedApi(BROKEN).awaited(lambda client: client.get(7))
    assert lost.value.__cause__ is BROKEN


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(404, "image_not_found"), NotFound),
        (problem(415, "unsupported_format"), Invalid),
        (problem(409, "not_ready"), Conflict),
        (problem(429, "too_many_attempts", **{"Retry-After": "3600"}), TooManyRequests),
    ],
)
def test_what_no_patience_would_change_is_raised_at_once(
    answer: httpx.Response, kind: type[Exception]
) -> None:
    api = PreparedApi(answer)
    with pytest.raises(kind, match="No"):
        api.client().get(7)
    assert len(api.requests) == 1


def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    pauses: list[float] = []
    api = PreparedApi(problem(429, "too_much_under_way", **{"Retry-After": "5"}), shown())
    api.client(patience=Patience(first_pause_seconds=0.0), sleep=pauses.append).get(7)
    assert pauses == [5.0]


def test_registering_is_not_repeated_when_its_answer_was_lost() -> None:
    """The second one would be told that the name is taken."""
    api = PreparedApi(httpx.ReadError("reset"), tokens())
    with pytest.raises(Unreachable):
        api.client(MemoryTokenStore()).register("ada", "analytical!engine")
    assert len(api.requests) == 1


def test_each_field_that_is_refused_is_named() -> None:
    body = {
        "detail": "Validation error",
        "code": "validation_error",
        "errors": [{"field": "title", "message": "The title is empty"}],
    }
    with pytest.raises(Invalid, match="title: The title is empty"):
        PreparedApi(httpx.Response(400, json=body)).client().update(7, ImageChanges(title=" "))


def test_a_page_of_a_proxy_is_no_json_and_still_a_clear_error() -> None:
    page = httpx.Response(400, text="<html>nginx</html>")
    with pytest.raises(Invalid, match="The server answered 400"):
        PreparedApi(page).client().get(7)


class TestTokens:
    def test_whoever_is_not_signed_in_is_told_before_anything_is_sent(self) -> None:
        api = PreparedApi(shown())
        with pytest.raises(NotSignedIn):
            api.client(MemoryTokenStore()).get(7)
        assert not api.requests

    def test_a_token_that_has_ended_is_renewed_and_the_request_sent_again(self) -> None:
        store = signed_in()
        api = PreparedApi(problem(401, "unauthenticated"), tokens(2), shown())
        assert api.client(store).get(7).id == 7
        assert api.paths == ["/image/7", "/auth/refresh", "/image/7"]
        assert json.loads(api.requests[1].content) == {"refresh_token": "refresh-1"}
        assert api.requests[2].headers["Authorization"] == "Bearer access-2"
        kept = store.load()
        assert kept is not None and kept.refresh_token == "refresh-2"

    def test_a_token_that_is_about_to_end_is_renewed_beforehand(self) -> None:
        api = PreparedApi(tokens(1, expires_in=10), tokens(2), shown())
        client = api.client(MemoryTokenStore())
        client.sign_in("ada", "analytical!engine")
        client.get(7)
        assert api.paths == ["/auth/login", "/auth/refresh", "/image/7"]

    def test_a_renewal_by_another_process_is_used(self) -> None:
        """Each successor of a token is known to the store that both share."""
        store = signed_in()

        def end(_: httpx.Request) -> httpx.Response:
            store.save(Tokens(access_token="access-9", refresh_token="refresh-9"))
            return problem(401, "unauthenticated")

        api = PreparedApi(end, shown())
        api.client(store).get(7)
        assert api.paths == ["/image/7", "/image/7"]
        assert api.requests[1].headers["Authorization"] == "Bearer access-9"

    def test_a_session_that_cannot_be_renewed_is_over_and_forgotten(self) -> None:
        store = signed_in()
        api = PreparedApi(problem(401, "unauthenticated"), problem(401, "unauthenticated"))
        client = api.client(store)
        with pytest.raises(NotSignedIn, match="sign in again"):
            client.get(7)
        assert store.load() is None and not client.is_signed_in

    def test_signing_out_is_done_here_even_if_the_server_is_away(self) -> None:
        store = signed_in()
        with pytest.raises(Unreachable):
            PreparedApi(BROKEN).client(store).sign_out()
        assert store.load() is None

    def test_a_new_password_goes_on_with_new_tokens(self) -> None:
        store = signed_in()
        PreparedApi(tokens(5)).client(store).change_password("old!", "new!!")
        kept = store.load()
        assert kept is not None and kept.access_token == "access-5"

    def test_a_storage_is_never_shown_a_token(self) -> None:
        api = PreparedApi(httpx.Response(200, content=b"pixels"))
        api.client().download("https://bucket.example/x?sig=1", io.BytesIO())
        assert "Authorization" not in api.requests[0].headers

    def test_a_file_of_tokens_is_its_owners_alone_and_survives_nonsense(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "new" / "tokens.json"
        store = FileTokenStore(path)
        assert store.load() is None
        store.save(Tokens(access_token="a", expires_at=1.5))
        assert store.load() == Tokens(access_token="a", expires_at=1.5)
        assert path.stat().st_mode & 0o777 == 0o600
        assert [each.name for each in path.parent.iterdir()] == ["tokens.json"]
        path.write_text("{")
        assert store.load() is None
        store.save(None)
        store.save(None)
        assert not path.exists()


class TestUploads:
    def test_a_small_file_goes_through_the_api_in_one_form(self) -> None:
        api = PreparedApi(httpx.Response(200, json={"id": 9, "detail": "", "status": "x"}))
        sent: list[int] = []
        details = UploadDetails(title="Lift-off", tags=("a", "b"))
        source = Source.of_bytes(b"pixels" * 20_000, 'the "rocket".jpg')
        assert api.client().upload(source, details, on_progress=sent.append) == 9
        (request,) = api.requests
        assert int(request.headers["Content-Length"]) == len(request.content)
        head, _, rest = request.content.partition(b"Content-Type: application/octet-stream")
        assert b'name="title"\r\n\r\nLift-off\r\n' in head
        assert head.count(b'name="tags"') == 2
        assert b'name="image"; filename="the %22rocket%22.jpg"' in head
        assert rest.startswith(b"\r\n\r\n" + b"pixels" * 20_000 + b"\r\n--")
        assert sent == [65536, 120_000]

    def test_a_large_file_goes_to_the_storage_and_is_completed(self) -> None:
        api = PreparedApi(
            httpx.Response(
                200,
                json={
                    "upload_id": "f" * 32,
                    "url": "https://bucket.example/",
                    "fields": {"key": "incoming/1", "policy": "p"},
                    "max_bytes": 50_000_000,
                    "expires_in_seconds": 900,
                },
            ),
            httpx.Response(204),
            httpx.Response(200, json={"id": 9, "detail": "", "status": "processing"}),
        )
        source = Source.of_bytes(bytes(LARGEST_THROUGH_API_BYTES + 1), "large.tif")
        image_id = api.awaited(
            lambda client: client.upload(source, UploadDetails(tags=("a",)), key="k1")
        )
        assert image_id == 9
        begun, stored, completed = api.requests
        assert stored.url.host == "bucket.example" and "Authorization" not in stored.headers
        assert stored.content.index(b'name="policy"') < stored.content.index(b'name="file"')
        assert completed.url.path == f"/v1/image/direct_upload/{'f' * 32}"
        assert json.loads(completed.content) == {"filename": "large.tif", "tags": ["a"]}
        assert completed.headers["Idempotency-Key"] == "k1"
        assert "Idempotency-Key" not in begun.headers

    def test_a_form_that_is_sent_again_is_whole_and_has_the_same_key(self) -> None:
        api = PreparedApi(httpx.ReadError("reset"), httpx.Response(200, json={"id": 9}))
        api.client().upload(Source.of_bytes(b"pixels", "a.png"))
        first, second = api.requests
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
        assert first.content == second.content

    def test_a_request_that_is_still_running_is_asked_for_again(self) -> None:
        api = PreparedApi(
            problem(409, "request_in_progress", **{"Retry-After": "0"}),
            httpx.Response(200, json={"id": 9}),
        )
        assert api.client().upload(Source.of_bytes(b"pixels", "a.png")) == 9


class TestWaiting:
    def test_it_lasts_until_the_image_is_ready(self) -> None:
        api = PreparedApi(shown(status="processing"), shown())
        assert api.client().wait(7).status == "ready"
        assert [request.url.params["wait"] for request in api.requests] == ["15", "15"]

    def test_a_failure_says_why(self) -> None:
        with pytest.raises(ProcessingFailed, match="cut off"):
            PreparedApi(shown(status="failed", error="cut off")).client().wait(7)

    def test_it_ends_when_the_time_is_over(self) -> None:
        with pytest.raises(StillProcessing):
            PreparedApi(shown(status="processing")).client().wait(7, timeout_seconds=0)


class TestLists:
    def test_every_page_is_read(self) -> None:
        link = '<https://images.example/v1/image/get_all_images?limit=2&cursor=aTI>; rel="next"'
        headers = {"Link": link, "X-Total-Count": "3"}
        api = PreparedApi(
            httpx.Response(200, json=[image(3), image(2)], headers=headers),
            httpx.Response(200, json=[image(1)], headers={"X-Total-Count": "3"}),
        )
        assert [each.id for each in api.client().images()] == [3, 2, 1]
        assert api.requests[1].url.params["cursor"] == "aTI"

    def test_every_page_is_read_by_loops_of_events_too(self) -> None:
        async def ids(client: AsyncClient) -> list[int]:
            return [each.id async for each in client.images()]

        api = PreparedApi(httpx.Response(200, json=[image(1)]))
        assert api.awaited(ids) == [1]

    def test_a_total_that_is_not_exact_says_so(self) -> None:
        headers = {"X-Total-Count": "10000", "X-Total-Count-Relation": "at-least"}
        page = PreparedApi(httpx.Response(200, json=[], headers=headers)).client().page()
        assert (page.total, page.is_total_exact, page.next_cursor) == (10_000, False, None)

    def test_conditions_are_sent_as_the_api_names_them(self) -> None:
        api = PreparedApi(httpx.Response(200, json=[]))
        query = ListQuery(q="sea sun", tag=("a", "b"), owner="me", ids=(1, 2), trashed=True)
        api.client().page(query, limit=10)
        assert sorted(api.requests[0].url.params.multi_items()) == [
            ("ids", "1,2"),
            ("limit", "10"),
            ("owner", "me"),
            ("q", "sea sun"),
            ("tag", "a"),
            ("tag", "b"),
            ("trashed", "true"),
        ]

    def test_a_batch_of_any_size_is_sent_a_hundred_at_a_time(self) -> None:
        def results(request: httpx.Request) -> httpx.Response:
            ids = json.loads(request.content)["ids"]
            return httpx.Response(
                200, json={"results": [{"id": i, "status_code": 200} for i in ids]}
            )

        api = PreparedApi(results)
        changed = api.client().update_all(range(1, 251), ImageChanges(trashed=True))
        assert [result.id for result in changed] == list(range(1, 251))
        assert len({request.headers["Idempotency-Key"] for request in api.requests}) == 3


def test_a_version_that_was_seen_is_named() -> None:
    api = PreparedApi(httpx.Response(200, json={"id": 7, "detail": "", "version": 4}))
    assert api.client().update(7, ImageChanges(title="x"), version=3) == 4
    assert api.requests[0].headers["If-Match"] == '"3"'


def test_a_download_that_broke_off_begins_anew() -> None:
    class Breaking(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            yield b"half of"
            raise httpx.ReadError("reset")

    api = PreparedApi(
        lambda _: httpx.Response(200, stream=Breaking()),
        httpx.Response(200, content=b"the whole"),
    )
    sink = io.BytesIO()
    assert api.client().download("https://bucket.example/x", sink) == 9
    assert sink.getvalue() == b"the whole"


def test_threads_may_share_a_client() -> None:
    api = PreparedApi(shown())
    client = api.client()
    threads = [threading.Thread(target=client.get, args=(7,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(api.requests) == 8
