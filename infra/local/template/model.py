"""What a template declares, as the local cloud runs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.entry_point import Explained

# The account in which the Runtime Interface Emulator places every function.
ACCOUNT_ID = "012345678912"
STACK_NAME = "local"
# A day, where there is to be no time-out: the emulator wants a number.
UNTIMED_SECONDS = 86_400


def function_arn(region: str, name: str) -> str:
    """Without a version or an alias."""
    return f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}"


class TemplateError(Explained):
    """The template is wrong, or declares something that this machine cannot run."""


class MissingFolder(TemplateError):
    """The template names a folder of code that is not there."""

    def __init__(self, where: str, folder: Path) -> None:
        super().__init__(f"{where}there is no folder {folder}")
        self.folder = folder


@dataclass(frozen=True)
class Layer:
    logical_id: str
    content_path: Path


@dataclass(frozen=True)
class Retries:
    """Of asynchronous invocations that failed, with Lambda's defaults."""

    max_attempts: int = 2
    max_event_age_seconds: int = 21_600


@dataclass(frozen=True)
class Destinations:
    """The functions, by logical id, that are told how asynchronous invocations end."""

    on_success: str | None = None
    on_failure: str | None = None


@dataclass(frozen=True)
class Function:
    """`environment` holds the variables that the template declares, with their local values."""

    logical_id: str
    name: str
    runtime: str
    handler: str
    code_path: Path
    environment: Mapping[str, str]
    timeout_seconds: int
    memory_mb: int
    layers: tuple[Layer, ...]
    reserved_concurrency: int | None
    # By alias, and by its own number, the version that is published.
    versions: Mapping[str, str] = field(default_factory=dict)
    retries: Retries = Retries()
    destinations: Destinations = Destinations()
    # Variables that the template declares, and that refer to what AWS alone has.
    unset_variables: tuple[str, ...] = ()
    # That its versions begin as copies of a snapshot.
    wants_snapshots: bool = False
    # Of several functions in one folder none can be called by its name.
    has_own_folder: bool = True

    @property
    def folder_name(self) -> str:
        """What it is called here."""
        return self.code_path.name if self.has_own_folder else self.logical_id

    @property
    def code_folders(self) -> list[Path]:
        """Every folder of this project that holds the function's code."""
        return [self.code_path, *(layer.content_path for layer in self.layers)]


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
    """`qualifier` is the alias that the API invokes, where the template publishes one.

    `payload_format`, 1.0 or 2.0, is of HTTP APIs.
    """

    function_id: str
    timeout_seconds: float
    qualifier: str | None = None
    payload_format: str = "1.0"


@dataclass(frozen=True)
class Validation:
    """What a request validator asks for: `required` are pairs of header, path or querystring and a
    name; `schemas` are the JSON Schemas, as text, of bodies by their media type."""

    required: frozenset[tuple[str, str]]
    schemas: Mapping[str, str]


@dataclass(frozen=True)
class LambdaAuthorizer:
    """A function that is asked whether a request may go on.

    `kind` is TOKEN or REQUEST. `identity_sources` are pairs of header, querystring, stageVariables
    or context and a name. `payload_format`, 1.0 or 2.0, and `is_simple`, whether it answers with a
    Boolean instead of a policy, are of HTTP APIs.
    """

    name: str
    kind: str
    function_id: str
    region: str
    identity_sources: tuple[tuple[str, str], ...]
    ttl_seconds: int
    timeout_seconds: float
    validation_expression: str | None = None
    payload_format: str = "1.0"
    is_simple: bool = False
    # As of a FunctionIntegration.
    qualifier: str | None = None


@dataclass(frozen=True)
class Route:
    """`method` is upper case, or ANY."""

    path: str
    method: str
    integration: FunctionIntegration | MockIntegration
    validation: Validation | None = None
    authorizer: LambdaAuthorizer | None = None


@dataclass(frozen=True)
class GatewayResponse:
    status: int | None
    headers: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True)
class Api:
    """A REST API."""

    logical_id: str
    stage: str
    stage_variables: Mapping[str, str]
    binary_media_types: tuple[str, ...]
    # From how many bytes on answers are compressed; None: never, nor is any body inflated.
    minimum_compression_bytes: int | None
    routes: tuple[Route, ...]
    gateway_responses: Mapping[str, GatewayResponse]


@dataclass(frozen=True)
class Cors:
    """What an HTTP API tells browsers of other origins, and answers preflight requests with."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    allow_credentials: bool = False


@dataclass(frozen=True)
class HttpApi:
    """`default_route` answers what no other does; its path and its method say nothing."""

    logical_id: str
    stage: str
    stage_variables: Mapping[str, str]
    routes: tuple[Route, ...]
    default_route: Route | None = None
    cors: Cors | None = None

    @property
    def all_routes(self) -> tuple[Route, ...]:
        return self.routes if self.default_route is None else (*self.routes, self.default_route)


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
    rest_apis: tuple[Api, ...] = ()
    http_apis: tuple[HttpApi, ...] = ()
    queue_mappings: tuple[QueueMapping, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    custom_resources: tuple[CustomResource, ...] = ()

    def function(self, name: str) -> Function:
        """By logical id, function name or folder name. Raises KeyError, in words."""
        for function in self.functions.values():
            if name in (function.logical_id, function.name, function.folder_name):
                return function
        known = ", ".join(sorted(item.folder_name for item in self.functions.values()))
        raise KeyError(f"There is no function {name}; there are: {known}")

    @property
    def code_folders(self) -> set[Path]:
        """The folders of all functions and their layers."""
        return {folder for function in self.functions.values() for folder in function.code_folders}

    @property
    def apis(self) -> tuple[Api | HttpApi, ...]:
        return (*self.rest_apis, *self.http_apis)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Of all APIs."""
        return tuple(
            route
            for api in self.apis
            for route in (api.all_routes if isinstance(api, HttpApi) else api.routes)
        )

    @property
    def answering_functions(self) -> set[str]:
        """The logical ids of those that answer whoever asks an API, or let them pass."""
        return {
            *(
                route.integration.function_id
                for route in self.routes
                if isinstance(route.integration, FunctionIntegration)
            ),
            *(route.authorizer.function_id for route in self.routes if route.authorizer),
        }

    @property
    def triggered_functions(self) -> set[str]:
        """The functions that a request, a message, a clock or another function, whose environment
        names it, may call at any time.
        """
        named = {
            value
            for function in self.functions.values()
            for value in function.environment.values()
            if value != function.name
        }
        return {
            *self.answering_functions,
            *(mapping.function_id for mapping in self.queue_mappings if mapping.enabled),
            *(schedule.function_id for schedule in self.schedules if schedule.enabled),
            *(name for name, function in self.functions.items() if function.name in named),
        }
