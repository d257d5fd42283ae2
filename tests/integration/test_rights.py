"""Each role's rights in template.yaml are those that its function uses: none lacks, none is idle.

That none lacks one holds in every test that calls the functions: see `aws` in conftest.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import requests
from pg8000.native import Connection

from image_api import wiring
from image_api.core.upkeep import rerendering
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.renditions import PostgresRenditionRecords
from image_api.postgres.rerendering import PostgresRerenderRecords
from tests import samples
from tests.application import forget
from tests.integration.functions import PASSWORD, Api
from tests.integration.guarded_aws import GuardedAws, Right
from tests.proxy_events import body_of, header_of, proxy_event, upload_event

# With the consumer's role Lambda itself looks at the broker and its network before it polls.
POLLER = {
    ("mq:DescribeBroker", "PlatformStack.Outputs.BrokerArn"),
    ("ec2:DescribeSecurityGroups", "*"),
    ("ec2:DescribeVpcs", "*"),
}


def test_every_right_is_used(
    api: Api,
    aws: GuardedAws,
    roles: dict[str, set[Right]],
    environment: pytest.MonkeyPatch,
    s3_client: Any,
    sql: Connection,
) -> None:
    api.call("migrate", {})
    api.call("docs", proxy_event("GET", "/docs"))
    assert api.call("health", proxy_event("GET", "/health"))["statusCode"] == 200
    ada = api.register("Ada")
    credentials = {"username": "Ada", "password": PASSWORD}
    signed_in = body_of(
        api.call("login", proxy_event("POST", "/auth/login", json_body=credentials))
    )
    sent = {"refresh_token": signed_in["refresh_token"]}
    api.call("session", proxy_event("POST", "/auth/refresh", json_body=sent))
    assert api.call("account", proxy_event("GET", "/auth/me", token=ada))["statusCode"] == 200

    image_id = api.upload(ada)
    assert api.consume() == {"applied": 1}
    (listed,) = body_of(api.list_images(ada))
    for url in (listed["url"], api.get(ada, image_id)["url"]):
        assert requests.get(url).ok
    original = api.call("get", proxy_event("GET", f"/image/{image_id}/original", token=ada))
    assert requests.get(header_of(original, "Location") or "").ok
    # One that comes too late, and is made again.
    finish = PostgresRenditionRecords.finish

    def finish_late(*arguments: Any) -> bool:
        environment.setattr(PostgresRenditionRecords, "finish", finish)
        sql.run("DELETE FROM requested_renditions")
        return finish(*arguments)

    environment.setattr(PostgresRenditionRecords, "finish", finish_late)
    rendition = api.call("rendition", proxy_event("GET", f"/image/{image_id}/rendition", token=ada))
    assert requests.get(header_of(rendition, "Location") or "").ok
    api.update(ada, image_id, resolution="20x10")
    assert api.consume() == {"applied": 1}
    tagging = {"ids": [image_id], "changes": {"tags": ["a"]}}
    api.call("batch", proxy_event("POST", "/image/batch", token=ada, json_body=tagging))
    assert api.consume() == {"applied": 1}
    tagged = api.call("tags", proxy_event("GET", "/image/tags", token=ada))
    assert [each["tag"] for each in body_of(tagged)] == ["a"]
    api.delete(ada, image_id)
    assert api.consume() == {"applied": 1}
    assert api.call("relay", {}) == {"published": 0, "repeated": 0}
    latecomer = api.channel.queue_declare("", exclusive=True).method.queue
    again = api.call("replay", {"queue": latecomer, "since": "2020-01-01T00:00:00Z"})
    assert again["sent"] == 8

    assert api.call("operate", {"action": "dead-letters"}) == {"dead_letters": [], "in_all": 0}

    # What it does when a stack is deleted; otherwise it does nothing.
    assert api.call("interfaces", {"ResourceProperties": {}}) == {}
    assert wiring.networks().poller_interfaces("sg-1") == []
    forget()

    # Two that an older renderer made; one of them is changed meanwhile.
    for _ in range(2):
        api.upload(ada)
    assert api.consume(2) == {"applied": 2}
    sql.run("UPDATE renditions SET considered_version = 0")
    replace = PostgresRerenderRecords.replace
    answers = iter([True, False])
    environment.setattr(
        PostgresRerenderRecords,
        "replace",
        lambda *arguments: next(answers) and replace(*arguments),
    )
    environment.setattr(rerendering, "MAX_ATTEMPTS", 1)
    assert api.call("rerender", {})["finished"] is True

    # Files that are missing: S3 says so only to whom may list the bucket.
    lost = api.upload(ada)
    assert api.consume() == {"applied": 1}
    for stored in s3_client.list_objects_v2(Bucket=api.bucket)["Contents"]:
        s3_client.delete_object(Bucket=api.bucket, Key=stored["Key"])
    query = {"width": "320"}
    path = f"/image/{lost}/rendition"
    gone = api.call("rendition", proxy_event("GET", path, token=ada, query=query))
    assert gone["statusCode"] >= 400
    sql.run("UPDATE renditions SET considered_version = 0")
    api.call("rerender", {})
    api.update(ada, lost, resolution="20x10")
    assert api.consume() == {"dead": 1}

    complete = f"/image/direct_upload/{'0' * 32}"
    missing = api.call("direct_upload", proxy_event("POST", complete, token=ada, json_body={}))
    assert missing["statusCode"] == 404
    offer = body_of(
        api.call("direct_upload", proxy_event("POST", "/image/direct_upload", token=ada))
    )
    file = {"file": ("x", samples.png())}
    assert requests.post(offer["url"], offer["fields"], files=file).ok
    complete = f"/image/direct_upload/{offer['upload_id']}"
    done = api.call("direct_upload", proxy_event("POST", complete, token=ada))
    assert done["statusCode"] == 200

    s3_client.put_object(Bucket=api.bucket, Key="storage/of-nobody/original.png", Body=b"x")
    environment.setenv("JANITOR_MIN_AGE_SECONDS", "0")
    environment.setenv("JANITOR_MAX_PERCENT", "100")
    for _ in range(2):
        report = api.call("janitor", {})
    assert report["objects_deleted"] > 0

    # The account goes between the look for it and the row: the file must not stay.
    for look in ("require_user", "require_room"):
        environment.setattr(PostgresImageRecords, look, lambda *_: None)
    environment.setattr(PostgresImageRecords, "claim_key", lambda *_: None)
    bob = api.register("Bob")
    offer = body_of(
        api.call("direct_upload", proxy_event("POST", "/image/direct_upload", token=bob))
    )
    assert requests.post(offer["url"], offer["fields"], files=file).ok
    sql.run("DELETE FROM users WHERE username = 'Bob'")
    complete = f"/image/direct_upload/{offer['upload_id']}"
    for function, event in (
        ("upload", upload_event(samples.png(), token=bob)),
        ("direct_upload", proxy_event("POST", complete, token=bob, json_body={})),
    ):
        assert api.call(function, event)["statusCode"] == 401

    idle = {name: rights - aws.used[name] for name, rights in roles.items()}
    assert {name: rights for name, rights in idle.items() if rights} == {"consumer": POLLER}
