"""The three services as the supervisor uses them: real processes, real clients."""

import asyncio
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pika
import pika.exceptions
import pytest
import pytest_asyncio
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.services.ports import is_free
from infra.services.postgres import PostgresService
from infra.services.process_identity import ProcessIdentity
from infra.services.processes import Service, ServiceFailed
from infra.services.rabbitmq import RabbitMQService
from infra.services.storage import S3Service
from tests.amqp import open_channel
from tests.commands import psql, run
from tests.processes import is_running, read
from tests.waiting import until

REPOSITORY = Path(__file__).parents[3]
BUCKET = "images-test"
CAPABILITIES = {1: "dac_override", 2: "dac_read_search"}

Services = tuple[PostgresService, RabbitMQService, S3Service]


@asynccontextmanager
async def started(*services: Service) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(service.start() for service in services))
        yield
    finally:
        await asyncio.gather(*(service.stop() for service in services))


def client(storage: S3Service, **settings: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=storage.url,
        region_name=storage.region,
        aws_access_key_id=storage.access_key_id,
        aws_secret_access_key=storage.secret_access_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, **settings),
    )


def listening_ports(pids: list[int]) -> set[tuple[str, int]]:
    """Addresses of IPv4, and whatever IPv6 has."""
    inodes = {inode for pid in pids for inode in socket_inodes(pid)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            host, _, port = fields[1].partition(":")
            if fields[3] == "0A" and fields[9] in inodes:
                is_v4 = table == "tcp"
                address = socket.inet_ntoa(bytes.fromhex(host)[::-1]) if is_v4 else host
                found.add((address, int(port, 16)))
    return found


def socket_inodes(pid: int) -> list[str]:
    """The sockets that a process has open, asked for by its own account: the root of a container
    may not look into the processes of others. None, once it has ended."""
    status = dict(line.split(":", 1) for line in (read(pid, "status") or b"").decode().splitlines())
    if not status:
        return []
    uid, gid = (status[name].split()[0] for name in ("Uid", "Gid"))
    as_account = []
    if int(uid) != os.geteuid():
        as_account = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        held = int(status["CapAmb"], 16)
        names = [name for bit, name in CAPABILITIES.items() if held & (1 << bit)]
        if names:
            # Whoever looks must hold what the process holds.
            chosen = ",".join(["-all", *(f"+{name}" for name in names)])
            as_account += ["--securebits=+no_setuid_fixup"]
            as_account += [f"--inh-caps={chosen}", f"--ambient-caps={chosen}"]
    listed = run(*as_account, "ls", "-l", f"/proc/{pid}/fd")
    # What it closes meanwhile is 1, and what cannot be looked at is 2.
    assert listed.returncode < 2 or not is_running(pid), listed.stderr
    return re.findall(r"socket:\[(\d+)\]", listed.stdout)


def port_of(service: Service) -> int:
    port = urllib.parse.urlsplit(service.url).port
    assert port is not None
    return port


def lasting_ports(count: int) -> list[int]:
    """Free ones that no other cloud chooses: nobody takes them between two starts."""
    ports = random.sample(range(30_000, 32_768), 100)
    return [port for port in ports if is_free(port)][:count]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def postgres_in(folder: Path, port: int | None = 0) -> PostgresService:
    return PostgresService(folder, folder / "logs", port)


def rabbitmq_in(folder: Path, port: int | None = 0) -> RabbitMQService:
    return RabbitMQService(folder, folder / "logs", port)


def storage_in(folder: Path, port: int | None = 0) -> S3Service:
    return S3Service(folder, folder / "logs", port)


def services_in(folder: Path) -> Services:
    return postgres_in(folder), rabbitmq_in(folder), storage_in(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Services]:
    # A space and a letter outside ASCII, as home folders have them.
    folder = tmp_path_factory.mktemp("Räume und Daten")
    services = services_in(folder)
    async with started(*services):
        yield services


@pytest.fixture
def postgres(running: Services) -> PostgresService:
    return running[0]


@pytest.fixture
def rabbitmq(running: Services) -> RabbitMQService:
    return running[1]


@pytest.fixture
def storage(running: Services) -> S3Service:
    return running[2]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_postgres_gives_a_role_that_owns_the_database_and_is_no_superuser(
    postgres: PostgresService,
) -> None:
    answer = psql(postgres.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    assert answer.stdout.strip() == "f"
    assert psql(postgres.url, "CREATE TABLE owned (id int)").returncode == 0


def test_postgres_refuses_a_wrong_password(postgres: PostgresService) -> None:
    password = str(urllib.parse.urlsplit(postgres.url).password)
    refused = psql(postgres.url.replace(password, "guessed"), "SELECT 1")
    assert refused.returncode != 0
    assert "password authentication failed" in refused.stderr


def test_postgres_can_be_shown_without_its_password_and_opened_all_the_same(
    postgres: PostgresService,
) -> None:
    shown = postgres.url_with_passfile
    assert str(urllib.parse.urlsplit(postgres.url).password) not in shown
    assert (
        psql(shown, "SELECT current_user").stdout
        == psql(postgres.url, "SELECT current_user").stdout
    )
    (passfile,) = urllib.parse.parse_qs(urllib.parse.urlsplit(shown).query)["passfile"]
    assert Path(passfile).stat().st_mode & 0o777 == 0o600


def test_postgres_confirms_only_what_is_on_disk(postgres: PostgresService) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert psql(postgres.url, f"SHOW {setting}").stdout.strip() == "on", setting


def test_postgres_compares_text_without_the_locales_of_the_machine(
    postgres: PostgresService,
) -> None:
    assert psql(postgres.url, "SELECT lower('ÄÖ')").stdout.strip() == "äö"
    assert psql(postgres.url, "SHOW timezone").stdout.strip() == "UTC"


def test_every_service_listens_on_one_port_of_the_loopback_address(
    running: Services,
) -> None:
    for service in running:
        assert listening_ports(service.pids()) == {("127.0.0.1", port_of(service))}


async def test_a_database_of_another_rabbitmq_is_told_with_the_way_out(folder: Path) -> None:
    async with started(rabbitmq_in(folder)):
        pass
    record_path = folder / "rabbitmq" / "version.json"
    installed = json.loads(record_path.read_text())["version"]
    (flags,) = folder.glob("rabbitmq/var/lib/rabbitmq/mnesia/*-feature_flags")
    # No version starts from this.
    flags.write_text("none that is known")
    with pytest.raises(ServiceFailed, match=r"RabbitMQ: ended while starting"):
        await rabbitmq_in(folder).start()
    record_path.write_text('{"version": "2.8.7"}')
    with pytest.raises(ServiceFailed) as told:
        await rabbitmq_in(folder).start()
    assert f"{installed} does not start from the data of 2.8.7" in str(told.value)
    way_out = re.search(r"mv (\S+) (\S+)\. ", str(told.value))
    assert way_out
    Path(way_out[1]).rename(way_out[2])
    async with started(rabbitmq_in(folder)):
        assert json.loads(record_path.read_text()) == {"version": installed}


def test_rabbitmq_has_no_guest(rabbitmq: RabbitMQService) -> None:
    address = rabbitmq.url.rpartition("@")[2]
    with (
        pytest.raises(pika.exceptions.ProbableAuthenticationError),
        open_channel(f"amqp://guest:guest@{address}"),
    ):
        pass


async def test_users_may_what_their_purpose_is_also_with_data_of_a_node_that_had_none(
    folder: Path,
) -> None:
    def node(read: str) -> RabbitMQService:
        may = {"configure": "^$", "write": "^orders$", "read": read}
        return RabbitMQService(folder, folder / "logs", 0, users={"selling": may})

    before = rabbitmq_in(folder)
    async with started(before):
        with open_channel(before.url) as channel:
            channel.exchange_declare("orders", durable=True)
            channel.queue_declare("work", durable=True)
            channel.queue_bind("work", "orders", "x")
            kept = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("", "work", b"from before", kept)
    after = node(read="^$")
    async with started(after):
        own = after.api_url.replace("{purpose}", "selling")
        assert urllib.parse.urlsplit(own).username == "images_selling"
        with open_channel(own) as channel:
            channel.confirm_delivery()
            channel.basic_publish("orders", "x", b"new", mandatory=True)
            with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
                channel.basic_get("work")
        with open_channel(after.url) as channel:
            assert channel.basic_get("work")[2] == b"from before"
    # What a later version lets it do counts from its first start on, with the password of before.
    later = node(read="^work$")
    async with started(later):
        assert later.api_url.partition("@")[0] == after.api_url.partition("@")[0]
        with open_channel(later.api_url.replace("{purpose}", "selling")) as channel:
            assert channel.basic_get("work")[2] == b"from before"


async def test_a_new_node_with_users_has_an_administrator_and_no_guest(folder: Path) -> None:
    may = {"configure": "^$", "write": "^$", "read": "^$"}
    node = RabbitMQService(folder, folder / "logs", 0, users={"selling": may})
    async with started(node):
        test_rabbitmq_has_no_guest(node)
        with open_channel(node.url) as channel:
            channel.queue_declare("mine")
        definitions = folder / "rabbitmq" / "etc" / "rabbitmq" / "definitions.json"
        assert stat.S_IMODE(definitions.stat().st_mode) == 0o600
        for url in (node.url, node.api_url):
            assert str(urllib.parse.urlsplit(url).password) not in definitions.read_text()


def test_a_quorum_queue_hands_its_dead_letters_over_at_least_once(
    rabbitmq: RabbitMQService,
) -> None:
    with open_channel(rabbitmq.url) as channel:
        channel.confirm_delivery()
        channel.queue_declare("dead", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_declare(
            "work",
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "dead",
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        channel.basic_publish("", "work", b"hopeless", mandatory=True)
        method, _, _ = next(channel.consume("work"))
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.cancel()
        _, _, body = next(channel.consume("dead"))
    assert body == b"hopeless"


def test_an_object_comes_back_with_its_metadata(storage: S3Service) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket=BUCKET)
    body = os.urandom(3_000_000)
    s3.put_object(
        Bucket=BUCKET, Key="a/b.png", Body=body, ContentType="image/png", Metadata={"k": "v"}
    )
    answer = s3.get_object(Bucket=BUCKET, Key="a/b.png")
    assert answer["Body"].read() == body
    assert (answer["ContentType"], answer["Metadata"]) == ("image/png", {"k": "v"})


def test_the_largest_file_comes_back_byte_for_byte(storage: S3Service) -> None:
    s3 = client(storage, request_checksum_calculation="when_required")
    s3.create_bucket(Bucket=f"{BUCKET}-large")
    body = os.urandom(50_000_000)
    s3.put_object(Bucket=f"{BUCKET}-large", Key="a", Body=body)
    assert s3.get_object(Bucket=f"{BUCKET}-large", Key="a")["Body"].read() == body


def refusal(store: Callable[[], object]) -> int:
    """The status of an answer that makes a client raise."""
    with pytest.raises(ClientError) as refused:
        store()
    assert refused.value.response["Error"]["Code"] == "InternalError"
    return int(refused.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_what_a_full_disk_does_not_take_is_not_said_to_be_kept(storage: S3Service) -> None:
    s3 = client(storage, retries={"total_max_attempts": 1})
    name, large = f"{BUCKET}-full", os.urandom(6_000_000)
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="before", Body=b"kept")
    form = s3.generate_presigned_post(name, "form")
    begun = s3.create_multipart_upload(Bucket=name, Key="parts")
    part = s3.upload_part(
        Bucket=name, Key="parts", UploadId=begun["UploadId"], PartNumber=1, Body=large
    )
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    pid = storage.pids()[0]
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    # For who runs it, root or not, this is as full.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        assert refusal(lambda: s3.put_object(Bucket=name, Key="a", Body=large)) == 500
        assert (
            refusal(
                lambda: s3.complete_multipart_upload(
                    Bucket=name, Key="parts", UploadId=begun["UploadId"], MultipartUpload=parts
                )
            )
            == 500
        )
        posted = requests.post(form["url"], form["fields"], files={"file": large}, timeout=60)
        assert posted.status_code == 500
        # What finds its place is kept all the while.
        s3.put_object(Bucket=name, Key="small", Body=b"kept")
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    s3.put_object(Bucket=name, Key="a", Body=large)
    for key, body in {"before": b"kept", "small": b"kept", "a": large}.items():
        assert s3.get_object(Bucket=name, Key=key)["Body"].read() == body


def test_a_key_above_or_below_another_is_an_object_too(storage: S3Service) -> None:
    s3 = client(storage, retries={"total_max_attempts": 1})
    name = f"{BUCKET}-folders"
    s3.create_bucket(Bucket=name)
    for key in ("a", "a/b", "c/d", "c"):
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    s3.copy_object(Bucket=name, Key="a/c", CopySource={"Bucket": name, "Key": "a"})
    for key, body in {"a": b"a", "a/b": b"a/b", "a/c": b"a", "c": b"c", "c/d": b"c/d"}.items():
        assert s3.get_object(Bucket=name, Key=key)["Body"].read() == body


def test_a_presigned_url_with_another_signature_is_refused(storage: S3Service) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket=f"{BUCKET}-signed")
    s3.put_object(Bucket=f"{BUCKET}-signed", Key="x", Body=b"secret")
    parameters = {"Bucket": f"{BUCKET}-signed", "Key": "x"}
    url = s3.generate_presigned_url("get_object", Params=parameters)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"secret"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"))
    refused.value.close()
    assert refused.value.code == 403


def test_what_must_stay_secret_is_readable_by_its_owner_alone(
    running: Services,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = next(tmp_path_factory.getbasetemp().glob("Räume*"))
    passwords = [urllib.parse.urlsplit(service.url).password for service in running[:2]]
    secrets = [*passwords, running[2].secret_access_key]
    for secret in secrets:
        assert secret
        holding = [path for path in files_below(folder) if secret.encode() in contents_of(path)]
        assert holding
        for path in holding:
            may_enter = path.parent.stat().st_mode & stat.S_IXOTH
            may_read = path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
            assert not (may_enter and may_read), path


def files_below(folder: Path) -> Iterator[Path]:
    """Servers that run remove some of their own meanwhile."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def contents_of(path: Path) -> bytes:
    """Nothing, where it was removed meanwhile or is no file."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


async def test_what_was_confirmed_survives_the_sudden_death_of_everything(folder: Path) -> None:
    ports = lasting_ports(2)
    postgres, rabbitmq = postgres_in(folder, ports[0]), rabbitmq_in(folder, ports[1])
    storage = storage_in(folder)
    async with started(postgres, rabbitmq, storage):
        urls = postgres.url, rabbitmq.url
        connection = ExitStack()
        channel = connection.enter_context(open_channel(rabbitmq.url))
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        # RabbitMQ notes a new quorum queue on disk half a second late; its messages at once.
        [queues] = (folder / "rabbitmq").rglob("quorum/*/names.dets")
        await until(lambda: b"kept" in queues.read_bytes())
        s3 = client(storage)
        s3.create_bucket(Bucket=BUCKET)
        written = psql(postgres.url, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (42)")
        channel.basic_publish("", "kept", b"event", pika.BasicProperties(delivery_mode=2))
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"bytes", ContentType="image/webp")
        for pid in [*postgres.pids(), *rabbitmq.pids(), *storage.pids()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.gather(postgres.wait(), rabbitmq.wait(), storage.wait())
        with suppress(pika.exceptions.AMQPError):
            connection.close()
    assert written.returncode == 0, written.stderr

    postgres, rabbitmq = postgres_in(folder, None), rabbitmq_in(folder, None)
    storage = storage_in(folder)
    async with started(postgres, rabbitmq, storage):
        assert (postgres.url, rabbitmq.url) == urls
        assert psql(postgres.url, "SELECT id FROM kept").stdout.strip() == "42"
        with open_channel(rabbitmq.url) as channel:
            _, _, body = next(channel.consume("kept"))
        assert body == b"event"
        answer = client(storage).get_object(Bucket=BUCKET, Key="k")
        assert (answer["Body"].read(), answer["ContentType"]) == (b"bytes", "image/webp")


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from infra.services.postgres import PostgresService
from infra.services.rabbitmq import RabbitMQService
from infra.services.storage import S3Service

async def main(folder):
    services = [
        PostgresService(folder, folder / "logs", 0),
        RabbitMQService(folder, folder / "logs", 0),
        S3Service(folder, folder / "logs", 0),
    ]
    await asyncio.gather(*(service.start() for service in services))
    print(*(pid for service in services for pid in service.pids()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


SUPERVISOR_OF_A_STARTING_BROKER = """
import asyncio, sys
from pathlib import Path
from infra.services.rabbitmq import RabbitMQService

async def main(folder):
    rabbitmq = RabbitMQService(folder, folder / "logs", 0)
    starting = asyncio.create_task(rabbitmq.start())
    while not rabbitmq.pids():
        await asyncio.sleep(0.01)
    # The kernel's half of a start is done here, and Erlang's has hardly begun.
    print(*rabbitmq.pids(), flush=True)
    await starting

asyncio.run(main(Path(sys.argv[1])))
"""


def _supervisor(folder: Path, program: str = SUPERVISOR) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_services_end_with_a_killed_supervisor_and_start_again_under_the_next(
    folder: Path,
) -> None:
    with _supervisor(folder) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        before = list(filter(None, map(ProcessIdentity.of, pids)))
        supervisor.kill()
    assert len(before) >= 3
    await until(lambda: not any(process.is_alive() for process in before), "all have ended")

    services = services_in(folder)
    async with started(*services):
        assert all(service.pids() for service in services)


async def test_a_broker_whose_supervisor_died_during_its_start_is_replaced(folder: Path) -> None:
    with _supervisor(folder, SUPERVISOR_OF_A_STARTING_BROKER) as supervisor:
        assert supervisor.stdout is not None
        left_behind = int(supervisor.stdout.readline().split()[0])
        await until((folder / "rabbitmq" / "process.json").exists)
        supervisor.kill()
    rabbitmq = rabbitmq_in(folder)
    async with started(rabbitmq):
        assert rabbitmq.pids()
        assert left_behind not in rabbitmq.pids()
        assert not is_running(left_behind)


async def test_services_left_behind_are_ended_before_new_ones_start(folder: Path) -> None:
    first = storage_in(folder)
    await first.start()
    [left_behind] = first.pids()
    # The record of a supervisor that is gone: one that ran at another time under its number.
    record_path = folder / "s3" / "process.json"
    record = json.loads(record_path.read_text())
    record["supervisor"]["start_ticks"] -= 1
    record_path.write_text(json.dumps(record))
    second = storage_in(folder)
    async with started(second):
        assert second.pids()
        assert left_behind not in second.pids()
        assert not is_running(left_behind)
    await first.stop()


async def test_a_process_that_only_inherited_the_number_is_left_alone(folder: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "infinity"]) as innocent:
        identity = {"pid": innocent.pid, "start_ticks": 1, "boot_id": "another"}
        record_path = folder / "s3" / "process.json"
        record_path.parent.mkdir(parents=True)
        record_path.write_text(json.dumps({"process": identity, "supervisor": identity}))
        try:
            async with started(storage_in(folder)):
                assert innocent.poll() is None
        finally:
            innocent.kill()


async def test_a_second_supervisor_of_the_same_folder_is_refused(folder: Path) -> None:
    with _supervisor(folder) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        try:
            with pytest.raises(ServiceFailed, match=f"started by process {supervisor.pid}"):
                await postgres_in(folder).start()
        finally:
            supervisor.kill()


def closed(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder / "data"


def too_deep_for_a_socket(folder: Path) -> Path:
    return folder / ("deep" * 20) / ("deeper" * 10)


def left_while_it_was_made(folder: Path) -> Path:
    draft = folder / "postgres" / "cluster.draft"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    return folder


@pytest.mark.parametrize("prepare", [closed, too_deep_for_a_socket, left_while_it_was_made])
async def test_postgres_starts_in_a_folder_that_is(
    folder: Path, prepare: Callable[[Path], Path]
) -> None:
    postgres = postgres_in(prepare(folder))
    mode = folder.stat().st_mode if folder.exists() else None
    async with started(postgres):
        assert psql(postgres.url, "SELECT 1").stdout.strip() == "1"
    assert mode in (None, folder.stat().st_mode)


async def test_a_cluster_of_another_version_is_refused_in_words(folder: Path) -> None:
    async with started(postgres_in(folder)):
        pass
    (folder / "postgres" / "cluster" / "PG_VERSION").write_text("15\n")
    with pytest.raises(ServiceFailed, match="was made by PostgreSQL 15 and this is 18"):
        await postgres_in(folder).start()


async def test_a_start_that_fails_gives_the_last_words_of_the_log(folder: Path) -> None:
    async with started(postgres_in(folder)):
        pass
    shutil.rmtree(folder / "postgres" / "cluster" / "global")
    with pytest.raises(ServiceFailed, match=r"ended while starting: .*global") as failed:
        await postgres_in(folder).start()
    assert failed.value.log_path.exists()


async def test_a_port_that_is_taken_is_named_with_the_way_out(
    folder: Path, taken_port: int
) -> None:
    for service, variable in (
        (postgres_in(folder, taken_port), "DATABASE_URL"),
        (rabbitmq_in(folder, taken_port), "RABBITMQ_URL"),
        (storage_in(folder, taken_port), "AWS_ENDPOINT_URL"),
    ):
        with pytest.raises(ServiceFailed, match=f"port {taken_port} is already used.*{variable}"):
            await service.start()


async def test_a_service_keeps_its_port_until_another_program_takes_it(folder: Path) -> None:
    [port] = lasting_ports(1)
    async with started(storage_in(folder, port)):
        pass
    again = storage_in(folder, None)
    async with started(again):
        assert port_of(again) == port
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        elsewhere = storage_in(folder, None)
        async with started(elsewhere):
            assert port_of(elsewhere) != port


async def test_a_write_that_was_cut_off_never_becomes_an_object(folder: Path) -> None:
    storage = storage_in(folder)
    async with started(storage):
        s3 = client(storage)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="real.tmp", Body=b"whole")
    [stored] = [path for path in (folder / "s3").rglob("real.tmp") if path.is_file()]
    stored.with_name("half.png.tmp").write_bytes(b"ha")
    storage = storage_in(folder)
    async with started(storage):
        listed = client(storage).list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [entry["Key"] for entry in listed] == ["real.tmp"]


async def test_a_node_that_takes_connections_and_says_nothing_yet_is_not_ready(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pika.connection.Parameters, "DEFAULT_STACK_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        node = rabbitmq_in(folder, port)
        assert not await node._lets_in(f"amqp://a:b@127.0.0.1:{port}/%2F", port)


async def test_rabbitmq_stops_at_once_while_it_is_still_starting(folder: Path) -> None:
    rabbitmq = rabbitmq_in(folder)
    starting = asyncio.create_task(rabbitmq.start())
    await until(lambda: bool(rabbitmq.pids()))
    starting.cancel()
    stopping = asyncio.create_task(rabbitmq.stop())
    await until(stopping.done, "it has stopped", patience_seconds=5)
    assert rabbitmq.pids() == []
