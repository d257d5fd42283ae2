"""A SAM template turned into CloudFormation by SAM's own translator.

So Globals, the CORS answers, gateway responses, schedules and event sources mean here what they
mean on AWS.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

from infra.local.template.model import TemplateError
from infra.local.template.structure import Misshapen, check_structure

_LOCAL_BUCKET = "local-code"
_LOCAL_CODE = f"s3://{_LOCAL_BUCKET}/"


@dataclass(frozen=True)
class Translation:
    """`overrides` are values of parameters, and names of buckets, that this machine sets."""

    path: Path
    document: Mapping[str, Any]
    overrides: Mapping[str, str]


def translate(
    path: Path,
    variables: Mapping[str, str],
    region: str,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Translation:
    """Reads the template; a function variable of the same name gives way to `variables`, a
    parameter's default to `parameters`.

    Raises TemplateError.
    """
    # The translator takes most of a second to load.
    from samtranslator.model.exceptions import ExceptionWithMessage, InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    source = _source(path)
    _hide_local_paths(source)
    _hide_applications(source)
    _check_parameters(path, source, parameters)
    overrides = {**parameters, **dict(_plain_references(source, variables))}
    try:
        translated = Translator(None, Parser(), boto_session=_session(region)).translate(
            copy.deepcopy(source),
            parameter_values={
                name: value
                for name, value in overrides.items()
                if name in (source.get("Parameters") or {})
            },
            get_managed_policy_map=dict,
        )
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes) or str(error)
        raise TemplateError(f"{path.name} is not a valid SAM template: {causes}") from error
    except ExceptionWithMessage as error:
        raise TemplateError(f"{path.name} is not a valid SAM template: {error.message}") from error
    # Through JSON: the translator returns str and dict subclasses with odd ordering semantics, and
    # YAML makes dates of versions that are not quoted.
    return Translation(path, json.loads(json.dumps(translated, default=str)), overrides)


@cache
def _session(region: str) -> Any:
    """Whatever profile the environment names: nothing is asked of AWS."""
    from boto3 import Session
    from botocore.session import Session as BotocoreSession

    return Session(
        botocore_session=BotocoreSession(session_vars={"profile": (None, None, None, None)}),
        region_name=region,
    )


def local_path(translation: Translation, code: Mapping[str, Any]) -> Path | None:
    """Where a translated function's or layer's code lies; None where it is not on this machine."""
    location = f"s3://{code.get('S3Bucket')}/{code.get('S3Key')}"
    if not location.startswith(_LOCAL_CODE):
        return None
    return (translation.path.parent / unquote(location.removeprefix(_LOCAL_CODE))).resolve()


def _source(path: Path) -> dict[str, Any]:
    from samtranslator.yaml_helper import yaml_parse
    from yaml import YAMLError

    try:
        source = yaml_parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TemplateError(f"There is no template at {path}") from None
    except OSError as error:
        raise TemplateError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path.name} is not UTF-8") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise TemplateError(f"{path.name} is not valid YAML: {error}") from error
    try:
        check_structure(source)
    except Misshapen as error:
        raise TemplateError(f"{path.name}: {error}") from error
    document: dict[str, Any] = source
    return document


def _check_parameters(path: Path, source: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
    for name, declared in (source.get("Parameters") or {}).items():
        allowed = [str(value) for value in (declared or {}).get("AllowedValues") or []]
        if allowed and name in parameters and parameters[name] not in allowed:
            raise TemplateError(
                f"{path.name}: the parameter {name} is {parameters[name]!r}, "
                f"not one of {', '.join(allowed)}"
            )


def _hide_local_paths(source: dict[str, Any]) -> None:
    """The translator accepts only S3 locations: paths travel through it as keys of a bucket."""

    def hide(properties: dict[str, Any], key: str) -> None:
        value = properties.get(key)
        if isinstance(value, str) and not value.startswith("s3://"):
            properties[key] = _LOCAL_CODE + quote(value, safe="")

    for properties in (source.get("Globals") or {}).values():
        hide(properties or {}, "CodeUri")
    for resource in source["Resources"].values():
        if not resource.get("Properties"):
            resource["Properties"] = {}
        properties = resource["Properties"]
        if resource.get("Type") == "AWS::Serverless::Function":
            if "CodeUri" not in properties and "CodeUri" not in (
                (source.get("Globals") or {}).get("Function") or {}
            ):
                properties["CodeUri"] = "."
            hide(properties, "CodeUri")
        elif resource.get("Type") == "AWS::Serverless::LayerVersion":
            hide(properties, "ContentUri")
        elif resource.get("Type") == "AWS::Lambda::Function" and isinstance(
            properties.get("Code"), str
        ):
            # As sam build has it.
            key = quote(properties["Code"], safe="")
            properties["Code"] = {"S3Bucket": _LOCAL_BUCKET, "S3Key": key}


def _hide_applications(source: dict[str, Any]) -> None:
    """The translator would ask AWS for them: they are nested stacks, which are left out here."""
    for resource in source["Resources"].values():
        if resource.get("Type") == "AWS::Serverless::Application":
            resource["Type"] = "AWS::CloudFormation::Stack"
            resource["Properties"] = {}


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
