"""What template.yaml declares, as the local cloud runs it.

SAM's own translator turns the template into CloudFormation first, so that Globals, the CORS
answers, gateway responses, schedules and event sources mean here what they mean on AWS.
"""

import copy
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from infra.local.template.intrinsics import Resolver, Unresolved

# The account in which the Runtime Interface Emulator places every function.
ACCOUNT_ID = "012345678912"
STACK_NAME = "local"

_LOCAL_CODE = "s3://local-code/"
_TRIGGERS = ("AWS::Lambda::EventSourceMapping", "AWS::Events::Rule", "AWS::Scheduler::Schedule")
_NOT_RUN = {
    "AWS::Lambda::Url": "function URLs",
    "AWS::ApiGatewayV2::Api": "HTTP and WebSocket APIs",
    "AWS::SNS::Subscription": "SNS subscriptions",
    "AWS::IoT::TopicRule": "IoT rules",
    "AWS::StepFunctions::StateMachine": "state machines",
}
_METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_ANY_METHOD = "x-amazon-apigateway-any-method"
_INTEGRATION = "x-amazon-apigateway-integration"

logger = logging.getLogger(__name__)


class TemplateError(Exception):
    """The template is wrong, or declares something that this machine cannot run."""


@dataclass(frozen=True)
class Layer:
    logical_id: str
    content_path: Path


@dataclass(frozen=True)
class Function:
    """`environment` holds the variables that the template declares, with their local values."""

    logical_id: str
    name: str
    handler: str
    code_path: Path
    environment: Mapping[str, str]
    timeout_seconds: int
    memory_mb: int
    layers: tuple[Layer, ...]
    reserved_concurrency: int | None

    @property
    def folder_name(self) -> str:
        return self.code_path.name


@dataclass(frozen=True)
class MockResponse:
    """One answer of a mock integration: chosen where `pattern` matches the mock's status."""

    pattern: str
    status: int
    headers: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True)
class MockIntegration:
    """`content_types`: of the requests it takes; None for all."""

    status: int
    content_types: frozenset[str] | None
    responses: tuple[MockResponse, ...]


@dataclass(frozen=True)
class FunctionIntegration:
    function_id: str
    timeout_seconds: float


@dataclass(frozen=True)
class Route:
    """`method` is upper case, or ANY."""

    path: str
    method: str
    integration: FunctionIntegration | MockIntegration


@dataclass(frozen=True)
class GatewayResponse:
    status: int | None
    headers: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True)
class Api:
    logical_id: str
    stage: str
    stage_variables: Mapping[str, str]
    binary_media_types: tuple[str, ...]
    routes: tuple[Route, ...]
    gateway_responses: Mapping[str, GatewayResponse]


@dataclass(frozen=True)
class QueueMapping:
    """An event source mapping from a RabbitMQ queue to a function."""

    logical_id: str
    function_id: str
    broker_arn: str
    queue: str
    batch_size: int
    window_seconds: float
    enabled: bool


@dataclass(frozen=True)
class Schedule:
    """`payload` is the JSON text sent instead of the scheduler's own event, where given."""

    logical_id: str
    function_id: str
    expression: str
    enabled: bool
    payload: str | None
    arn: str


@dataclass(frozen=True)
class Bucket:
    """`cors_rules` are as the S3 API takes them."""

    logical_id: str
    name: str
    cors_rules: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class CustomResource:
    logical_id: str
    resource_type: str
    function_id: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Template:
    path: Path
    region: str
    functions: Mapping[str, Function] = field(default_factory=dict)
    api: Api | None = None
    queue_mappings: tuple[QueueMapping, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    custom_resources: tuple[CustomResource, ...] = ()

    def function(self, reference: str) -> Function:
        """By logical id, function name, folder name, or ARN (with or without a qualifier)."""
        match = re.fullmatch(r"(?:arn:aws[\w-]*:lambda:[^:]*:)?\d*:?(?:function:)?(.+)", reference)
        name = (match.group(1) if match else reference).split(":")[0]
        for function in self.functions.values():
            if name in (function.logical_id, function.name, function.folder_name):
                return function
        known = ", ".join(sorted(item.folder_name for item in self.functions.values()))
        raise KeyError(f"There is no function {reference}; there are: {known}")


def read_template(path: Path, variables: Mapping[str, str], region: str) -> Template:
    """Reads a SAM template; `variables` replace the values of function variables of that name.

    A variable that is a plain reference to a parameter or a bucket sets that parameter, or names
    that bucket, everywhere in the template.
    Raises TemplateError.
    """
    # The translator takes most of a second to load, and loads boto3's session with it.
    from boto3 import Session
    from botocore.session import Session as BotocoreSession
    from samtranslator.model.exceptions import ExceptionWithMessage, InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.yaml_helper import yaml_parse
    from yaml import YAMLError

    try:
        source = yaml_parse(path.read_text())
    except FileNotFoundError:
        raise TemplateError(f"There is no template at {path}") from None
    except YAMLError as error:
        raise TemplateError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(source, dict) or not isinstance(source.get("Resources"), dict):
        raise TemplateError(f"{path.name} has no Resources")
    _hide_local_paths(source)
    referenced = dict(_plain_references(source, variables))
    # Whatever profile the environment names: nothing is asked of AWS.
    session = Session(
        botocore_session=BotocoreSession(session_vars={"profile": (None, None, None, None)}),
        region_name=region,
    )
    try:
        translated = Translator(None, Parser(), boto_session=session).translate(
            copy.deepcopy(source),
            parameter_values={
                name: value
                for name, value in referenced.items()
                if name in (source.get("Parameters") or {})
            },
            get_managed_policy_map=dict,
        )
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes) or str(error)
        raise TemplateError(f"{path.name} is not a valid SAM template: {causes}") from error
    except ExceptionWithMessage as error:
        raise TemplateError(f"{path.name} is not a valid SAM template: {error.message}") from error
    # Through JSON: the translator returns str and dict subclasses with odd ordering semantics.
    document = json.loads(json.dumps(translated))
    return _Reader(path, document, variables, referenced, region).read()


def _hide_local_paths(source: dict[str, Any]) -> None:
    """The translator accepts only S3 locations: paths travel through it as keys of a bucket."""

    def hide(properties: dict[str, Any], key: str) -> None:
        value = properties.get(key)
        if isinstance(value, str) and not value.startswith("s3://"):
            properties[key] = _LOCAL_CODE + quote(value, safe="")

    for properties in (source.get("Globals") or {}).values():
        hide(properties, "CodeUri")
    for resource in source["Resources"].values():
        properties = resource.setdefault("Properties", {}) or {}
        if resource.get("Type") == "AWS::Serverless::Function":
            if "CodeUri" not in properties and "CodeUri" not in (
                (source.get("Globals") or {}).get("Function") or {}
            ):
                properties["CodeUri"] = "."
            hide(properties, "CodeUri")
        elif resource.get("Type") == "AWS::Serverless::LayerVersion":
            hide(properties, "ContentUri")


def _plain_references(
    source: Mapping[str, Any], variables: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    owners = [(source.get("Globals") or {}).get("Function") or {}]
    owners += [
        resource.get("Properties") or {}
        for resource in source["Resources"].values()
        if resource.get("Type") == "AWS::Serverless::Function"
    ]
    for owner in owners:
        declared = (owner.get("Environment") or {}).get("Variables") or {}
        for name, value in declared.items():
            if name in variables and isinstance(value, dict) and set(value) == {"Ref"}:
                yield value["Ref"], variables[name]


class _Reader:
    def __init__(
        self,
        path: Path,
        document: Mapping[str, Any],
        variables: Mapping[str, str],
        referenced: Mapping[str, str],
        region: str,
    ) -> None:
        self._path = path
        self._folder = path.parent
        self._variables = variables
        self._referenced = referenced
        self._region = region
        self._attributes: dict[tuple[str, str], Any] = {}
        self._resolver = Resolver(document, self._attributes)
        self._define_parameters(document.get("Parameters") or {})
        self._resources = {
            logical_id: resource
            for logical_id, resource in document["Resources"].items()
            if self._wanted(logical_id, resource)
        }
        for logical_id, resource in self._resources.items():
            self._define_resource(logical_id, resource)

    def read(self) -> Template:
        for logical_id, resource in self._resources.items():
            self._refuse_what_cannot_run(logical_id, resource)
        functions = {
            logical_id: self._function(logical_id, properties)
            for logical_id, properties in self._of_type("AWS::Lambda::Function")
        }
        template = Template(
            path=self._path,
            region=self._region,
            functions=functions,
            api=self._api(),
            queue_mappings=tuple(
                mapping
                for logical_id, properties in self._of_type("AWS::Lambda::EventSourceMapping")
                for mapping in self._queue_mappings(logical_id, properties)
            ),
            schedules=tuple(self._schedules()),
            buckets=tuple(
                self._bucket(logical_id, properties)
                for logical_id, properties in self._of_type("AWS::S3::Bucket")
            ),
            custom_resources=tuple(self._custom_resources()),
        )
        for function_id in self._used_functions(template):
            if function_id not in functions:
                raise TemplateError(f"{self._path.name}: there is no function {function_id}")
        return template

    def _used_functions(self, template: Template) -> Iterator[str]:
        for route in template.api.routes if template.api else ():
            if isinstance(route.integration, FunctionIntegration):
                yield route.integration.function_id
        users: list[QueueMapping | Schedule | CustomResource] = [
            *template.queue_mappings,
            *template.schedules,
            *template.custom_resources,
        ]
        for user in users:
            yield user.function_id

    def _define_parameters(self, parameters: Mapping[str, Any]) -> None:
        for name, parameter in parameters.items():
            value = self._referenced.get(name, parameter.get("Default"))
            kind = str(parameter.get("Type", "String"))
            if value is None or kind.startswith("AWS::SSM"):
                continue
            if kind.startswith("List<") or kind == "CommaDelimitedList":
                value = [item.strip() for item in str(value).split(",")]
            self._attributes[name, "Ref"] = value
        region, account = self._region, ACCOUNT_ID
        stack_id = f"arn:aws:cloudformation:{region}:{account}:stack/{STACK_NAME}/local"
        for name, value in {
            "AccountId": account,
            "NotificationARNs": [],
            "Partition": "aws",
            "Region": region,
            "StackId": stack_id,
            "StackName": STACK_NAME,
            "URLSuffix": "amazonaws.com",
        }.items():
            self._attributes[f"AWS::{name}", "Ref"] = value

    def _define_resource(self, logical_id: str, resource: Mapping[str, Any]) -> None:
        properties = resource.get("Properties") or {}

        def named(property_name: str, default: str) -> str:
            return str(self._optional(logical_id, properties, property_name, default))

        ref = ("", "")
        match resource["Type"]:
            case "AWS::Lambda::Function":
                name = named("FunctionName", logical_id)
                ref = (name, self._arn("lambda", f"function:{name}"))
            case "AWS::Lambda::LayerVersion":
                ref = (logical_id, "")
            case "AWS::Lambda::Alias" | "AWS::Lambda::Version":
                target = properties["FunctionName"]
                function_id = target.get("Ref") or target["Fn::GetAtt"][0]
                qualifier = named("Name", "1")
                ref = (self._arn("lambda", f"function:{function_id}:{qualifier}"), "")
            case "AWS::S3::Bucket":
                name = self._referenced.get(logical_id) or named(
                    "BucketName", f"{STACK_NAME}-{logical_id.lower()}"
                )
                ref = (name, f"arn:aws:s3:::{name}")
            case "AWS::ApiGateway::RestApi":
                ref = (logical_id.lower(), "")
            case "AWS::ApiGateway::Stage":
                ref = (named("StageName", "Prod"), "")
            case "AWS::Events::Rule":
                name = named("Name", logical_id)
                ref = (name, self._arn("events", f"rule/{name}"))
            case "AWS::Scheduler::Schedule":
                name = named("Name", logical_id)
                ref = (name, self._arn("scheduler", f"schedule/default/{name}"))
        if ref[0]:
            self._attributes[logical_id, "Ref"] = ref[0]
        if ref[1]:
            self._attributes[logical_id, "Arn"] = ref[1]

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._region}:{ACCOUNT_ID}:{resource}"

    def _of_type(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for logical_id, resource in self._resources.items():
            if resource["Type"] == resource_type:
                yield logical_id, resource.get("Properties") or {}

    def _wanted(self, logical_id: str, resource: Mapping[str, Any]) -> bool:
        if "Condition" not in resource:
            return True
        try:
            return self._resolver.condition(resource["Condition"])
        except Unresolved as error:
            raise TemplateError(f"{self._path.name}: condition of {logical_id}: {error}") from error

    def _refuse_what_cannot_run(self, logical_id: str, resource: Mapping[str, Any]) -> None:
        kind = resource["Type"]
        properties = resource.get("Properties") or {}
        if kind in _NOT_RUN:
            raise TemplateError(
                f"{self._path.name}: {logical_id} ({kind}): "
                f"the local cloud does not run {_NOT_RUN[kind]}"
            )
        notification = properties.get("NotificationConfiguration")
        if kind == "AWS::S3::Bucket" and notification:
            raise TemplateError(
                f"{self._path.name}: {logical_id}: "
                "the local cloud does not deliver a bucket's notifications"
            )
        if kind == "AWS::CloudFormation::Stack":
            logger.debug("%s: nested stacks are not run", logical_id)

    def _required(self, logical_id: str, properties: Mapping[str, Any], name: str) -> Any:
        try:
            return self._resolver.resolve(properties[name])
        except KeyError:
            raise TemplateError(f"{self._path.name}: {logical_id} has no {name}") from None
        except Unresolved as error:
            raise TemplateError(f"{self._path.name}: {logical_id}, {name}: {error}") from error

    def _optional(
        self, logical_id: str, properties: Mapping[str, Any], name: str, default: Any
    ) -> Any:
        return self._required(logical_id, properties, name) if name in properties else default

    def _local_path(self, logical_id: str, code: Mapping[str, Any]) -> Path:
        location = f"s3://{code.get('S3Bucket')}/{code.get('S3Key')}"
        if not location.startswith(_LOCAL_CODE):
            raise TemplateError(
                f"{self._path.name}: the code of {logical_id} is not a folder on this machine"
            )
        path = (self._folder / unquote(location.removeprefix(_LOCAL_CODE))).resolve()
        if not path.is_dir():
            raise TemplateError(f"{self._path.name}: {logical_id}: there is no folder {path}")
        return path

    def _function(self, logical_id: str, properties: Mapping[str, Any]) -> Function:
        runtime = self._optional(logical_id, properties, "Runtime", "")
        if not str(runtime).startswith("python"):
            raise TemplateError(
                f"{self._path.name}: {logical_id} has the runtime {runtime or 'of a container'}; "
                "the local cloud runs Python functions"
            )
        declared = (properties.get("Environment") or {}).get("Variables") or {}
        reserved = self._optional(logical_id, properties, "ReservedConcurrentExecutions", None)
        return Function(
            logical_id=logical_id,
            name=self._attributes[logical_id, "Ref"],
            handler=str(self._required(logical_id, properties, "Handler")),
            code_path=self._local_path(logical_id, properties["Code"]),
            environment=dict(self._environment(logical_id, declared)),
            timeout_seconds=int(self._optional(logical_id, properties, "Timeout", 3)),
            memory_mb=int(self._optional(logical_id, properties, "MemorySize", 128)),
            layers=tuple(
                self._layer(str(layer_id))
                for layer_id in self._optional(logical_id, properties, "Layers", [])
            ),
            reserved_concurrency=None if reserved is None else int(reserved),
        )

    def _environment(
        self, logical_id: str, declared: Mapping[str, Any]
    ) -> Iterator[tuple[str, str]]:
        for name, value in declared.items():
            if name in self._variables:
                yield name, self._variables[name]
                continue
            try:
                resolved = self._resolver.resolve(value)
            except Unresolved as error:
                logger.debug("%s: %s is not set: %s", logical_id, name, error)
                continue
            if isinstance(resolved, bool):
                resolved = str(resolved).lower()
            yield name, str(resolved)

    def _layer(self, layer_id: str) -> Layer:
        resource = self._resources.get(layer_id)
        if resource is None or resource["Type"] != "AWS::Lambda::LayerVersion":
            raise TemplateError(
                f"{self._path.name}: the layer {layer_id} is not part of this template, "
                "so its code is not on this machine"
            )
        content = resource["Properties"]["Content"]
        # The translator appends a hash of the content to the logical id.
        name = re.sub(r"[0-9a-f]{10}$", "", layer_id)
        return Layer(name, self._local_path(name, content))

    def _api(self) -> Api | None:
        apis = list(self._of_type("AWS::ApiGateway::RestApi"))
        if len(apis) > 1:
            names = ", ".join(logical_id for logical_id, _ in apis)
            raise TemplateError(
                f"{self._path.name}: the local cloud serves one API, and there are {names}"
            )
        for logical_id, properties in apis:
            body = properties.get("Body")
            if not isinstance(body, dict) or not isinstance(body.get("paths"), dict):
                raise TemplateError(f"{self._path.name}: {logical_id} has no paths")
            stage: dict[str, Any] = next(
                (p for _, p in self._of_type("AWS::ApiGateway::Stage")), {}
            )
            binary = {
                *self._optional(logical_id, properties, "BinaryMediaTypes", []),
                *self._optional(logical_id, body, "x-amazon-apigateway-binary-media-types", []),
            }
            return Api(
                logical_id=logical_id,
                stage=str(self._optional(logical_id, stage, "StageName", "Prod")),
                stage_variables=self._optional(logical_id, stage, "Variables", {}),
                binary_media_types=tuple(sorted({kind.replace("~1", "/") for kind in binary})),
                routes=tuple(self._routes(logical_id, body)),
                gateway_responses=self._gateway_responses(logical_id, body),
            )
        return None

    def _routes(self, logical_id: str, body: Mapping[str, Any]) -> Iterator[Route]:
        for path, item in body["paths"].items():
            if not isinstance(item, dict):
                continue
            methods = self._conditional_methods(item)
            for method, operation in methods.items():
                where = f"{logical_id}, {method.upper()} {path}"
                if not isinstance(operation, dict) or (
                    method not in _METHODS and method != _ANY_METHOD
                ):
                    continue
                security = operation.get("security", body.get("security"))
                if security and security != [{"NONE": []}]:
                    raise TemplateError(
                        f"{self._path.name}: {where}: the local cloud runs no authorizers"
                    )
                integration = self._required(where, operation, _INTEGRATION)
                yield Route(
                    path,
                    "ANY" if method == _ANY_METHOD else method.upper(),
                    self._integration(where, integration),
                )

    def _conditional_methods(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """SAM wraps the path items of conditional functions into an `Fn::If`."""
        if set(item) != {"Fn::If"}:
            return item
        name, if_true, if_false = item["Fn::If"]
        chosen = if_true if self._resolver.condition(name) else if_false
        return chosen if isinstance(chosen, dict) and "Ref" not in chosen else {}

    def _integration(
        self, where: str, integration: Mapping[str, Any]
    ) -> FunctionIntegration | MockIntegration:
        kind = str(integration.get("type", "")).lower()
        if kind == "aws_proxy":
            match = re.search(r"/functions/(arn:[^/]+)/invocations", integration.get("uri", ""))
            if match is None:
                raise TemplateError(f"{self._path.name}: {where} does not name a function")
            timeout_ms = int(integration.get("timeoutInMillis", 29_000))
            return FunctionIntegration(self._function_id(match.group(1)), timeout_ms / 1000)
        if kind != "mock":
            raise TemplateError(
                f"{self._path.name}: {where}: the local cloud runs no {kind or 'such'} integrations"
            )
        templates = {
            **(integration.get("requestTemplates") or {}),
            **{
                f"{pattern} {content_type}": text
                for pattern, response in (integration.get("responses") or {}).items()
                for content_type, text in (response.get("responseTemplates") or {}).items()
            },
        }
        if any(
            re.search(r"#(set|if|foreach|macro|evaluate)\b|\$input|\$util", text)
            for text in templates.values()
        ):
            raise TemplateError(
                f"{self._path.name}: {where}: the local cloud runs no mapping template language"
            )
        return self._mock(where, integration)

    def _mock(self, where: str, integration: Mapping[str, Any]) -> MockIntegration:
        text = next(iter((integration.get("requestTemplates") or {}).values()), "{}")
        try:
            status = int(json.loads(text)["statusCode"])
        except (ValueError, KeyError, TypeError) as error:
            raise TemplateError(
                f"{self._path.name}: {where}: a mock's request template must be "
                '{"statusCode": ...}, not ' + repr(text)
            ) from error
        prefix = "method.response.header."
        responses = [
            MockResponse(
                pattern=pattern,
                status=int(response["statusCode"]),
                headers={
                    name.removeprefix(prefix): str(value)
                    for name, value in (response.get("responseParameters") or {}).items()
                    if name.startswith(prefix)
                },
                templates=response.get("responseTemplates") or {},
            )
            for pattern, response in (integration.get("responses") or {}).items()
        ]
        # `default` answers what no other pattern matches.
        responses.sort(key=lambda response: response.pattern == "default")
        behaviour = str(integration.get("passthroughBehavior", "when_no_match")).lower()
        content_types = (
            None
            if behaviour == "when_no_match"
            else frozenset(map(str.lower, integration.get("requestTemplates") or {}))
        )
        return MockIntegration(status, content_types, tuple(responses))

    def _function_id(self, arn: str) -> str:
        name = arn.split(":function:", 1)[-1].split(":")[0]
        for logical_id, _ in self._of_type("AWS::Lambda::Function"):
            if name in (logical_id, self._attributes[logical_id, "Ref"]):
                return logical_id
        return name

    def _gateway_responses(
        self, logical_id: str, body: Mapping[str, Any]
    ) -> dict[str, GatewayResponse]:
        declared = self._optional(logical_id, body, "x-amazon-apigateway-gateway-responses", {})
        prefix = "gatewayresponse.header."
        return {
            kind: GatewayResponse(
                status=int(response["statusCode"]) if response.get("statusCode") else None,
                headers={
                    name.removeprefix(prefix): str(value)
                    for name, value in (response.get("responseParameters") or {}).items()
                    if name.startswith(prefix)
                },
                templates=response.get("responseTemplates") or {},
            )
            for kind, response in declared.items()
        }

    def _bucket(self, logical_id: str, properties: Mapping[str, Any]) -> Bucket:
        names = {
            "AllowedHeaders": "AllowedHeaders",
            "AllowedMethods": "AllowedMethods",
            "AllowedOrigins": "AllowedOrigins",
            "ExposedHeaders": "ExposeHeaders",
            "MaxAge": "MaxAgeSeconds",
        }
        cors = self._optional(logical_id, properties, "CorsConfiguration", {})
        rules = tuple(
            {names[name]: value for name, value in rule.items() if name in names}
            for rule in cors.get("CorsRules", ())
        )
        return Bucket(logical_id, self._attributes[logical_id, "Ref"], rules)

    def _queue_mappings(
        self, logical_id: str, properties: Mapping[str, Any]
    ) -> Iterator[QueueMapping]:
        if "Queues" not in properties:
            raise TemplateError(
                f"{self._path.name}: {logical_id}: the only event sources that the local cloud "
                "reads are RabbitMQ queues (MQ)"
            )
        if "FilterCriteria" in properties:
            raise TemplateError(
                f"{self._path.name}: {logical_id}: the local cloud filters no messages"
            )
        default_arn = self._arn("mq", "broker:local:b-00000000-0000-0000-0000-000000000000")
        try:
            broker_arn = self._resolver.resolve(properties.get("EventSourceArn", default_arn))
        except Unresolved:
            broker_arn = default_arn
        function = self._required(logical_id, properties, "FunctionName")
        for queue in self._required(logical_id, properties, "Queues"):
            yield QueueMapping(
                logical_id=logical_id,
                function_id=self._function_id(str(function)),
                broker_arn=str(broker_arn),
                queue=str(queue),
                batch_size=int(self._optional(logical_id, properties, "BatchSize", 100)),
                window_seconds=float(
                    self._optional(logical_id, properties, "MaximumBatchingWindowInSeconds", 0.5)
                ),
                enabled=_truth(self._optional(logical_id, properties, "Enabled", True)),
            )

    def _schedules(self) -> Iterator[Schedule]:
        for logical_id, properties in self._of_type("AWS::Events::Rule"):
            if "ScheduleExpression" not in properties:
                raise TemplateError(
                    f"{self._path.name}: {logical_id}: the local cloud runs schedules, "
                    "not rules on events"
                )
            for target in self._required(logical_id, properties, "Targets"):
                yield self._schedule(logical_id, properties, target)
        for logical_id, properties in self._of_type("AWS::Scheduler::Schedule"):
            target = {
                name: self._resolver.resolve(properties["Target"][name])
                for name in ("Arn", "Input")
                if name in properties["Target"]
            }
            if self._optional(logical_id, properties, "ScheduleExpressionTimezone", "UTC") != "UTC":
                raise TemplateError(
                    f"{self._path.name}: {logical_id}: the local cloud's schedules are in UTC"
                )
            yield self._schedule(logical_id, properties, target)

    def _schedule(
        self, logical_id: str, properties: Mapping[str, Any], target: Mapping[str, Any]
    ) -> Schedule:
        return Schedule(
            logical_id=logical_id,
            function_id=self._function_id(str(target["Arn"])),
            expression=str(self._required(logical_id, properties, "ScheduleExpression")),
            enabled=self._optional(logical_id, properties, "State", "ENABLED") == "ENABLED",
            payload=target.get("Input"),
            arn=self._attributes[logical_id, "Arn"],
        )

    def _custom_resources(self) -> Iterator[CustomResource]:
        for logical_id, resource in self._resources.items():
            kind = resource["Type"]
            if not kind.startswith("Custom::") and kind != "AWS::CloudFormation::CustomResource":
                continue
            properties = resource.get("Properties") or {}
            token = str(self._required(logical_id, properties, "ServiceToken"))
            yield CustomResource(
                logical_id=logical_id,
                resource_type=kind,
                function_id=self._function_id(token),
                properties=dict(self._custom_properties(logical_id, properties)),
            )

    def _custom_properties(
        self, logical_id: str, properties: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        """What refers to AWS alone, such as a nested stack, is left out, as in an environment."""
        for name, value in properties.items():
            try:
                yield name, self._resolver.resolve(value)
            except Unresolved as error:
                logger.debug("%s: %s is not given: %s", logical_id, name, error)


def _truth(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"
