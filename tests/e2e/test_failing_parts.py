"""What clients see while the database, the broker or the storage is away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import requests

from tests import samples
from tests.e2e.api_client import PASSWORD, ApiClient
from tests.e2e.cuttable_proxy import CuttableProxy
from tests.e2e.routes import OPERATIONS, PAGES
from tests.e2e.running_cloud import RunningCloud
from tests.e2e.test_own_account import ask_everything
from tests.waiting import eventually

PARTS = {
    "database": "DATABASE_URL",
    "broker": "RABBITMQ_URL",
    "storage": "AWS_ENDPOINT_URL",
}


@dataclass(frozen=True)
class FragileCloud:
    """A cloud on services that run elsewhere, with the ways to them."""

    cloud: RunningCloud
    ways: dict[str, CuttableProxy]


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FragileCloud]:
    services = RunningCloud(tmp_path_factory.mktemp("services") / "data", command="services")
    services.start()
    with ExitStack() as stack:
        stack.callback(services.stop)
        variables = {
            name: services.environment[name]
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        }
        ways: dict[str, CuttableProxy] = {}
        for part, variable in PARTS.items():
            url = urlsplit(services.environment[variable])
            assert url.port is not None
            ways[part] = stack.enter_context(CuttableProxy(url.port))
            variables[variable] = url.geturl().replace(f":{url.port}", f":{ways[part].port}")
        data_folder = tmp_path_factory.mktemp("fragile") / "data"
        cloud = RunningCloud(data_folder, "--no-watch", variables=variables)
        cloud.start()
        stack.callback(cloud.stop)
        yield FragileCloud(cloud, ways)


@pytest.fixture
def user(fragile: FragileCloud) -> Iterator[ApiClient]:
    with ApiClient(fragile.cloud.api_url) as client:
        yield client.sign_up()


def _health_without(part: str, client: ApiClient) -> requests.Response:
    """What is said once no other part is down, as one that stands still for a moment is."""

    def look() -> list[requests.Response]:
        answer = client.get("/health")
        return [] if answer.json().get("reasons", {}).keys() > {part} else [answer]

    return eventually(look, "the other parts are up")[0]


@pytest.mark.parametrize("part", PARTS)
def test_health_names_the_part_that_is_down(
    fragile: FragileCloud, user: ApiClient, part: str
) -> None:
    user.healthy()

    fragile.ways[part].cut()
    answer = _health_without(part, user)
    fragile.ways[part].restore()

    assert answer.status_code == 503
    body = answer.json()
    assert list(body.pop("reasons")) == [part]
    assert body.pop("version")
    assert body == {
        "status": "unavailable",
        "detail": f"Down: {part}",
        "code": "service_unavailable",
        **dict.fromkeys(PARTS, "up"),
        part: "down",
    }
    user.healthy()


def test_what_is_accepted_while_the_broker_is_away_is_done_when_it_is_back(
    fragile: FragileCloud, user: ApiClient
) -> None:
    before = user.uploaded(samples.png())

    fragile.ways["broker"].cut()
    uploaded = user.upload(samples.png())
    updated = user.update(before["id"], resolution="20x20")
    waiting = user.image(before["id"]).json()
    fragile.ways["broker"].restore()

    assert uploaded.status_code == updated.status_code == 200
    assert waiting["status"] == "processing"
    assert user.download(waiting["url"]).content

    def relay() -> bool:
        # What the schedule does every minute.
        fragile.cloud.invoke("relay", {})
        images = [user.image(image["id"]).json() for image in (before, uploaded.json())]
        return all(image["status"] == "ready" for image in images)

    eventually(relay, "both changes are applied")
    assert user.image(before["id"]).json()["resolution"] == "20x20"


def test_an_account_is_deleted_while_the_broker_is_away_and_its_files_go_when_it_is_back(
    fragile: FragileCloud, user: ApiClient
) -> None:
    image = user.uploaded(samples.png())
    with ApiClient(fragile.cloud.api_url) as another:
        another.sign_up()
        assert another.image(image["id"]).status_code == 200

        fragile.ways["broker"].cut()
        password = {"password": PASSWORD}
        deleted = user.request("POST", "/auth/delete_account", json=password)
        fragile.cloud.invoke("relay", {})
        seen = another.image(image["id"]).status_code
        fragile.ways["broker"].restore()

        assert (deleted.status_code, seen) == (200, 404)

        def look() -> bool:
            fragile.cloud.invoke("relay", {})
            return another.get(image["url"]).status_code == 404

        eventually(look, "the files are gone")


def test_a_broker_that_takes_connections_and_says_nothing_is_as_good_as_away(
    fragile: FragileCloud, user: ApiClient
) -> None:
    assert user.uploaded(samples.gif())["status"] == "ready"

    fragile.ways["broker"].stall()
    with ApiClient(fragile.cloud.api_url) as visitor, ThreadPoolExecutor() as threads:
        asking = threads.submit(_health_without, "broker", visitor)
        uploaded = user.upload(samples.gif())
        health = asking.result()
    fragile.ways["broker"].restore()

    assert uploaded.status_code == 200
    assert health.status_code == 503
    assert health.json()["detail"] == "Down: broker"
    user.healthy()


def test_while_the_database_is_away_clients_are_told_to_come_back(
    fragile: FragileCloud, user: ApiClient
) -> None:
    fragile.ways["database"].cut()
    refresh_token = {"refresh_token": "A" * 64}
    answers = {
        **ask_everything(user, 1),
        ("POST", "/auth/register"): user.register("nobody"),
        ("POST", "/auth/login"): user.sign_in(),
        **{
            ("POST", path): user.request("POST", path, json=refresh_token)
            for path in ("/auth/refresh", "/auth/logout")
        },
    }
    fragile.ways["database"].restore()

    assert OPERATIONS.keys() - answers.keys() == {
        *(("GET", path) for path in (*PAGES, "/health")),
    }
    for route, answer in answers.items():
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable"), route
        assert answer.json().keys() == {"detail", "code"}
        assert int(answer.headers["Retry-After"]) > 0, route
    eventually(lambda: user.images().status_code == 200, "the database is back")
    assert user.images(owner="me").json() == []


def test_while_the_storage_is_away_nothing_is_accepted_that_could_be_lost(
    fragile: FragileCloud, user: ApiClient
) -> None:
    fragile.ways["storage"].cut()
    answer = user.upload(samples.gif())
    listed = user.images(owner="me")
    fragile.ways["storage"].restore()

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert listed.json() == []
    eventually(lambda: user.upload(samples.gif()).status_code == 200, "the storage is back")
