"""The event of API Gateway's REST proxy integration, key by key as AWS sends it.

Imports nothing outside the standard library: whoever makes sample events builds them here too.
"""

import binascii
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_NO_BODY = b',"body":null,"isBase64Encoded":false}'


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which API it is that was asked, and where."""

    account_id: str
    api_id: str
    deployment_id: str
    stage: str
    stage_variables: Mapping[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class ProxyRequest:
    """One request. `headers` and `query` have every value of a name, in order.

    `path` is what the route matched; `raw_path` is as the client sent it, and is what the context
    shows. `resource` is the route's path, with its parameters in braces; while there is no route,
    it is the path.
    """

    method: str
    path: str
    raw_path: str
    resource: str
    resource_id: str
    headers: Mapping[str, Sequence[str]]
    query: Mapping[str, Sequence[str]]
    path_parameters: Mapping[str, str] | None
    domain_name: str
    source_ip: str
    user_agent: str | None
    request_id: str
    extended_request_id: str
    epoch_seconds: float
    deployment: Deployment
    # What an authorizer has said of it, where one was asked.
    authorizer: Mapping[str, Any] | None = None

    def event(self, body: str | None = None, *, is_base64: bool = False) -> dict[str, Any]:
        """What the function is invoked with; what the request does not have is None."""
        return {
            "resource": self.resource,
            "path": self.path,
            "httpMethod": self.method,
            "headers": last_values(self.headers),
            "multiValueHeaders": self.headers or None,
            "queryStringParameters": last_values(self.query),
            "multiValueQueryStringParameters": self.query or None,
            "pathParameters": self.path_parameters or None,
            "stageVariables": self.deployment.stage_variables,
            "requestContext": self.context(),
            "body": body,
            "isBase64Encoded": is_base64,
        }

    def event_json(self, body: bytes, *, is_binary: bool) -> list[bytes]:
        """The event as JSON, in pieces: a binary body is never scanned, and copied but once."""
        return json_with_body(self.event(), body, is_binary=is_binary)

    def context(self) -> dict[str, Any]:
        """The event's `requestContext`, which gateway responses may refer to as well."""
        deployment = self.deployment
        context = {
            "accountId": deployment.account_id,
            "apiId": deployment.api_id,
            "deploymentId": deployment.deployment_id,
            "domainName": self.domain_name,
            "domainPrefix": self.domain_name.split(".")[0],
            "extendedRequestId": self.extended_request_id,
            "httpMethod": self.method,
            "identity": {
                "accessKey": None,
                "accountId": None,
                "caller": None,
                "cognitoAuthenticationProvider": None,
                "cognitoAuthenticationType": None,
                "cognitoIdentityId": None,
                "cognitoIdentityPoolId": None,
                "principalOrgId": None,
                "sourceIp": self.source_ip,
                "user": None,
                "userAgent": self.user_agent,
                "userArn": None,
            },
            "path": f"/{deployment.stage}{self.raw_path}",
            "protocol": "HTTP/1.1",
            "requestId": self.request_id,
            "requestTime": request_time(int(self.epoch_seconds)),
            "requestTimeEpoch": int(self.epoch_seconds * 1000),
            "resourceId": self.resource_id,
            "resourcePath": self.resource,
            "stage": deployment.stage,
        }
        if self.authorizer is not None:
            context["authorizer"] = self.authorizer
        return context


def json_with_body(event: Mapping[str, Any], body: bytes, *, is_binary: bool) -> list[bytes]:
    """The JSON of an event, which ends without a body, with this one instead."""
    text = json.dumps(event, separators=(",", ":")).encode()
    if not body:
        return [text]
    head = text.removesuffix(_NO_BODY)
    if is_binary:
        encoded = binascii.b2a_base64(body, newline=False)
        return [head, b',"body":"', encoded, b'","isBase64Encoded":true}']
    quoted = json.dumps(body.decode("utf-8", "replace")).encode()
    return [head, b',"body":', quoted, b',"isBase64Encoded":false}']


def last_values(values: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """None for none."""
    return {name: several[-1] for name, several in values.items()} or None


@lru_cache(2)
def request_time(epoch_seconds: int) -> str:
    """In the Common Log Format, in UTC."""
    moment = time.gmtime(epoch_seconds)
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[moment.tm_mon * 3 - 3 : moment.tm_mon * 3]
    return time.strftime(f"%d/{month}/%Y:%H:%M:%S +0000", moment)
