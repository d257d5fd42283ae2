"""How many requests wait for images is bounded exactly, and who waits holds no connection."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Thread
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.core.library import long_polling
from image_api.postgres.database import Database
from image_api.postgres.waiting_requests import PostgresWaitingPlaces
from image_api.settings import WaiterLimits
from tests.integration.functions import Api
from tests.proxy_events import body_of, proxy_event
from tests.waiting import eventually

NOW = "UPDATE waiting_requests SET leased_until = now()"


@pytest.fixture
def new_places(
    make_database: Callable[[], Database],
) -> Callable[[int, int], PostgresWaitingPlaces]:
    """As another execution environment has them."""
    return lambda at_once, per_account: PostgresWaitingPlaces(
        make_database(), WaiterLimits(at_once, per_account)
    )


NewPlaces = Callable[[int, int], PostgresWaitingPlaces]


def test_a_place_is_free_when_it_is_given_back_or_when_its_time_is_over(
    new_places: NewPlaces, sql: Connection
) -> None:
    places = new_places(2, 2)
    first, second = places.take(1), places.take(2)
    assert first and second
    assert places.take(3) is None
    places.give_back(first)
    third = places.take(3)
    assert third
    # Somebody else's by now.
    places.give_back(first)
    assert places.take(1) is None
    sql.run(NOW)
    assert places.take(1) and places.take(1)
    places.give_back(second)
    assert places.take(1) is None


def test_one_account_leaves_places_to_others(new_places: NewPlaces) -> None:
    places = new_places(5, 2)
    assert [bool(places.take(user_id)) for user_id in (1, 1, 1, 2, 2, 2, 3, 4)] == [
        *(True, True, False),
        *(True, True, False),
        *(True, False),
    ]


def test_where_nobody_may_wait_nobody_does(new_places: NewPlaces) -> None:
    assert new_places(0, 3).take(1) is None
    assert new_places(10, 0).take(1) is None


@pytest.mark.parametrize(("at_once", "per_account", "users"), [(100, 3, 1), (4, 100, 12)])
def test_no_bound_is_passed_by_requests_that_come_at_once(
    new_places: NewPlaces, sql: Connection, at_once: int, per_account: int, users: int
) -> None:
    environments = [new_places(at_once, per_account) for _ in range(12)]
    with ThreadPoolExecutor(len(environments)) as threads:
        for _ in range(10):
            taken = list(
                threads.map(lambda each: each[1].take(1 + each[0] % users), enumerate(environments))
            )
            bound = min(at_once, per_account * users)
            assert 1 <= len([place for place in taken if place]) <= bound
            assert sql.run("SELECT count(*) FROM waiting_requests") == [
                [len([place for place in taken if place])]
            ]
            sql.run("DELETE FROM waiting_requests")


def wait(api: Api, token: str, image_id: int, seconds: object = 15) -> dict[str, Any]:
    path = f"/image/{image_id}"
    return api.call("get", proxy_event("GET", path, token=token, query={"wait": str(seconds)}))


Waits = Callable[[str, int], list[dict[str, Any]]]


@pytest.fixture
def waits(api: Api, sql: Connection, environment: pytest.MonkeyPatch) -> Waits:
    """Begins to wait, and returns a list for the answer. By the clock of who waits no time passes:
    whatever is to happen meanwhile happens in time.
    """
    unhurried = partial(long_polling.get_image, now_seconds=lambda: 0.0)
    environment.setattr(long_polling, "get_image", unhurried)

    def begun(token: str, image_id: int) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        waiter = Thread(target=lambda: answers.append(wait(api, token, image_id)), daemon=True)
        waiter.start()

        def waiting() -> None:
            assert waiter.is_alive(), "it did not wait"

        eventually(lambda: sql.run("SELECT FROM waiting_requests"), "it waits", watch=waiting)
        return answers

    return begun


def test_the_answer_comes_when_the_image_is_ready_and_no_connection_is_held_meanwhile(
    api: Api, ada: str, sql: Connection, environment: pytest.MonkeyPatch, waits: Waits
) -> None:
    image_id = api.upload(ada)
    connections = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'image-api' AND datname = current_database()"
    )
    before = sql.run(connections)
    environment.setattr(long_polling, "_PAUSES_SECONDS", (0.5,))
    answers = waits(ada, image_id)
    assert sql.run("SELECT user_id, place BETWEEN 1 AND 10 FROM waiting_requests") == [[1, True]]
    eventually(lambda: sql.run(connections) == before, "it waits without a connection")
    assert sql.run("SELECT count(*) FROM waiting_requests") == [[1]]
    sql.run("UPDATE images SET status = 'ready', applied_sequence = 1")
    eventually(lambda: answers, "it is answered")
    assert body_of(answers[0])["status"] == "ready"
    assert sql.run("SELECT FROM waiting_requests") == []


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("UPDATE images SET deleted_at = now()", 404),
        ("UPDATE images SET visibility = 'private', user_id = 2", 404),
    ],
)
def test_what_happens_to_the_image_meanwhile_counts(
    api: Api, ada: str, bob: str, sql: Connection, waits: Waits, statement: str, status: int
) -> None:
    image_id = api.upload(ada)
    answers = waits(ada, image_id)
    sql.run(statement)
    eventually(lambda: answers, "it is answered")
    assert answers[0]["statusCode"] == status
    assert sql.run("SELECT FROM waiting_requests") == []


def test_one_second_is_waited_for_and_then_it_is_still_processing(api: Api, ada: str) -> None:
    assert body_of(wait(api, ada, api.upload(ada), 1))["status"] == "processing"


@pytest.mark.parametrize("seconds", ["0", "-1", "16", "1.5", "1.0", "01", "+1", "1e1", "soon", "٣"])
def test_other_waits_are_refused_by_name(api: Api, ada: str, seconds: str) -> None:
    answer = wait(api, ada, api.upload(ada), seconds)
    assert answer["statusCode"] == 400
    assert [problem["field"] for problem in body_of(answer)["errors"]] == ["wait"]


def test_only_who_waits_on_purpose_may_take_long(
    api: Api, ada: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image_id = api.upload(ada)
    # As functions that are loaded now find it: tests before this may have loaded it anew.
    from image_api.web import http

    environment.setitem(vars(http)["RequestTimes"].add.__globals__, "_MOST", 1)

    def is_measured(function: str, path: str, **query: str) -> bool:
        answer = api.call(function, proxy_event("GET", path, token=ada, query=query))
        assert answer["statusCode"] in (200, 409)
        return "RequestTime" in capsys.readouterr().out

    assert is_measured("get", f"/image/{image_id}")
    assert not is_measured("get", f"/image/{image_id}", wait="1")
    assert is_measured("get", f"/image/{image_id}")
    assert is_measured("list", "/image/get_all_images")
    assert not is_measured("rendition", f"/image/{image_id}/rendition")
