"""What the local cloud reads from a template."""

import json
from pathlib import Path

import pytest

from infra.local.template.model import (
    Destinations,
    FunctionIntegration,
    MockIntegration,
    Retries,
    Route,
    Template,
    TemplateError,
)
from infra.local.template.reader import read_template

HEAD = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  QueueName: {Type: String, Default: image_events}
  Origin: {Type: String, Default: "*"}
  SecretArn: {Type: String}
Conditions:
  Never: !Equals [!Ref QueueName, never]
Globals:
  Function: {Runtime: python3.13, Handler: app.lambda_handler, CodeUri: code, Timeout: 9}
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      ReservedConcurrentExecutions: 3
      Environment:
        Variables:
          RABBITMQ_QUEUE: !Ref QueueName
          CORS_ALLOWED_ORIGIN: !Ref Origin
          IMAGES_BUCKET: !Ref Images
          SECRET: !Ref SecretArn
          DATABASE: !GetAtt Database.Endpoint.Address
          PASSWORD: "{{resolve:secretsmanager:x}}"
          COUNT: 5
          FLAG: true
      Events:
        Get:
          Type: Api
          Properties: {RestApiId: !Ref Api, Path: /items, Method: get}
        Queue:
          Type: MQ
          Properties:
            Broker: !Sub "arn:aws:mq:${AWS::Region}:1:broker:x:b-1"
            Queues: [!Ref QueueName]
            BatchSize: 7
            SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: !Ref SecretArn}]
        Tick:
          Type: Schedule
          Properties: {Schedule: rate(1 minute), Enabled: false}
        Tock:
          Type: Schedule
          Properties: {Schedule: "cron(0 1 * * ? *)", Input: '{"a": 1}'}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: v1
      BinaryMediaTypes: [multipart~1form-data]
      Cors: {AllowOrigin: !Sub "'${Origin}'", AllowMethods: "'GET'"}
      GatewayResponses:
        MISSING_AUTHENTICATION_TOKEN:
          StatusCode: 404
          ResponseParameters: {Headers: {X-Why: "'because'"}}
          ResponseTemplates: {application/json: '{"detail": "no"}'}
  Images:
    Type: AWS::S3::Bucket
    Properties:
      CorsConfiguration:
        CorsRules: [{AllowedMethods: [POST], AllowedOrigins: ["*"], MaxAge: 60, Id: x}]
  Unused:
    Type: AWS::S3::Bucket
    Condition: Never
  Database:
    Type: AWS::RDS::DBInstance
  Schema:
    Type: Custom::Schema
    Properties:
      ServiceToken: !GetAtt Function.Arn
      Revision: 4
      Host: !GetAtt Database.Endpoint.Address
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    return tmp_path


def read(folder: Path, text: str = HEAD, **variables: str) -> Template:
    path = folder / "template.yaml"
    path.write_text(text)
    return read_template(path, variables, "eu-west-1")


def test_a_function_has_its_globals_and_its_own_properties(folder: Path) -> None:
    function = read(folder).functions["Function"]
    assert function.runtime == "python3.13"
    assert function.handler == "app.lambda_handler"
    assert function.code_path == folder / "code"
    assert function.timeout_seconds == 9
    assert function.memory_mb == 128
    assert function.reserved_concurrency == 3


def test_a_variable_that_names_what_is_not_here_is_not_set(folder: Path) -> None:
    assert read(folder).functions["Function"].environment == {
        "RABBITMQ_QUEUE": "image_events",
        "CORS_ALLOWED_ORIGIN": "*",
        "IMAGES_BUCKET": "local-images",
        "COUNT": "5",
        "FLAG": "true",
    }


def test_a_variable_of_this_machine_wins_over_the_template(folder: Path) -> None:
    template = read(folder, PASSWORD="local", UNDECLARED="no", COUNT="6")
    environment = template.functions["Function"].environment
    assert environment["PASSWORD"] == "local"
    assert environment["COUNT"] == "6"
    assert "UNDECLARED" not in environment


def test_a_function_may_do_without_a_variable_of_globals(folder: Path) -> None:
    shared = HEAD.replace("Timeout: 9}", "Timeout: 9, Environment: {Variables: {SECRET_URL: a}}}")
    assert (
        read(folder, shared, SECRET_URL="b").functions["Function"].environment["SECRET_URL"] == "b"
    )
    text = shared.replace("COUNT: 5", "SECRET_URL: !Ref AWS::NoValue")
    assert "SECRET_URL" not in read(folder, text).functions["Function"].environment
    assert "SECRET_URL" not in read(folder, text, SECRET_URL="b").functions["Function"].environment


def test_a_variable_that_is_a_reference_sets_what_it_refers_to_everywhere(folder: Path) -> None:
    template = read(
        folder, RABBITMQ_QUEUE="other", IMAGES_BUCKET="pictures", CORS_ALLOWED_ORIGIN="https://me"
    )
    assert template.queue_mappings[0].queue == "other"
    assert template.buckets[0].name == "pictures"
    (api,) = template.rest_apis
    preflight = next(route for route in api.routes if route.method == "OPTIONS")
    assert isinstance(preflight.integration, MockIntegration)
    headers = preflight.integration.responses[0].headers
    assert headers["Access-Control-Allow-Origin"] == "'https://me'"


def test_the_api_has_its_routes_types_and_gateway_responses(folder: Path) -> None:
    (api,) = read(folder).rest_apis
    assert api.stage == "v1"
    assert api.binary_media_types == ("multipart/form-data",)
    assert Route("/items", "GET", FunctionIntegration("Function", 29.0)) in api.routes
    response = api.gateway_responses["MISSING_AUTHENTICATION_TOKEN"]
    assert response.status == 404
    assert response.headers == {"X-Why": "'because'"}
    assert response.templates == {"application/json": '{"detail": "no"}'}


def test_an_event_source_mapping_has_awss_defaults(folder: Path) -> None:
    (mapping,) = read(folder).queue_mappings
    assert mapping.function_id == "Function"
    assert mapping.queue == "image_events"
    assert mapping.batch_size == 7
    assert mapping.window_seconds == 0.5
    assert mapping.broker_arn == "arn:aws:mq:eu-west-1:1:broker:x:b-1"
    assert mapping.enabled


def test_a_batching_window_of_zero_is_honoured(folder: Path) -> None:
    text = HEAD.replace(
        "BatchSize: 7", "BatchSize: 7\n            MaximumBatchingWindowInSeconds: 0"
    )
    assert read(folder, text).queue_mappings[0].window_seconds == 0


def test_what_is_no_value_counts_as_not_written(folder: Path) -> None:
    nothing = "!If [Never, 5, !Ref AWS::NoValue]"
    text = HEAD.replace("BatchSize: 7", f"BatchSize: {nothing}")
    template = read(folder, text.replace("COUNT: 5", f"COUNT: {nothing}"))
    assert template.queue_mappings[0].batch_size == 100
    assert "COUNT" not in template.functions["Function"].environment
    with pytest.raises(TemplateError, match="Queues"):
        read(folder, HEAD.replace("[!Ref QueueName]", nothing))


def test_schedules_say_whether_they_are_switched_on(folder: Path) -> None:
    tick, tock = read(folder).schedules
    assert (tick.expression, tick.enabled, tick.payload) == ("rate(1 minute)", False, None)
    assert (tock.expression, tock.enabled, tock.payload) == ("cron(0 1 * * ? *)", True, '{"a": 1}')


def test_buckets_have_their_cors_rules_and_conditions_are_kept(folder: Path) -> None:
    (bucket,) = read(folder).buckets
    assert bucket.cors_rules == (
        {"AllowedMethods": ["POST"], "AllowedOrigins": ["*"], "MaxAgeSeconds": 60},
    )


def test_a_custom_resource_names_its_function(folder: Path) -> None:
    (resource,) = read(folder).custom_resources
    assert (resource.logical_id, resource.function_id) == ("Schema", "Function")
    assert resource.resource_type == "Custom::Schema"
    assert resource.properties["Revision"] == 4
    # What refers to AWS alone is left out.
    assert "Host" not in resource.properties


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Runtime: python3.13", "Runtime: nodejs20.x", "runs Python functions"),
        ("CodeUri: code", "CodeUri: missing", "there is no folder"),
        ("CodeUri: code", "CodeUri: s3://bucket/key", "not a folder on this machine"),
        ("Handler: app.lambda_handler,", "", "Handler"),
        ("Type: AWS::RDS::DBInstance", "Type: AWS::ApiGatewayV2::Api", "has no paths"),
        ("{Type: String, Default: image_events}", "{Type: String}", "QueueName has no value"),
        ("Condition: Never", "Condition: Missing", "no condition Missing"),
        ("!GetAtt Function.Arn", "!Ref SecretArn", "the parameter SecretArn has no value"),
        ("Resources:", "Resources: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_what_cannot_run_here_is_refused_in_words(
    folder: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(TemplateError, match=words):
        read(folder, HEAD.replace(old, new, 1))


def test_a_template_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="There is no template at"):
        read_template(tmp_path / "none.yaml", {}, "us-east-1")


def test_iam_authorization_is_refused_rather_than_left_out(folder: Path) -> None:
    text = HEAD.replace(
        "      StageName: v1\n",
        "      StageName: v1\n      Auth:\n        DefaultAuthorizer: AWS_IAM\n",
    )
    with pytest.raises(TemplateError, match="does not run IAM authorization"):
        read(folder, text)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "BatchSize: 7",
            """BatchSize: 7\n            FilterCriteria: {Filters: [{Pattern: '{"data": {}}'}]}""",
            "does not filter messages",
        ),
        (
            "Type: Schedule\n          Properties: {Schedule: rate(1 minute), Enabled: false}",
            "Type: ScheduleV2\n          Properties: "
            "{ScheduleExpression: rate(1 day), ScheduleExpressionTimezone: Europe/Berlin}",
            "schedules are in UTC",
        ),
        (
            "Type: Schedule\n          Properties: {Schedule: rate(1 minute), Enabled: false}",
            "Type: ScheduleV2\n          Properties: "
            "{ScheduleExpression: rate(1 day), Input: !Ref SecretArn}",
            "the parameter SecretArn has no value",
        ),
    ],
)
def test_what_would_change_when_a_function_runs_is_refused_rather_than_left_out(
    folder: Path, old: str, new: str, words: str
) -> None:
    assert old in HEAD
    with pytest.raises(TemplateError, match=words):
        read(folder, HEAD.replace(old, new, 1))


def test_the_projects_own_template_can_be_run() -> None:
    path = Path(__file__).parents[3] / "template.yaml"
    template = read_template(path, {}, "us-east-1")
    (api,) = template.rest_apis
    assert {route.path for route in api.routes} >= {"/auth/login", "/image/{image_id}"}
    assert [mapping.queue for mapping in template.queue_mappings] == ["image_events"]
    assert template.buckets
    assert template.schedules
    assert template.custom_resources


VALIDATED = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, Handler: app.lambda_handler, CodeUri: code}
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: v1
      Models: {User: {type: object, required: [name], properties: {name: {type: string}}}}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Post:
          Type: Api
          Properties:
            RestApiId: !Ref Api
            Path: /users
            Method: post
            RequestModel:
              {Model: User, Required: true, ValidateBody: true, ValidateParameters: true}
            RequestParameters:
              - method.request.header.X-Header: {Required: true}
              - method.request.querystring.free
        Get:
          Type: Api
          Properties: {RestApiId: !Ref Api, Path: /users, Method: get}
"""


def test_a_request_validator_is_read_with_its_model(folder: Path) -> None:
    (api,) = read(folder, VALIDATED).rest_apis
    post, get = sorted(api.routes, key=lambda route: route.method, reverse=True)
    assert post.validation is not None
    assert post.validation.required == {("header", "X-Header")}
    schema = json.loads(post.validation.schemas["application/json"])
    assert schema["definitions"]["user"]["required"] == ["name"]
    assert get.validation is None


PUBLISHED = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, CodeUri: code, AutoPublishAlias: live}
Resources:
  One:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.one
      EventInvokeConfig: {MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60}
  Two:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.two
      Events: {Get: {Type: Api, Properties: {Path: /two, Method: get}}}
"""


def test_functions_of_one_folder_have_names_of_their_own(folder: Path) -> None:
    template = read(folder, PUBLISHED)
    names = {name: function.folder_name for name, function in template.functions.items()}
    assert names == {"One": "One", "Two": "Two"}
    assert template.function("Two").handler == "app.two"
    with pytest.raises(KeyError, match="there are: One, Two"):
        template.function("code")


def test_versions_aliases_and_retries_are_read(folder: Path) -> None:
    template = read(folder, PUBLISHED)
    functions = template.functions
    (api,) = template.rest_apis
    (route,) = api.routes
    assert route.integration == FunctionIntegration("Two", 29.0, "live")
    assert functions["One"].versions == {"1": "1", "live": "1"}
    assert functions["One"].retries == Retries(0, 60)
    assert functions["Two"].retries == Retries(2, 21_600)


def with_destination(destination: str) -> str:
    return PUBLISHED.replace(
        "{MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60}",
        "{DestinationConfig: {OnFailure: %s}}" % destination,  # noqa: UP031
    )


def test_a_function_is_told_how_asynchronous_invocations_end(folder: Path) -> None:
    told = read(folder, with_destination("{Type: Lambda, Destination: !GetAtt Two.Arn}"))
    assert told.functions["One"].destinations == Destinations(None, "Two")
    assert told.functions["Two"].destinations == Destinations()


@pytest.mark.parametrize(
    ("destination", "words"),
    [
        ("{Type: SQS, Destination: 'arn:aws:sqs:a:1:q'}", "neither queues, topics"),
        ("{Type: SQS}", "neither queues, topics"),
        ("{Type: EventBridge, Destination: !Sub 'arn:aws:events:${AWS::Region}:1:event-bus/b'}",
         "event buses"),
        ("{Type: Lambda, Destination: 'arn:aws:lambda:us-east-1:1:function:Absent'}",
         "there is no function Absent"),
    ],
)  # fmt: skip
def test_any_other_destination_of_asynchronous_invocations_is_refused(
    folder: Path, destination: str, words: str
) -> None:
    with pytest.raises(TemplateError, match=words):
        read(folder, with_destination(destination))


def test_versions_need_no_quotation_marks(folder: Path) -> None:
    template = read(
        folder,
        """AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Resources:
  One:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code
      Handler: app.one
      Runtime: python3.13
      Policies:
        - Version: 2012-10-17
          Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]
""",
    )
    assert template.functions.keys() == {"One"}


def test_an_application_of_others_is_left_out_like_every_nested_stack(folder: Path) -> None:
    template = read(
        folder,
        PUBLISHED
        + """
  Others:
    Type: AWS::Serverless::Application
    Properties:
      Location: {ApplicationId: "arn:aws:serverlessrepo:a:1:applications/x", SemanticVersion: 1.0.0}
""",
    )
    assert template.functions.keys() == {"One", "Two"}


@pytest.mark.parametrize("name", ["Timeout", "MemorySize", "ReservedConcurrentExecutions"])
def test_a_number_that_is_none_is_named(folder: Path, name: str) -> None:
    with pytest.raises(TemplateError, match=f"One: {name} is 'long', not a number"):
        read(folder, PUBLISHED.replace("Handler: app.one", f"Handler: app.one\n      {name}: long"))


NEEDY = (
    PUBLISHED.replace(
        "Handler: app.two",
        "Handler: app.two\n      Environment: {Variables: {STAGE: !Ref Stage, TABLE: !Ref Table}}",
    )
    + """
  Table:
    Type: AWS::Serverless::SimpleTable
Parameters:
  Stage: {Type: String}
"""
)


@pytest.mark.parametrize(("apply_on", "wanted"), [("PublishedVersions", True), ("None", False)])
def test_a_function_says_whether_it_wants_snapshots(
    folder: Path, apply_on: str, wanted: bool
) -> None:
    text = PUBLISHED.replace(
        "Handler: app.one", f"Handler: app.one\n      SnapStart: {{ApplyOn: {apply_on}}}"
    )
    functions = read(folder, text).functions
    assert functions["One"].wants_snapshots is wanted
    assert functions["Two"].wants_snapshots is False


def test_a_function_knows_which_of_its_variables_are_not_set_here(folder: Path) -> None:
    path = folder / "template.yaml"
    path.write_text(NEEDY)
    functions = read_template(path, {}, "us-east-1", {"Stage": "dev"}).functions
    assert functions["Two"].environment == {"STAGE": "dev"}
    assert functions["Two"].unset_variables == ("TABLE",)
    assert functions["One"].unset_variables == ()
    # Nor is one that refers to a parameter without a value.
    assert read(folder, NEEDY).functions["Two"].unset_variables == ("STAGE", "TABLE")
