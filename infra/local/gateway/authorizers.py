"""Lambda authorizers: who is asked, what they answer, and for how long that holds."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any, Protocol

from infra.local.gateway.event import Deployment
from infra.local.gateway.invoking import Invoker, event_of
from infra.local.gateway.policies import MalformedPolicy, Policy, read_policy
from infra.local.invocation import Throttled, error_summary
from infra.local.template.model import ACCOUNT_ID, LambdaAuthorizer

# Longer than any run lasts with so many: what is oldest is forgotten first.
_MAX_REMEMBERED = 10_000


class Unauthorized(Exception):
    """The request does not say who it is of, or the authorizer says so."""


class Denied(Exception):
    """The authorizer does not allow it."""

    def __init__(self, *, is_explicit: bool) -> None:
        super().__init__()
        self.is_explicit = is_explicit


class AuthorizerFailed(Exception):
    """The authorizer has not answered; the text says why."""


class AuthorizerMalformed(Exception):
    """The authorizer's answer is not one; the text says why."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"its answer is malformed: {problem}")


class Asking(Protocol):
    """What both kinds of request have."""

    method: str
    path: str
    trace_id: str
    deployment: Deployment


@dataclass(slots=True)
class Verdict:
    """What an authorizer has answered. `policy` is None where it says yes or no to all."""

    policy: Policy | None
    is_authorized: bool
    principal_id: str | None
    context: Mapping[str, Any]
    latency_ms: int

    def check(self, arn: str) -> None:
        """Raises Denied."""
        if self.policy is None:
            if not self.is_authorized:
                raise Denied(is_explicit=True)
            return
        decision = self.policy.decision(arn)
        if decision != "allow":
            raise Denied(is_explicit=decision == "deny")


class Authorizers:
    """Of one API. What they have answered holds for every request with the same identity."""

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker
        self._remembered: dict[tuple[str, Sequence[str]], tuple[float, Verdict]] = {}

    async def ask(
        self,
        authorizer: LambdaAuthorizer,
        request: Asking,
        value_of: Callable[[str, str], str | None],
        event: Callable[[tuple[str, ...], str], Mapping[str, Any]],
    ) -> Verdict:
        """`value_of` finds an identity source by its place and name; `event`, of the identity and
        of what is to be allowed, is what the authorizer is invoked with.

        Raises Unauthorized, Denied, AuthorizerFailed or AuthorizerMalformed.
        """
        identity = _identity_of(authorizer, value_of)
        arn = _method_arn(authorizer, request)
        key = authorizer.name, identity
        expires_at, verdict = self._remembered.get(key, (0.0, None))
        if verdict is None or monotonic() >= expires_at:
            verdict = await self._answer(authorizer, event(identity, arn), request.trace_id)
            if authorizer.ttl_seconds:
                self._remember(key, authorizer.ttl_seconds, verdict)
        verdict.check(arn)
        return verdict

    def _remember(self, key: tuple[str, Sequence[str]], ttl_seconds: int, verdict: Verdict) -> None:
        self._remembered.pop(key, None)
        self._remembered[key] = monotonic() + ttl_seconds, verdict
        if len(self._remembered) > _MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def _answer(
        self, authorizer: LambdaAuthorizer, event: Mapping[str, Any], trace_id: str
    ) -> Verdict:
        started_at = perf_counter()
        try:
            result = await self._invoker.result(
                authorizer.function_id,
                event_of([json.dumps(event).encode()], trace_id, authorizer.qualifier),
                authorizer.timeout_seconds,
            )
        except Throttled as error:
            raise AuthorizerFailed("it is throttled") from error
        if result is None:
            raise AuthorizerFailed(f"no answer within {authorizer.timeout_seconds:g} s")
        if result.is_error:
            if _message_of(result.payload) == "Unauthorized":
                raise Unauthorized
            raise AuthorizerFailed(error_summary(result.payload))
        latency_ms = round((perf_counter() - started_at) * 1000)
        return _read_verdict(authorizer, result.payload, latency_ms)


def _identity_of(
    authorizer: LambdaAuthorizer, value_of: Callable[[str, str], str | None]
) -> tuple[str, ...]:
    values = tuple(value_of(place, name) or "" for place, name in authorizer.identity_sources)
    if not all(values):
        raise Unauthorized
    expression = authorizer.validation_expression
    if expression is not None and not all(re.match(expression, value) for value in values):
        raise Unauthorized
    return values


def in_context(context: Mapping[str, Any], name: str) -> str | None:
    """What a dotted name stands for: identity.sourceIp."""
    value: Any = context
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else str(value)


def _method_arn(authorizer: LambdaAuthorizer, request: Asking) -> str:
    """What a policy speaks of: one method of one path, at a stage of an API."""
    deployment = request.deployment
    where = f"arn:aws:execute-api:{authorizer.region}:{ACCOUNT_ID}:{deployment.api_id}"
    return f"{where}/{deployment.stage}/{request.method}/{request.path.lstrip('/')}"


def _message_of(payload: bytes) -> str | None:
    try:
        error = json.loads(payload)
    except ValueError:
        return None
    return error.get("errorMessage") if isinstance(error, dict) else None


def _read_verdict(authorizer: LambdaAuthorizer, payload: bytes, latency_ms: int) -> Verdict:
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise AuthorizerMalformed("it is not JSON") from error
    if not isinstance(answer, dict):
        raise AuthorizerMalformed("it is not an object")
    context = answer.get("context") or {}
    if not isinstance(context, dict):
        raise AuthorizerMalformed("context is not an object")
    principal_id = answer.get("principalId")
    if principal_id is not None and not isinstance(principal_id, str):
        raise AuthorizerMalformed("principalId is not text")
    if authorizer.is_simple:
        is_authorized = answer.get("isAuthorized")
        if not isinstance(is_authorized, bool):
            raise AuthorizerMalformed("isAuthorized is not true or false")
        return Verdict(None, is_authorized, principal_id, context, latency_ms)
    try:
        policy = read_policy(answer.get("policyDocument"))
    except MalformedPolicy as error:
        raise AuthorizerMalformed(str(error)) from error
    return Verdict(policy, False, principal_id, context, latency_ms)
