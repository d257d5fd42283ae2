"""Reads template.yaml, and refuses in words what this machine cannot run."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infra.entry_point import Explained
from infra.local.template.buckets import read_buckets
from infra.local.template.functions import read_functions
from infra.local.template.http_api import read_http_apis
from infra.local.template.model import (
    CustomResource,
    QueueMapping,
    Schedule,
    Template,
    TemplateError,
)
from infra.local.template.resources import Resources
from infra.local.template.rest_api import read_rest_apis
from infra.local.template.translation import translate
from infra.local.template.triggers import read_custom_resources, read_queue_mappings, read_schedules

_NOT_RUN = {
    "AWS::Lambda::Url": "function URLs",
    "AWS::SNS::Subscription": "SNS subscriptions",
    "AWS::IoT::TopicRule": "IoT rules",
    "AWS::StepFunctions::StateMachine": "state machines",
}

logger = logging.getLogger(__name__)


def read_template(
    path: Path,
    variables: Mapping[str, str],
    region: str,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Template:
    """Reads a SAM template; `variables` replace the values of function variables of that name, and
    `parameters` the defaults of the template's own.

    A variable that is a plain reference to a parameter or a bucket sets that parameter, or names
    that bucket, everywhere in the template.
    Raises TemplateError, whatever the file holds: halves of templates are typed at any time.
    """
    try:
        return _read(path, variables, region, parameters)
    except Explained:
        raise
    except Exception as error:
        logger.debug("%s", path, exc_info=True)
        raise TemplateError(
            f"{path.name} has a part that is not as a template has it "
            f"({type(error).__name__}: {error}); --verbose shows where it was met"
        ) from error


def _read(
    path: Path, variables: Mapping[str, str], region: str, parameters: Mapping[str, str]
) -> Template:
    resources = Resources(translate(path, variables, region, parameters), region)
    for logical_id, kind, properties in resources:
        _refuse_what_cannot_run(resources, logical_id, kind, properties)
    template = Template(
        path=path,
        region=region,
        functions=read_functions(resources, variables),
        rest_apis=tuple(read_rest_apis(resources)),
        http_apis=tuple(read_http_apis(resources)),
        queue_mappings=tuple(read_queue_mappings(resources)),
        schedules=tuple(read_schedules(resources)),
        buckets=tuple(read_buckets(resources)),
        custom_resources=tuple(read_custom_resources(resources)),
    )
    for function_id in _used_functions(template):
        if function_id not in template.functions:
            raise resources.error(f"there is no function {function_id}")
    return template


def _refuse_what_cannot_run(
    resources: Resources, logical_id: str, kind: str, properties: Mapping[str, Any]
) -> None:
    if kind in _NOT_RUN:
        raise resources.error(
            f"{logical_id} ({kind}): the local cloud does not run {_NOT_RUN[kind]}"
        )
    if kind == "AWS::Lambda::Function" and properties.get("DurableConfig"):
        raise resources.error(f"{logical_id}: the local cloud does not run durable functions")
    if kind == "AWS::S3::Bucket" and properties.get("NotificationConfiguration"):
        raise resources.error(
            f"{logical_id}: the local cloud does not deliver a bucket's notifications"
        )
    if kind == "AWS::CloudFormation::Stack":
        logger.debug("%s: nested stacks are not run", logical_id)


def _used_functions(template: Template) -> Iterator[str]:
    yield from sorted(template.answering_functions)
    users: list[QueueMapping | Schedule | CustomResource] = [
        *template.queue_mappings,
        *template.schedules,
        *template.custom_resources,
    ]
    for user in users:
        yield user.function_id
    for function in template.functions.values():
        told = function.destinations
        yield from filter(None, (told.on_success, told.on_failure))
