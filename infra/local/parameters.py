"""Values of a template's parameters, as the SAM CLI takes them."""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.entry_point import Explained

_KEY_VALUE = re.compile(r"ParameterKey=(?P<key>[^,]+),ParameterValue=(?P<value>.*)", re.DOTALL)


class WrongParameters(Explained):
    """Values of parameters that cannot be read; the text says where."""


def given(texts: Sequence[str]) -> dict[str, str]:
    """Of `Name=value`, or `ParameterKey=Name,ParameterValue=value`. Raises WrongParameters."""
    return dict(_pairs(texts, "--parameter-overrides"))


def of_a_deployment(folder: Path, environment: str) -> dict[str, str]:
    """What samconfig.toml has a deployment use. Raises WrongParameters."""
    path = folder / "samconfig.toml"
    try:
        document: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WrongParameters(f"{path.name} cannot be read: {error}") from error
    values: dict[str, str] = {}
    for command in ("global", "deploy"):
        found = document
        for name in (environment, command, "parameters"):
            found = found.get(name, {}) if isinstance(found, dict) else {}
        overrides = found.get("parameter_overrides", []) if isinstance(found, dict) else []
        values |= _overrides(overrides, f"{path.name}, {environment}.{command}")
    return values


def _overrides(value: Any, where: str) -> Mapping[str, str]:
    if isinstance(value, dict):
        return {str(name): _as_text(item) for name, item in value.items()}
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise WrongParameters(f"{where}: parameter_overrides is neither text nor a list of it")
    return dict(_pairs(texts, where))


def _pairs(texts: Sequence[str], where: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise WrongParameters(f"{where}: {error} in {text!r}") from error
        for word in words:
            if found := _KEY_VALUE.fullmatch(word):
                yield found["key"], found["value"]
                continue
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise WrongParameters(f"{where}: {word!r} is not of the form Name=value")
            yield name, value


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
