"""Lambda authorizers where tests/conformance cannot look: whom they ask, and how often."""

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.local.gateway import authorizers
from infra.local.invocation import Throttled
from infra.local.template.model import (
    Api,
    FunctionIntegration,
    GatewayResponse,
    HttpApi,
    LambdaAuthorizer,
    Route,
    Validation,
)
from tests.local_cloud.gateway.site import Site, serving

TOKEN = LambdaAuthorizer(
    "Token", "TOKEN", "Guard", "us-east-1", (("header", "X-Token"),), 300, 29.0
)
SIMPLE = LambdaAuthorizer(
    "Simple",
    "REQUEST",
    "Guard",
    "us-east-1",
    (("header", "X-Token"), ("context", "routeKey")),
    300,
    10.0,
    payload_format="2.0",
    is_simple=True,
)
ITEMS = FunctionIntegration("Items", 29.0)
ADA = ("X-Token", "ada")


def rest_api(authorizer: LambdaAuthorizer, **more: Any) -> Api:
    routes = (Route("/items/{id}", "GET", ITEMS, authorizer=authorizer, **more),)
    return Api("Api", "v1", {}, (), None, routes, {})


def http_api(authorizer: LambdaAuthorizer) -> HttpApi:
    routes = tuple(
        Route(path, "GET", replace(ITEMS, payload_format="2.0"), authorizer=authorizer)
        for path in ("/items/{id}", "/others")
    )
    return HttpApi("Api", "$default", {}, routes)


def allowing(resource: str = "*", **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource}
    return {"principalId": "ada", "policyDocument": {"Statement": [statement]}, **more}


async def statuses(site: Site, *requests: tuple[str, str]) -> list[int]:
    """Of a GET of each path with each token."""
    return [
        (await site.request("GET", path, ("X-Token", token))).status for path, token in requests
    ]


async def test_an_answer_holds_for_all_requests_with_the_same_token_until_it_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(f"{authorizers.__name__}.monotonic", lambda: now)
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = allowing()
        await statuses(site, ("/items/7", "ada"), ("/items/8", "ada"), ("/items/7", "bob"))
        assert site.invoked.count("Guard") == 2
        now += 299.0
        await statuses(site, ("/items/7", "ada"))
        assert site.invoked.count("Guard") == 2
        now += 1.0
        await statuses(site, ("/items/7", "ada"))
        assert site.invoked.count("Guard") == 3


async def test_a_policy_that_is_kept_is_evaluated_for_every_request_anew() -> None:
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = allowing("arn:aws:execute-api:*/v1/GET/items/7")
        assert await statuses(site, ("/items/7", "ada"), ("/items/8", "ada")) == [200, 403]
        assert site.invoked == ["Guard", "Items"]


async def test_without_a_time_to_live_every_request_is_asked_about() -> None:
    async with serving(rest_api(replace(TOKEN, ttl_seconds=0))) as site:
        site.answers["Guard"] = allowing()
        await statuses(site, ("/items/7", "ada"), ("/items/7", "ada"))
        assert site.invoked == ["Guard", "Items"] * 2


async def test_a_failure_is_not_kept() -> None:
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = {"errorMessage": "Unauthorized"}
        site.failing.add("Guard")
        assert await statuses(site, ("/items/7", "ada")) == [401]
        site.failing.clear()
        assert await statuses(site, ("/items/7", "ada")) == [500]
        site.answers["Guard"] = allowing()
        assert await statuses(site, ("/items/7", "ada")) == [200]


async def test_another_version_of_the_api_remembers_nothing() -> None:
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = allowing()
        assert await statuses(site, ("/items/7", "ada")) == [200]
        site.use(rest_api(TOKEN))
        site.answers["Guard"] = allowing("none")
        assert await statuses(site, ("/items/7", "ada")) == [403]


async def test_only_so_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizers, "_MAX_REMEMBERED", 2)
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = allowing()
        await statuses(site, *(("/items/7", token) for token in "abcbc"))
        assert site.invoked.count("Guard") == 3
        await statuses(site, ("/items/7", "a"))
        assert site.invoked.count("Guard") == 4


async def test_an_authorizer_that_is_throttled_or_late_has_failed() -> None:
    async with serving(rest_api(TOKEN)) as site:
        site.raises = Throttled("Guard")
        throttled = await site.request("GET", "/items/7", ADA)
        site.raises = None
        site.use(rest_api(replace(TOKEN, function_id="Slow", timeout_seconds=0.05)))
        late = await site.request("GET", "/items/7", ADA)
    for answer in (throttled, late):
        assert (answer.status, answer.body) == (500, b'{"message":null}')
    assert "Token: it is throttled" in site.log.getvalue()
    assert "Token: no answer within 0.05 s" in site.log.getvalue()


async def test_refusals_are_customised_as_other_gateway_responses() -> None:
    template = '{"said": $context.error.messageString, "type": "$context.error.responseType"}'
    kinds = ("UNAUTHORIZED", "ACCESS_DENIED", "AUTHORIZER_FAILURE")
    responses = {
        kind: GatewayResponse(418, {"X-Kind": f"'{kind}'"}, {"application/json": template})
        for kind in kinds
    }
    async with serving(replace(rest_api(TOKEN), gateway_responses=responses)) as site:
        unauthorized = await site.request("GET", "/items/7")
        site.answers["Guard"] = allowing("none")
        denied = await site.request("GET", "/items/7", ADA)
        site.answers["Guard"] = {"errorMessage": "no"}
        site.failing.add("Guard")
        failed = await site.request("GET", "/items/7", ("X-Token", "another"))
    answers = (unauthorized, denied, failed)
    assert [answer.status for answer in answers] == [418] * 3
    assert [answer.header("X-Kind") for answer in answers] == list(kinds)
    assert [answer.json()["said"] for answer in answers] == [
        "Unauthorized",
        "User is not authorized to access this resource",
        None,
    ]


async def test_who_may_not_pass_is_not_told_what_a_validator_thinks() -> None:
    checked = Validation(frozenset({("querystring", "q")}), {})
    async with serving(rest_api(TOKEN, validation=checked)) as site:
        site.answers["Guard"] = allowing()
        assert (await site.request("GET", "/items/7")).status == 401
        assert (await site.request("GET", "/items/7", ADA)).status == 400
        assert site.invoked == ["Guard"]


@pytest.mark.parametrize("expression", ["^[a-z]+$", "ada|bob"])
async def test_a_token_has_to_match_its_expression(expression: str) -> None:
    authorizer = replace(TOKEN, validation_expression=expression)
    async with serving(rest_api(authorizer)) as site:
        site.answers["Guard"] = allowing()
        assert await statuses(site, ("/items/7", "ada"), ("/items/7", "ADA")) == [200, 401]
        assert site.invoked.count("Guard") == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"not json", "it is not JSON"),
        (["a"], "it is not an object"),
        (allowing(context=[]), None),
        (allowing(context=["a"]), "context is not an object"),
        (allowing(context={"a": ["b"]}), "a is an object or a list"),
        (allowing(principalId=7), "principalId is not text"),
        ({"principalId": "ada"}, "policyDocument is not an object"),
    ],
)
async def test_a_malformed_answer_is_told_in_the_log_alone(answer: Any, words: str | None) -> None:
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = answer
        response = await site.request("GET", "/items/7", ADA)
        if words is None:
            assert response.status == 200
            return
        assert (response.status, response.body) == (500, b'{"message":null}')
        assert words in site.log.getvalue()


async def test_a_context_of_nothing_is_left_out_and_others_are_text() -> None:
    context = {"none": None, "number": 1.5, "flag": False, "text": "ü"}
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = allowing(context=context)
        await site.request("GET", "/items/7", ADA)
    seen = site.events[-1]["requestContext"]["authorizer"]
    assert isinstance(seen.pop("integrationLatency"), int)
    assert seen == {"number": "1.5", "flag": "false", "text": "ü", "principalId": "ada"}


async def test_an_http_api_keeps_an_answer_for_the_identity_that_its_sources_make() -> None:
    async with serving(http_api(SIMPLE)) as site:
        site.answers["Guard"] = {"isAuthorized": True}
        paths = ("/items/7", "/items/8", "/others")
        assert await statuses(site, *((path, "ada") for path in paths)) == [200] * 3
        asked = [event["identitySource"] for event in site.events if "routeArn" in event]
    assert asked == [["ada", "GET /items/{id}"], ["ada", "GET /others"]]


@pytest.mark.parametrize("answer", [{}, {"isAuthorized": "true"}, allowing()])
async def test_a_simple_answer_says_true_or_false(answer: Any) -> None:
    async with serving(http_api(SIMPLE)) as site:
        site.answers["Guard"] = answer
        response = await site.request("GET", "/items/7", ADA)
    assert (response.status, response.json()) == (500, {"message": "Internal Server Error"})
    assert "isAuthorized is not true or false" in site.log.getvalue()


async def test_what_the_client_says_of_an_authorizer_is_not_believed() -> None:
    claimed = json.dumps({"principalId": "root"})
    async with serving(rest_api(TOKEN)) as site:
        site.answers["Guard"] = allowing()
        await site.request("GET", "/items/7", ADA, ("X-Amzn-Authorizer", claimed))
    assert site.events[-1]["requestContext"]["authorizer"]["principalId"] == "ada"
