"""docker-compose.yml, the Dockerfile and infra/compose.env agree with the code and each other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from image_api.rabbitmq.users import by_purpose
from tests.application import ROOT
from tests.commands import output_of

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
# All but the one that makes the passwords, and ends.
PASSWORDS: dict[str, Any] = COMPOSE["services"]["passwords"]
SERVICES: dict[str, Any] = {
    name: service for name, service in COMPOSE["services"].items() if name != "passwords"
}
API: dict[str, Any] = SERVICES["api"]
DOCKERFILE = (ROOT / API["build"]["dockerfile"]).read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)

# Everything that one may set, set to something that is not the default.
CHOSEN = {
    "POSTGRES_USER": "ada",
    "POSTGRES_PASSWORD": "one",
    "POSTGRES_API_PASSWORD": "two",
    "POSTGRES_DB": "pictures",
    "POSTGRES_PORT": "15432",
    "RABBITMQ_USER": "grace",
    "RABBITMQ_PASSWORD": "three",
    "RABBITMQ_API_PASSWORD": "four",
    "RABBITMQ_MANAGEMENT_PORT": "25673",
    "RABBITMQ_PORT": "25672",
    "LOCALSTACK_PORT": "14566",
    "IMAGES_BUCKET": "photos",
}


def interpolated(text: object, variables: Mapping[str, str]) -> str:
    """As docker compose does it."""
    return re.sub(
        r"\$\{([A-Z_]+)(?::-([^}]*))?\}",
        lambda found: variables.get(found[1]) or found[2] or "",
        str(text),
    )


def published_ports(service: Mapping[str, Any]) -> dict[str, str]:
    """The container's port to what is published for it."""
    return {port.rpartition(":")[2]: port for port in service["ports"]}


@each_service
def test_an_image_names_its_version(service: Mapping[str, Any]) -> None:
    if "build" in service:
        assert re.findall(r"^FROM (?!\$\{PYTHON_IMAGE\})", DOCKERFILE, re.MULTILINE) == []
        image = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", DOCKERFILE, re.MULTILINE)[0]
    else:
        image = interpolated(service["image"], {})
    _, _, tag = image.rpartition(":")
    assert re.match(r"\d", tag), image


@each_service
def test_a_port_is_open_to_this_machine_alone_and_can_be_changed(
    service: Mapping[str, Any],
) -> None:
    assert service["ports"]
    for port in service["ports"]:
        assert re.match(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:", port), port


def test_two_services_never_publish_the_same_port() -> None:
    ports = [interpolated(port, {}) for service in SERVICES.values() for port in service["ports"]]
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)


@each_service
def test_a_service_is_watched_restarted_and_confined(service: Mapping[str, Any]) -> None:
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert "SYS_ADMIN" not in service.get("cap_add", ())
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert "/var/run/docker.sock" not in str(service["volumes"])


@each_service
def test_data_lives_in_named_volumes_and_the_repository_is_never_written(
    service: Mapping[str, Any],
) -> None:
    sources = [volume.split(":") for volume in service["volumes"]]
    assert any(source in COMPOSE["volumes"] for source, *_ in sources)
    for source, _, *mode in sources:
        if source not in COMPOSE["volumes"]:
            assert mode == ["ro"]
            assert (ROOT / source).is_dir()


def test_every_declared_volume_is_used() -> None:
    services = (PASSWORDS, *SERVICES.values())
    used = {volume.split(":")[0] for service in services for volume in service["volumes"]}
    assert set(COMPOSE["volumes"]) <= used


def test_no_password_is_written_down() -> None:
    assert set(PASSWORDS["environment"].values()) == {None}
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            assert "PASS" not in name or str(value).startswith("/passwords/"), name
            assert urlsplit(interpolated(value, {})).password is None, name


def test_whoever_is_given_a_password_waits_until_it_is_made() -> None:
    for service in SERVICES.values():
        is_given = "passwords:/passwords:ro" in service["volumes"]
        assert is_given == ("/passwords/" in str(service))
        assert is_given == ("passwords" in service.get("depends_on", {}))


def test_who_makes_the_passwords_reaches_nobody_and_runs_once() -> None:
    assert PASSWORDS["network_mode"] == "none"
    assert PASSWORDS["restart"] == "no"
    assert PASSWORDS["cap_drop"] == ["ALL"]
    assert PASSWORDS["read_only"] is True


def made_passwords(folder: Path, **chosen: str) -> dict[str, str]:
    """What infra/compose/passwords.sh leaves in the folder."""
    script = (ROOT / "infra" / "compose" / "passwords.sh").read_text()
    output_of(
        *("sh", "-c", script.replace("cd /passwords\n", f"cd {shlex.quote(str(folder))}\n")),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **chosen},
    )
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_passwords_are_made_once_unless_they_are_chosen(tmp_path: Path) -> None:
    made = made_passwords(tmp_path)
    assert made.keys() == {"postgres", "postgres-api", "rabbitmq", "rabbitmq-api"}
    assert len(set(made.values())) == 4
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in made.values())
    assert made_passwords(tmp_path) == made
    chosen = made_passwords(tmp_path, RABBITMQ_PASSWORD="chosen")
    assert chosen == {**made, "rabbitmq": "chosen"}


def test_the_api_starts_when_all_others_are_healthy() -> None:
    conditions = {name: how["condition"] for name, how in API["depends_on"].items()}
    healthy = dict.fromkeys(SERVICES.keys() - {"api"}, "service_healthy")
    assert conditions == {"passwords": "service_completed_successfully", **healthy}


def test_rabbitmq_keeps_its_name_so_that_it_finds_its_data() -> None:
    assert SERVICES["rabbitmq"]["hostname"] == "rabbitmq"


def test_every_variable_of_the_api_is_one_that_the_code_reads() -> None:
    sources = [
        *(ROOT / "layers" / "common" / "image_api").glob("*.py"),
        *(ROOT / "infra" / "local").glob("*.py"),
    ]
    read = set(re.findall(r'"([A-Z][A-Z_]+)"', "\n".join(path.read_text() for path in sources)))
    assert set(API["environment"]) <= read


def test_every_setting_of_the_example_reaches_the_api() -> None:
    example = (ROOT / ".env.example").read_text()
    known = set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", example, re.MULTILINE))
    # With a value made of them, or handed on as they are.
    used = set(
        re.findall(
            r"\$\{([A-Z_]+)|^ +([A-Z_]+):$",
            (ROOT / "docker-compose.yml").read_text(),
            re.MULTILINE,
        )
    )
    # In here services, ports and Python are these, and the keys and the region LocalStack's own.
    fixed = {
        "API_HOST",
        "DEBUG_PORT",
        "LAMBDA_PORT",
        "LAMBDA_PYTHON",
        "RABBITMQ_HOST",
        "AWS_REGION",
    } | {name for name in known if re.match("AWS_(ACCESS|SECRET|SESSION)_", name)}
    assert not known - set(API["environment"]) - {one or other for one, other in used} - fixed


def test_a_url_names_a_service_and_the_port_that_it_listens_on() -> None:
    urls = [name for name in API["environment"] if name.endswith(("_ADMIN_URL", "_MANAGEMENT_URL"))]
    assert len(urls) == 2
    for name in ("DATABASE_URL", "RABBITMQ_URL", "AWS_ENDPOINT_URL", *urls):
        url = urlsplit(interpolated(API["environment"][name], {}))
        assert str(url.port) in published_ports(SERVICES[str(url.hostname)])


def test_clients_reach_the_storage_where_it_is_published() -> None:
    public = urlsplit(interpolated(API["environment"]["STORAGE_PUBLIC_URL"], CHOSEN))
    assert public.hostname == "localhost"
    assert public.port == int(CHOSEN["LOCALSTACK_PORT"])
    published = published_ports(SERVICES["localstack"])["4566"]
    assert interpolated(published, CHOSEN).split(":")[1] == CHOSEN["LOCALSTACK_PORT"]


def test_the_api_uses_another_role_than_the_owner_of_the_schema() -> None:
    environment = API["environment"]
    admin = urlsplit(interpolated(environment["DATABASE_ADMIN_URL"], CHOSEN))
    api = urlsplit(interpolated(environment["DATABASE_URL"], CHOSEN))
    assert admin.username == "ada"
    assert environment["DATABASE_ADMIN_PASSWORD_FILE"] != environment["DATABASE_PASSWORD_FILE"]
    assert api.username not in (admin.username, None)
    assert api.path == admin.path == "/pictures"
    assert interpolated(SERVICES["db"]["environment"]["POSTGRES_USER"], CHOSEN) == "ada"


def test_functions_are_users_of_the_broker_whom_its_administrator_makes() -> None:
    environment = API["environment"]
    owner = urlsplit(interpolated(environment["RABBITMQ_MANAGEMENT_URL"], CHOSEN))
    url = interpolated(environment["RABBITMQ_URL"], CHOSEN)
    users = {urlsplit(url.replace("{purpose}", purpose)).username for purpose in by_purpose()}
    assert len(users) == len(by_purpose())
    assert owner.username == "grace" not in users
    assert environment["RABBITMQ_ADMIN_PASSWORD_FILE"] != environment["RABBITMQ_PASSWORD_FILE"]


def test_no_signing_key_is_written_down() -> None:
    assert API["environment"]["JWT_SECRET"] is None


# A docker that shows the files that it is asked for, of a service that has them.
DOCKER = """#!/bin/sh
[ "$1 $2 $3 $4 $5" = "compose exec -T db cat" ] && basename "$6" && exit
exit 1
"""


@pytest.mark.parametrize("chosen", [{}, CHOSEN], ids=["defaults", "chosen"])
def test_a_program_on_this_machine_reaches_the_same_services(
    chosen: dict[str, str], tmp_path: Path
) -> None:
    """infra/compose.env, read by a shell, against what docker-compose.yml hands the API."""
    shell = "set -a; . infra/compose.env; set +a; env -0"
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    # An empty folder, as .env may say anything.
    output = output_of(
        *("bash", "-c", shell.replace("infra/", shlex.quote(f"{ROOT}/infra") + "/")),
        cwd=ROOT / "infra" / "localstack",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **chosen},
    )
    given = dict(line.split("=", 1) for line in output.split("\0") if "=" in line)
    for name, of_password in (
        ("DATABASE_ADMIN_URL", "POSTGRES_PASSWORD"),
        ("DATABASE_URL", "POSTGRES_API_PASSWORD"),
        ("RABBITMQ_MANAGEMENT_URL", "RABBITMQ_PASSWORD"),
        ("RABBITMQ_URL", "RABBITMQ_API_PASSWORD"),
        ("AWS_ENDPOINT_URL", None),
    ):
        inside = urlsplit(interpolated(API["environment"][name], chosen))
        outside = urlsplit(given[name])
        published = published_ports(SERVICES[str(inside.hostname)])[str(inside.port)]
        assert outside.hostname == "localhost"
        assert str(outside.port) == interpolated(published, chosen).split(":")[1]
        assert (outside.username, outside.path) == (inside.username, inside.path)
        if of_password is not None:
            of_url = name.replace("MANAGEMENT", "ADMIN").replace("_URL", "_PASSWORD_FILE")
            kept = API["environment"][of_url]
            assert outside.password == chosen.get(of_password, Path(kept).name)
    assert given["IMAGES_BUCKET"] == interpolated(API["environment"]["IMAGES_BUCKET"], chosen)


def test_the_api_is_not_root_and_cannot_change_its_code() -> None:
    users = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")
    assert API["read_only"] is True
    assert "user" not in API


def test_the_container_runs_the_program_that_make_run_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    found = re.search(
        r"^run:.*\n(?:\t.*\n)*\t@exec \$\(LOCAL\)/(.*) \$\(ARGS\)$", makefile, re.MULTILINE
    )
    assert found
    command = yaml.safe_load(DOCKERFILE.rpartition("\nCMD ")[2])
    assert " ".join(command).startswith(found[1])


def test_packages_are_installed_by_their_hashes_alone() -> None:
    commands = re.findall(r"pip install (.*?) &&", f"{DOCKERFILE} &&".replace("\\\n", " "), re.S)
    assert len(commands) == 2
    for options in commands:
        assert "--no-deps --require-hashes" in options
        assert "--only-binary :all:" in options
        (path,) = re.findall(r"--requirement (\S+)", options)
        assert "--hash=sha256:" in (ROOT / path).read_text()


def test_no_frontend_has_to_be_fetched_to_build_the_image() -> None:
    assert "# syntax" not in DOCKERFILE


def test_the_image_gets_what_the_template_names_and_no_secret() -> None:
    assert IGNORED[1] == "*"
    let_in = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    template = (ROOT / "template.yaml").read_text()
    folders = re.findall(r"(?:CodeUri|ContentUri|Location): ([a-z][\w./-]*)", template)
    assert len(folders) > 10
    assert {folder.split("/")[0] for folder in folders} <= let_in
    assert "template.yaml" in let_in
    assert not let_in & {".env", ".git", ".local", ".venvs", ".cache"}
