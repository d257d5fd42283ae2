"""HTTP APIs and authorizers, as the local cloud reads them from a template."""

from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.debugging import without_time_outs
from infra.local.template.model import (
    UNTIMED_SECONDS,
    Cors,
    FunctionIntegration,
    HttpApi,
    LambdaAuthorizer,
    Route,
    Template,
    TemplateError,
)
from infra.local.template.reader import read_template

HEAD = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, Handler: app.lambda_handler, CodeUri: code}
Resources:
  Guard:
    Type: AWS::Serverless::Function
"""
AUTHORIZED = """
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: v1
      Auth:
        DefaultAuthorizer: Chosen
        Authorizers:
          Chosen: DECLARED
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Get: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /a, Method: get}}
"""
AUTHORIZED_HTTP = AUTHORIZED.replace("Serverless::Api", "Serverless::HttpApi").replace(
    "{Type: Api, Properties: {RestApiId:", "{Type: HttpApi, Properties: {ApiId:"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    return tmp_path


def read(folder: Path, text: str) -> Template:
    path = folder / "template.yaml"
    path.write_text(HEAD + text)
    return read_template(path, {}, "us-east-1")


def authorizer(folder: Path, text: str, declared: str) -> LambdaAuthorizer:
    (api,) = read(folder, text.replace("DECLARED", declared)).apis
    (route,) = [each for each in api.routes if each.method == "GET"]
    assert route.authorizer is not None
    return route.authorizer


def test_an_implicit_http_api_has_a_default_route_and_no_stage_in_its_paths(folder: Path) -> None:
    function = """
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        All: {Type: HttpApi}
        Get:
          Type: HttpApi
          Properties: {Path: "/a/{b}", Method: get, TimeoutInMillis: 1500}
        Older:
          Type: HttpApi
          Properties: {Path: "/a/{b+}", Method: ANY, PayloadFormatVersion: "1.0"}
"""
    (api,) = read(folder, function).http_apis
    newer = FunctionIntegration("Function", 30.0, None, "2.0")
    assert replace(api, routes=()) == HttpApi(
        "ServerlessHttpApi", "$default", {}, (), Route("$default", "ANY", newer)
    )
    assert set(api.routes) == {
        Route("/a/{b}", "GET", FunctionIntegration("Function", 1.5, None, "2.0")),
        Route("/a/{b+}", "ANY", FunctionIntegration("Function", 30.0, None, "1.0")),
    }


def test_an_http_api_has_its_stage_its_variables_and_its_cors(folder: Path) -> None:
    text = """
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      StageName: dev
      StageVariables: {colour: green}
      CorsConfiguration:
        AllowOrigins: ["https://example.org"]
        AllowMethods: [GET]
        AllowHeaders: [x-a]
        ExposeHeaders: [x-b]
        MaxAge: 60
        AllowCredentials: true
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        All: {Type: HttpApi, Properties: {ApiId: !Ref Api}}
"""
    (api,) = read(folder, text).http_apis
    assert (api.stage, api.stage_variables) == ("dev", {"colour": "green"})
    assert api.cors == Cors(("https://example.org",), ("GET",), ("x-a",), ("x-b",), 60, True)


def test_cors_may_be_just_true(folder: Path) -> None:
    text = """
  Api:
    Type: AWS::Serverless::HttpApi
    Properties: {CorsConfiguration: true}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        All: {Type: HttpApi, Properties: {ApiId: !Ref Api}}
"""
    (api,) = read(folder, text).http_apis
    assert api.cors == Cors(allow_origins=("*",))


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("type: http_proxy, uri: 'https://example.org'", "does not run http_proxy"),
        ("type: aws_proxy, integrationSubtype: SQS-SendMessage", "does not run aws_proxy"),
        ("type: aws_proxy, requestParameters: {'append:header.a': b}", "does not map parameters"),
        ("type: aws_proxy, payloadFormatVersion: '3.0'", "not 1.0 or 2.0"),
        ("type: aws_proxy, uri: nothing", "does not name a function"),
    ],
)
def test_integrations_of_an_http_api_that_cannot_run_here_are_refused_in_words(
    folder: Path, declared: str, words: str
) -> None:
    text = f"""
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefinitionBody:
        openapi: 3.0.1
        info: {{title: a, version: "1"}}
        paths:
          /a:
            get:
              x-amazon-apigateway-integration: {{{declared}}}
"""
    with pytest.raises(TemplateError, match=words):
        read(folder, text)


def test_apis_of_both_kinds_are_read_the_rest_apis_first(folder: Path) -> None:
    function = """
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        All: {Type: HttpApi}
        Get: {Type: Api, Properties: {Path: /a, Method: get}}
"""
    names = [api.logical_id for api in read(folder, function).apis]
    assert names == ["ServerlessRestApi", "ServerlessHttpApi"]


def test_a_token_authorizer_is_read(folder: Path) -> None:
    declared = (
        "{FunctionArn: !GetAtt Guard.Arn, "
        "Identity: {Header: X-Token, ValidationExpression: '^a', ReauthorizeEvery: 20}}"
    )
    assert authorizer(folder, AUTHORIZED, declared) == LambdaAuthorizer(
        "Chosen", "TOKEN", "Guard", "us-east-1", (("header", "X-Token"),), 20, 29.0, "^a"
    )


def test_a_request_authorizer_is_read(folder: Path) -> None:
    declared = (
        "{FunctionPayloadType: REQUEST, FunctionArn: !GetAtt Guard.Arn, Identity: "
        "{Headers: [X-A], QueryStrings: [q], StageVariables: [v], Context: [httpMethod]}}"
    )
    sources = (
        ("header", "X-A"),
        ("querystring", "q"),
        ("stageVariables", "v"),
        ("context", "httpMethod"),
    )
    assert authorizer(folder, AUTHORIZED, declared) == LambdaAuthorizer(
        "Chosen", "REQUEST", "Guard", "us-east-1", sources, 300, 29.0
    )


def test_an_authorizer_may_be_an_alias(folder: Path) -> None:
    arn = "arn:aws:lambda:us-east-1:012345678912:function:Guard:live"
    chosen = authorizer(folder, AUTHORIZED, f"{{FunctionArn: '{arn}'}}")
    assert (chosen.function_id, chosen.qualifier) == ("Guard", "live")


@pytest.mark.parametrize(
    ("format_version", "is_simple", "read_as"),
    [("'2.0'", True, "2.0"), ("2.0", False, "2.0"), ("1.0", False, "1.0")],
)
def test_an_authorizer_of_an_http_api_is_read(
    folder: Path, format_version: str, is_simple: bool, read_as: str
) -> None:
    declared = (
        f"{{FunctionArn: !GetAtt Guard.Arn, AuthorizerPayloadFormatVersion: {format_version}, "
        f"EnableSimpleResponses: {str(is_simple).lower()}, "
        "Identity: {Headers: [Authorization], ReauthorizeEvery: 0}}"
    )
    assert authorizer(folder, AUTHORIZED_HTTP, declared) == LambdaAuthorizer(
        "Chosen",
        "REQUEST",
        "Guard",
        "us-east-1",
        (("header", "Authorization"),),
        0,
        10.0,
        payload_format=read_as,
        is_simple=is_simple,
    )


@pytest.mark.parametrize(
    ("text", "declared", "words"),
    [
        (AUTHORIZED, "{UserPoolArn: 'arn:aws:x'}", "does not run Cognito authorizers"),
        (
            AUTHORIZED_HTTP,
            "{IdentitySource: $request.header.A, JwtConfiguration: {issuer: i, audience: [a]}}",
            "does not run JWT authorizers",
        ),
        (
            AUTHORIZED,
            "{FunctionArn: !GetAtt Guard.Arn, Identity: {ValidationExpression: '('}}",
            "ValidationExpression cannot be read",
        ),
        (
            AUTHORIZED,
            "{FunctionArn: !GetAtt Guard.Arn, Identity: {ReauthorizeEvery: 3601}}",
            "ReauthorizeEvery is 3601",
        ),
        (
            AUTHORIZED,
            "{FunctionArn: 'arn:aws:lambda:us-east-1:012345678912:function:another'}",
            "there is no function another",
        ),
        (AUTHORIZED, "{FunctionArn: another}", "does not name a function"),
        (
            AUTHORIZED_HTTP,
            "{FunctionArn: !GetAtt Guard.Arn, AuthorizerPayloadFormatVersion: '3.0'}",
            "3.0",
        ),
        (
            AUTHORIZED.replace("Method: get", "Method: get, Auth: {ApiKeyRequired: true}"),
            "{FunctionArn: !GetAtt Guard.Arn}",
            "one authorizer for a route",
        ),
        (
            AUTHORIZED.replace(
                "Method: get", "Method: get, Auth: {Authorizer: NONE, ApiKeyRequired: true}"
            ),
            "{FunctionArn: !GetAtt Guard.Arn}",
            "API keys|one authorizer",
        ),
    ],
)
def test_authorizers_that_cannot_run_here_are_refused_in_words(
    folder: Path, text: str, declared: str, words: str
) -> None:
    with pytest.raises(TemplateError, match=words):
        read(folder, text.replace("DECLARED", declared))


def test_who_authorizes_is_kept_ready_as_those_are_that_answer(folder: Path) -> None:
    template = read(folder, AUTHORIZED.replace("DECLARED", "{FunctionArn: !GetAtt Guard.Arn}"))
    assert template.answering_functions == {"Guard", "Function"}
    assert template.triggered_functions == {"Guard", "Function"}


@pytest.mark.parametrize(
    ("text", "format_version"),
    [(AUTHORIZED, ""), (AUTHORIZED_HTTP, ", AuthorizerPayloadFormatVersion: '1.0'")],
)
def test_with_a_debugger_neither_routes_nor_authorizers_have_a_time_out(
    folder: Path, text: str, format_version: str
) -> None:
    declared = f"{{FunctionArn: !GetAtt Guard.Arn{format_version}}}"
    template = read(folder, text.replace("DECLARED", declared))
    (api,) = without_time_outs(template, ["Guard", "Function"]).apis
    (route,) = api.routes
    assert isinstance(route.integration, FunctionIntegration)
    assert route.authorizer is not None
    assert route.integration.timeout_seconds == UNTIMED_SECONDS
    assert route.authorizer.timeout_seconds == UNTIMED_SECONDS
