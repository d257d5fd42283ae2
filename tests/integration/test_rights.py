"""Each role's rights in template.yaml are those that its function uses: none lacks, none is idle.

That none lacks one holds in every test that calls the functions: see `aws` in conftest.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import requests
from pg8000.native import Connection

from image_api.postgres.images import PostgresImageRecords
from tests import samples
from tests.integration.functions import PASSWORD, Api
from tests.integration.guarded_aws import GuardedAws
from tests.proxy_events import body_of, proxy_event, upload_event
from tests.template import expansion
from tests.template.document import ROOT, Deployment, read

# With the consumer's role Lambda itself looks at the broker and its network before it polls.
POLLER = {
    ("mq:DescribeBroker", "PlatformStack.Outputs.BrokerArn"),
    ("ec2:DescribeSecurityGroups", "*"),
    ("ec2:DescribeVpcs", "*"),
}


def test_every_right_is_used(
    api: Api,
    aws: GuardedAws,
    environment: pytest.MonkeyPatch,
    s3_client: Any,
    sql: Connection,
) -> None:
    api.call("migrate", {})
    api.call("docs", proxy_event("GET", "/docs"))
    assert api.call("health", proxy_event("GET", "/health"))["statusCode"] == 200
    ada = api.register("Ada")
    credentials = {"username": "Ada", "password": PASSWORD}
    api.call("login", proxy_event("POST", "/auth/login", json_body=credentials))

    image_id = api.upload(ada)
    assert api.consume() == {"applied": 1}
    (listed,) = body_of(api.list_images(ada))
    for url in (listed["url"], api.get(ada, image_id)["url"]):
        assert requests.get(url).ok
    api.update(ada, image_id, resolution="10x10")
    api.delete(ada, image_id)
    assert api.call("relay", {}) == {"published": 0}
    api.consume(2)

    complete = f"/image/direct_upload/{'0' * 32}"
    missing = api.call("direct_upload", proxy_event("POST", complete, token=ada, json_body={}))
    assert missing["statusCode"] == 404
    offer = body_of(
        api.call("direct_upload", proxy_event("POST", "/image/direct_upload", token=ada))
    )
    file = {"file": ("x", samples.png())}
    assert requests.post(offer["url"], offer["fields"], files=file).ok
    complete = f"/image/direct_upload/{offer['upload_id']}"
    done = api.call("direct_upload", proxy_event("POST", complete, token=ada, json_body={}))
    assert done["statusCode"] == 200

    s3_client.put_object(Bucket=api.bucket, Key="storage/of-nobody/original.png", Body=b"x")
    environment.setenv("JANITOR_MIN_AGE_SECONDS", "0")
    api.call("janitor", {})

    # The account goes between the look for it and the row: the file must not stay.
    environment.setattr(PostgresImageRecords, "require_user", lambda *_: None)
    bob = api.register("Bob")
    sql.run("DELETE FROM users WHERE username = 'Bob'")
    refused = api.call("upload", upload_event(samples.png(), token=bob))
    assert refused["statusCode"] == 401

    idle = {
        function.name: unused
        for function in Deployment(read(ROOT / "template.yaml"), {}).functions
        if (
            unused := expansion.rights(expansion.present(), function.logical_id)
            - aws.used[function.name]
        )
    }
    assert idle == {"consumer": POLLER}
