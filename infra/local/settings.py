"""How this run of the local cloud is set up: options, the environment, and `.env`."""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from infra.entry_point import Explained
from infra.local.parameters import given, of_a_deployment
from infra.services.process_identity import ProcessIdentity
from infra.services.records import read_record, write_record

ROOT = Path(__file__).resolve().parents[2]

# Data of the application's, of which nothing else is known here.
_BROKER_USERS = ROOT / "layers" / "common" / "image_api" / "rabbitmq" / "users.json"
_DEFAULT_API_PORT = 8000
# Where editors look for one.
_DEFAULT_DEBUG_PORT = 5678
_DEFAULT_REGION = "us-east-1"
# As template.yaml has it.
_DEFAULT_WAITERS_AT_ONCE = 10
_MAX_PORT = 65_535


class SettingsError(Explained):
    """A setting is wrong; the text says which."""


@dataclass(frozen=True)
class Settings:
    """`variables` are those of the environment, else of `.env`; empty ones count as unset.

    `port` is the API's; None picks a free one. `lambda_port` is that of the Lambda API where
    somebody has asked for one. `debugged` are functions that wait for a debugger, at `debug_port`
    and the ports after it. `parameters` are values for the template's.
    """

    template: Path
    data_folder: Path
    cache_folder: Path
    port: int | None
    lambda_port: int | None
    host: str
    allowed_hosts: frozenset[str]
    is_private: bool
    as_json: bool
    is_watching: bool
    debugged: tuple[str, ...]
    debug_port: int
    parameters: Mapping[str, str]
    variables: Mapping[str, str]

    @property
    def log_folder(self) -> Path:
        return self.data_folder / "logs"

    @property
    def state_path(self) -> Path:
        return self.data_folder / "state.json"

    @property
    def region(self) -> str:
        return (
            self.variables.get("AWS_REGION")
            or self.variables.get("AWS_DEFAULT_REGION")
            or _DEFAULT_REGION
        )

    @property
    def python(self) -> Path:
        """The Python that runs the functions."""
        chosen = self.variables.get("LAMBDA_PYTHON")
        path = Path(chosen) if chosen else ROOT / ".venvs" / "lambda" / "bin" / "python"
        if not path.exists():
            raise SettingsError(f"There is no Python for the functions at {path}: run `make setup`")
        return path

    @property
    def may_run_any_runtime(self) -> bool:
        """Whether functions run whatever version of Python their template names.

        This project's own do, on all versions that it supports; others where somebody has chosen.
        """
        return self.is_of_this_project or "LAMBDA_PYTHON" in self.variables

    @property
    def is_of_this_project(self) -> bool:
        """Whether the template is the one that this repository is about."""
        return self.template == ROOT / "template.yaml"

    @property
    def broker_url(self) -> str | None:
        """A RabbitMQ that runs already."""
        if url := self.variables.get("RABBITMQ_URL"):
            return url
        if host := self.variables.get("RABBITMQ_HOST"):
            port = self.variables.get("RABBITMQ_PORT", "5672")
            user = quote(self.variables.get("RABBITMQ_USER", "guest"), safe="")
            password = quote(self.variables.get("RABBITMQ_PASSWORD", "guest"), safe="")
            return f"amqp://{user}:{password}@{host}:{port}/%2F"
        return None

    def broker_users(self) -> dict[str, dict[str, str]]:
        """What the users of a node of our own may do, by the purposes of this project's functions:
        just what a migration lets them on AWS.
        """
        if not self.is_of_this_project:
            return {}
        # As template.yaml has it.
        queue = self.variables.get("RABBITMQ_QUEUE") or self.parameters.get("QueueName")
        own = re.escape(queue or "image_events")
        written: dict[str, dict[str, str]] = json.loads(_BROKER_USERS.read_bytes())
        return {
            purpose: {name: text.replace("{queue}", own) for name, text in permissions.items()}
            for purpose, permissions in written.items()
        }

    def environment_limits(self) -> dict[str, int]:
        """How many environments a function may have, by folder name; "" is for all others.

        LAMBDA_MAX_ENVIRONMENTS sets all, LAMBDA_MAX_ENVIRONMENTS_UPLOAD that of `upload`.
        """
        name = "LAMBDA_MAX_ENVIRONMENTS"
        limits = {"": max(4, 2 * (os.cpu_count() or 1))}
        for variable, text in self.variables.items():
            if variable == name or variable.startswith(f"{name}_"):
                folder = variable.removeprefix(name).removeprefix("_").lower()
                limits[folder] = _whole_number(variable, text)
        # So many of its invocations may only wait, which takes no core.
        waiting = self.variables.get("WAITERS_AT_ONCE", str(_DEFAULT_WAITERS_AT_ONCE))
        limits.setdefault("get", limits[""] + _whole_number("WAITERS_AT_ONCE", waiting))
        return limits

    def running_cloud(self) -> dict[str, Any] | None:
        """What the local cloud that runs on the data folder has written about itself."""
        state = read_record(self.state_path)
        is_running = state is not None and ProcessIdentity.of(state["pid"]) is not None
        return state if is_running else None

    def secret_variables(self) -> dict[str, str]:
        """Secrets that nobody set: made once, kept in the data folder."""
        path = self.data_folder / "secrets.json"
        record = read_record(path)
        if record is None:
            record = {"JWT_SECRET": secrets.token_urlsafe(48)}
            write_record(path, record)
        return {name: str(value) for name, value in record.items() if name not in self.variables}


# What completes a URL that is set without a password: a file, as containers are given them.
_PASSWORD_FILES = {
    "DATABASE_ADMIN_URL": "DATABASE_ADMIN_PASSWORD_FILE",
    "DATABASE_URL": "DATABASE_PASSWORD_FILE",
    "RABBITMQ_MANAGEMENT_URL": "RABBITMQ_ADMIN_PASSWORD_FILE",
    "RABBITMQ_URL": "RABBITMQ_PASSWORD_FILE",
}


def read_settings(
    *,
    template: Path | None = None,
    data_folder: Path | None = None,
    port: int | None = None,
    is_private: bool = False,
    as_json: bool = False,
    is_watching: bool = True,
    debugged: Sequence[str] = (),
    parameter_overrides: Sequence[str] = (),
    config_environment: str = "default",
) -> Settings:
    """Settings from options, the environment and the project's `.env`. Raises SettingsError."""
    template = (template or ROOT / "template.yaml").resolve()
    merged = {**_env_file(template.parent / ".env"), **os.environ}
    variables = {name: value for name, value in merged.items() if value}
    variables |= dict(_with_passwords(variables))
    if port is None and not is_private:
        port = _port("API_PORT", variables.get("API_PORT", str(_DEFAULT_API_PORT)))
    lambda_port = variables.get("LAMBDA_PORT")
    settings = Settings(
        template=template,
        data_folder=(data_folder or template.parent / ".local").resolve(),
        cache_folder=ROOT / ".cache",
        port=port,
        lambda_port=_port("LAMBDA_PORT", lambda_port) if lambda_port and not is_private else None,
        host=variables.get("API_HOST", "127.0.0.1"),
        allowed_hosts=frozenset(variables.get("API_ALLOWED_HOSTS", "").lower().split()),
        is_private=is_private,
        as_json=as_json,
        is_watching=is_watching,
        debugged=tuple(debugged),
        debug_port=_port("DEBUG_PORT", variables.get("DEBUG_PORT", str(_DEFAULT_DEBUG_PORT))),
        parameters={
            **of_a_deployment(template.parent, config_environment),
            **given(parameter_overrides),
        },
        variables=variables,
    )
    # So that what is wrong with them is told before anything starts.
    settings.environment_limits()
    return settings


def _with_passwords(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, of_file in _PASSWORD_FILES.items():
        if not (path := variables.get(of_file)):
            continue
        try:
            password = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{of_file}: {path} cannot be read: {error}") from error
        user, separator, rest = variables.get(name, "").partition("@")
        if not separator or ":" in user.partition("://")[2]:
            raise SettingsError(
                f"{of_file} is set, and {name} is not of the form scheme://user@..."
            )
        yield name, f"{user}:{quote(password, safe='')}@{rest}"


def _env_file(path: Path) -> dict[str, str | None]:
    """What dotenv itself would skip with a warning is an error: a setting would be missing."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            for binding in parse_stream(file):
                if binding.error:
                    raise SettingsError(
                        f"{path}, line {binding.original.line}: not of the form NAME=value "
                        "(is a quotation mark missing?)"
                    )
        return dotenv_values(path)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _port(name: str, text: str) -> int:
    port = _whole_number(name, text)
    if port > _MAX_PORT:
        raise SettingsError(f"{name} is {port}, not a port (1 to {_MAX_PORT})")
    return port


def _whole_number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise SettingsError(f"{name} is {text!r}, not a whole number")
    return int(text)
