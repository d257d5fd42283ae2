"""What MiniStack's CloudFormation leaves out of a REST API, put in through API Gateway's own calls.

It takes a binary media type for the name of a file (`multipart~1form-data`), so that an upload
would arrive as text; reads no `any` method, so that nobody would say 405; and drops the answers of
mock integrations, so that a browser's preflight would get no CORS headers.
"""

from typing import Any

from infra.deploy_local.stack import Stack
from infra.deploy_local.target import REGION, Target
from infra.local.template.model import Api, FunctionIntegration, MockIntegration


def complete(target: Target, stack: Stack, api: Api) -> None:
    """Blocks."""
    gateway = target.client("apigateway")
    api_id = stack.physical_id(api.logical_id)
    # AWS takes one type in each operation; MiniStack sets what it is given.
    gateway.update_rest_api(
        restApiId=api_id,
        patchOperations=[
            {"op": "replace", "path": "/binaryMediaTypes", "value": list(api.binary_media_types)}
        ],
    )
    resource_ids = {
        item["path"]: item["id"]
        for page in gateway.get_paginator("get_resources").paginate(restApiId=api_id)
        for item in page["items"]
    }
    arns: dict[str, str] = {}
    for route in api.routes:
        place = {
            "restApiId": api_id,
            "resourceId": resource_ids[route.path],
            "httpMethod": route.method,
        }
        match route.integration:
            case MockIntegration():
                _put_answers(gateway, place, route.integration)
            case FunctionIntegration(function_id) if route.method == "ANY":
                if function_id not in arns:
                    arns[function_id] = _arn(target, stack.physical_id(function_id))
                _put_function(gateway, place, arns[function_id])


def _put_answers(gateway: Any, place: dict[str, str], mock: MockIntegration) -> None:
    for answer in mock.responses:
        gateway.put_integration_response(
            **place,
            statusCode=str(answer.status),
            selectionPattern="" if answer.pattern == "default" else answer.pattern,
            responseParameters={
                f"method.response.header.{name}": value for name, value in answer.headers.items()
            },
            responseTemplates=dict(answer.templates),
        )


def _put_function(gateway: Any, place: dict[str, str], function_arn: str) -> None:
    gateway.put_method(**place, authorizationType="NONE")
    gateway.put_integration(
        **place,
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function_arn}"
        "/invocations",
    )


def _arn(target: Target, function_name: str) -> str:
    function = target.client("lambda").get_function(FunctionName=function_name)
    return str(function["Configuration"]["FunctionArn"])
