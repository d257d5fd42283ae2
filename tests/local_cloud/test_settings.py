"""Settings that are wrong are named before anything starts, and no password with them."""

import asyncio
import errno
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.local.network.addresses import check_addresses
from infra.local.settings import SettingsError, read_settings
from infra.local.template.reader import read_template
from infra.services.ports import hold_free_port, port_of
from tests.local_cloud.small_cloud import ELSEWHERE, Cloud, refused, running

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DATABASE_URL": "foo"}, "DATABASE_URL does not begin with postgresql://"),
        (
            {"DATABASE_URL": f"mysql://u:{SECRET}@localhost/x"},
            "DATABASE_URL does not begin with postgresql://",
        ),
        (
            {"DATABASE_URL": f"postgresql://u:{SECRET}@localhost:1/x"},
            "DATABASE_URL: nothing answers at localhost:1 (Connection refused)",
        ),
        (
            {"DATABASE_ADMIN_URL": f"postgresql://u:{SECRET}@127.0.0.1:1/x"},
            "DATABASE_ADMIN_URL: nothing answers at 127.0.0.1:1 (Connection refused)",
        ),
        # Hosts for which no name server is asked, who may be slow to answer.
        (
            {"DATABASE_URL": f"postgresql://u:{SECRET}@-nowhere/x"},
            "DATABASE_URL: there is no host -nowhere",
        ),
        (
            {"DATABASE_URL": f"postgresql://u:{SECRET}@no..where/x"},
            "DATABASE_URL: there is no host no..where",
        ),
        (
            {"DATABASE_URL": f"postgresql://u:{SECRET}/w@localhost:5432/x"},
            "DATABASE_URL: its host or port cannot be read",
        ),
        (
            {"RABBITMQ_URL": f"amqp://u:{SECRET}@localhost:1/%2F"},
            "RABBITMQ_URL: nothing answers at localhost:1 (Connection refused)",
        ),
        ({"RABBITMQ_URL": "nonsense"}, "RABBITMQ_URL does not begin with amqp:// or amqps://"),
        ({"RABBITMQ_URL": "amqp://"}, "RABBITMQ_URL names no host: amqp:// or amqps://HOST"),
        (
            {"RABBITMQ_URL": "", "RABBITMQ_HOST": "localhost", "RABBITMQ_PORT": "abc"},
            "RABBITMQ_PORT is 'abc', not a port (1 to 65535)",
        ),
        (
            {"RABBITMQ_URL": "", "RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": "1"},
            "RABBITMQ_HOST: nothing answers at 127.0.0.1:1 (Connection refused)",
        ),
        (
            {"AWS_ENDPOINT_URL": "http://localhost:1"},
            "AWS_ENDPOINT_URL: nothing answers at localhost:1 (Connection refused)",
        ),
        ({"AWS_ENDPOINT_URL": "localhost:1"}, "AWS_ENDPOINT_URL does not begin with http://"),
        ({"LAMBDA_MAX_ENVIRONMENTS": "all"}, "LAMBDA_MAX_ENVIRONMENTS is 'all', not a whole"),
    ],
)
def test_a_wrong_setting_is_named(project: Path, variables: dict[str, str], words: str) -> None:
    said = refused(Cloud(project, settings=variables), "run")
    assert said.startswith(words)
    assert said.count("\n") == 1
    assert SECRET not in said
    # Nothing was started for it.
    assert not (project / "data/environments.json").exists()


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        ((), {"API_PORT": "99999"}, "API_PORT is 99999, not a port (1 to 65535)\n"),
        ((), {"API_PORT": "abc"}, "API_PORT is 'abc', not a whole number\n"),
        ((), {"LAMBDA_PORT": "70000"}, "LAMBDA_PORT is 70000, not a port (1 to 65535)\n"),
    ],
)
def test_a_port_that_is_none_is_named(
    project: Path, arguments: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    assert refused(Cloud(project, is_private=False, settings=variables), "run", *arguments) == words


def test_an_env_file_that_cannot_be_read_stops_the_start_with_its_line(project: Path) -> None:
    (project / ".env").write_text(f'GOOD=1\nDATABASE_URL="{SECRET}\nLAMBDA_PORT=1\n')
    said = refused(Cloud(project), "run")
    assert f"{project / '.env'}, line 2: not of the form NAME=value" in said
    assert SECRET not in said


def test_the_lambda_api_is_at_the_port_that_was_asked_for(project: Path) -> None:
    with ExitStack() as stack:
        first, second, third = (
            str(port_of(stack.enter_context(hold_free_port()))) for _ in range(3)
        )
        ports = {"API_PORT": first, "LAMBDA_PORT": second}
        cloud = stack.enter_context(running(Cloud(project, is_private=False, settings=ports)))
        assert cloud.invoke_url == f"http://127.0.0.1:{second}"
        assert cloud.invoke("probe", {"do": "show"})["calls"] == 1
        ports["API_PORT"] = third
        other = Cloud(project, data="other", is_private=False, settings=ports)
        with pytest.raises(AssertionError, match="is already in use: choose another"):
            other.start()


def test_psql_is_told_where_the_database_is(project: Path) -> None:
    assert "No local cloud is running here" in refused(Cloud(project), "psql")
    with running(Cloud(project)) as cloud:
        assert cloud.run("psql", "--url").stdout == f"{ELSEWHERE['DATABASE_URL']}\n"


def parametrised(project: Path) -> None:
    path = project / "template.yaml"
    path.write_text(
        "Parameters:\n  Stage: {Type: String, AllowedValues: [dev, prod, 'a b']}\n"
        + path.read_text().replace("from the template", "!Ref Stage")
    )


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        ((), "dev"),
        (("--config-env", "prod"), "prod"),
        (("--parameter-overrides", "Other=1", "Stage='a b'"), "a b"),
        (("--parameter-overrides", "ParameterKey=Stage,ParameterValue=prod"), "prod"),
    ],
)
def test_parameters_come_from_the_command_line_or_from_samconfig(
    project: Path, options: tuple[str, ...], stage: str
) -> None:
    parametrised(project)
    (project / "samconfig.toml").write_text(
        "version = 0.1\n"
        "[default.deploy.parameters]\nparameter_overrides = 'Stage=dev'\n"
        "[prod.global.parameters]\nparameter_overrides = ['Stage=prod']\n"
    )
    settings = read_settings(
        template=project / "template.yaml",
        parameter_overrides=options[1:] if "--parameter-overrides" in options else (),
        config_environment=options[1] if "--config-env" in options else "default",
    )
    template = read_template(settings.template, {}, "us-east-1", settings.parameters)
    assert template.functions["ProbeFunction"].environment["DECLARED"] == stage


def test_a_wrong_parameter_is_named(project: Path) -> None:
    parametrised(project)
    for overrides, words in (
        (("Stage=nowhere",), "the parameter Stage is 'nowhere', not one of dev, prod, a b"),
        (("Stage",), "--parameter-overrides: 'Stage' is not of the form Name=value"),
    ):
        assert words in refused(Cloud(project), "run", "--parameter-overrides", *overrides)
    (project / "samconfig.toml").write_text("version = ")
    assert "samconfig.toml cannot be read" in refused(Cloud(project), "run")


def test_a_password_may_come_from_a_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "password"
    kept.write_text("p/w:d@\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada@db:5432/x")
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", str(kept))
    monkeypatch.setenv("RABBITMQ_URL", f"amqp://ada:{SECRET}@mq/%2F")
    variables = read_settings(template=project / "template.yaml").variables
    assert variables["DATABASE_URL"] == "postgresql://ada:p%2Fw%3Ad%40@db:5432/x"
    assert variables["RABBITMQ_URL"] == f"amqp://ada:{SECRET}@mq/%2F"


@pytest.mark.parametrize(
    ("url", "file", "words"),
    [
        ("postgresql://ada@db/x", "/nowhere", "DATABASE_PASSWORD_FILE: /nowhere cannot be read"),
        ("postgresql://ada:pw@db/x", __file__, "DATABASE_URL is not of the form scheme://user@"),
        ("postgresql://db/x", __file__, "DATABASE_URL is not of the form scheme://user@"),
        ("", __file__, "DATABASE_URL is not of the form scheme://user@"),
    ],
)
def test_a_password_file_that_completes_nothing_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, url: str, file: str, words: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", file)
    with pytest.raises(SettingsError, match=words):
        read_settings(template=project / "template.yaml")


@pytest.mark.parametrize("hosts", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
async def test_a_machine_without_ipv6_says_why_nothing_answers(
    project: Path, monkeypatch: pytest.MonkeyPatch, hosts: tuple[str, ...]
) -> None:
    async def resolve(_name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(None, None, None, "", (host, port)) for host in hosts]

    async def connect(host: str, _port: int) -> None:
        reason = errno.EADDRNOTAVAIL if host == "::1" else errno.ECONNREFUSED
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setenv("RABBITMQ_URL", "amqp://localhost:1/%2F")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    monkeypatch.setattr(asyncio, "open_connection", connect)
    with pytest.raises(SettingsError, match=r"nothing answers at localhost:1 \(Connection refused"):
        await check_addresses(read_settings(template=project / "template.yaml"))
