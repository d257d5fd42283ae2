"""Real services, started once; every test finds empty tables, empty queues and a new bucket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.session import Session, get_session
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel

import image_migrations
from image_api.aws.requests import SignedRequests
from image_api.aws.s3 import S3Storage
from image_api.core.change_log import events
from image_api.core.change_log.queues import RETRY_DELAYS_SECONDS, dead_queue, retry_queue
from image_api.core.consumer import settling
from image_api.core.renditions import on_demand, render_requests
from image_api.postgres import database as database_module
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.users import PostgresUserRecords
from image_api.rabbitmq import batch_publisher
from image_api.rabbitmq import broker as broker_module
from image_api.rabbitmq.broker import Broker
from image_api.settings import BrokerSettings, RegistrationThrottle, SignInThrottle, StorageSettings
from image_migrations import grants
from tests import application
from tests.amqp import open_channel
from tests.application import ROOT
from tests.integration.functions import Api
from tests.integration.guarded_aws import GuardedAws, Right
from tests.integration.lambda_server import LambdaServer
from tests.integration.pooler import running_pooler
from tests.integration.real_services import TABLES, RealServices, connect, running_services
from tests.localstack.server import running_localstack
from tests.template import expansion
from tests.template.document import Deployment, read
from tests.waiting import PATIENCE_SECONDS

collect_ignore = [] if "POOLER" in os.environ else ["test_pooler.py"]

hypothesis_settings.register_profile(
    "suite",
    derandomize=True,
    database=None,
    # How long an example takes is the machine's affair.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("suite")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up because the machine is busy; a test of a time-out sets it."""
    monkeypatch.setattr(database_module, "SOCKET_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(broker_module, "_CONNECT_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(broker_module, "_OPENING_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(broker_module, "_CONFIRM_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    # What was begun in time is confirmed, however late.
    monkeypatch.setattr(batch_publisher, "_GRACE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(render_requests, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(on_demand, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    # Nor does a batch do more than its messages ask for while a renderer takes its time.
    monkeypatch.setattr(settling, "_LOOKOUT_SECONDS", PATIENCE_SECONDS)


@pytest.fixture(scope="session", autouse=True)
def settings_in_a_deployment() -> Iterator[Mapping[str, str]]:
    """Of the API's roles. Those of the tests' roles have patience, too: whoever holds a row or a
    transaction may be paused.
    """
    in_a_deployment = image_migrations._OF_ROLES
    patient = dict.fromkeys(
        ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"),
        f"{PATIENCE_SECONDS:g}s",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_migrations, "_OF_ROLES", {**in_a_deployment, **patient})
        yield in_a_deployment


@pytest.fixture
def deployed_roles(
    settings_in_a_deployment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles that are granted something from here on have the time-outs of a deployment's."""
    monkeypatch.setattr(image_migrations, "_OF_ROLES", settings_in_a_deployment)


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServices]:
    with running_services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(scope="session")
def localstack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The S3 that docker-compose runs, beside MiniStack's of `services`."""
    with running_localstack(tmp_path_factory.mktemp("localstack") / "data") as endpoint_url:
        yield endpoint_url


@pytest.fixture(scope="session")
def before_postgres(
    services: RealServices, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """How the API gets to a database: straight, or with POOLER by way of PgBouncer."""
    if "POOLER" not in os.environ:
        yield lambda url: url
        return
    with running_pooler(tmp_path_factory.mktemp("pooler") / "pgbouncer", services) as pooler:
        yield pooler.before


@pytest.fixture(scope="session")
def migrated_database(
    services: RealServices, before_postgres: Callable[[str], str]
) -> Iterator[tuple[str, str, str]]:
    """URLs of one database: of who may do everything, of a role for all purposes of the API, and of
    one for each `{purpose}`.
    """
    name = f"test_{uuid4().hex}"
    services.administer(f"CREATE DATABASE {name} OWNER {services.owner}")
    image_migrations.upgrade(services.with_database(name))
    administrator_url = services.administrator_of(name)
    # Two characters that quoting must get right in SQL, and one that has a meaning in URLs.
    api_url = services.with_role(name, f"api_{name}", quote("it's 100%", safe=""))
    purpose_url = services.with_role(name, f"api_{name}_{{purpose}}", "p")
    image_migrations.grant(administrator_url, dict.fromkeys(grants.PURPOSES, api_url))
    image_migrations.grant(
        administrator_url, {each: purpose_url.format(purpose=each) for each in grants.PURPOSES}
    )
    yield administrator_url, before_postgres(api_url), before_postgres(purpose_url)
    services.administer(
        f"DROP DATABASE {name} WITH (FORCE)",
        f"DROP ROLE api_{name}",
        *(f"DROP ROLE api_{name}_{purpose}" for purpose in grants.PURPOSES),
    )


@pytest.fixture
def administrator_url(migrated_database: tuple[str, str, str]) -> str:
    return migrated_database[0]


@pytest.fixture
def purpose_url(migrated_database: tuple[str, str, str]) -> str:
    return migrated_database[2]


@pytest.fixture
def database_url(migrated_database: tuple[str, str, str]) -> str:
    """A database with the schema and no row. Emptying one is ten times as fast as making one."""
    administrator_url, api_url, _ = migrated_database
    connection = connect(administrator_url)
    connection.run(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
    connection.close()
    return api_url


@pytest.fixture
def deployed_database(
    services: RealServices,
    administrator_url: str,
    before_postgres: Callable[[str], str],
    deployed_roles: None,
) -> Iterator[Database]:
    """The same for a role as a deployment has it, time-outs and all."""
    name = urlsplit(administrator_url).path.removeprefix("/")
    role = f"deployed_{name}"
    url = services.with_role(name, role, "p")
    image_migrations.grant(administrator_url, dict.fromkeys(grants.PURPOSES, url))
    database = Database(before_postgres(url))
    yield database
    database.close()
    services.administer(f"DROP OWNED BY {role}", f"DROP ROLE {role}", database=name)


@pytest.fixture
def empty_database_url(services: RealServices) -> Iterator[str]:
    """A database without a schema."""
    name = f"empty_{uuid4().hex}"
    services.administer(f"CREATE DATABASE {name} OWNER {services.owner}")
    yield services.with_database(name)
    services.administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make_database(database_url: str) -> Iterator[Callable[[], Database]]:
    """Further connections to the test's database, as further execution environments have them."""
    made: list[Database] = []

    def make() -> Database:
        made.append(Database(database_url))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture
def sql(database_url: str, administrator_url: str) -> Iterator[Connection]:
    """A connection of the test's own, to look and to prepare."""
    connection = connect(administrator_url)
    yield connection
    connection.close()


@pytest.fixture
def image_records(database: Database) -> PostgresImageRecords:
    return PostgresImageRecords(database)


@pytest.fixture
def add_user(database: Database) -> Callable[[str], int]:
    def add(name: str) -> int:
        records = PostgresUserRecords(
            database, SignInThrottle(5, 5, 900), RegistrationThrottle(100, 900)
        )
        return records.add(name, name.casefold(), "no hash")

    return add


@pytest.fixture(scope="session")
def exchange(services: RealServices) -> Iterator[str]:
    """An exchange and queues that no other run hears; declaring quorum queues takes a while."""
    name = f"test.{uuid4().hex}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "EXCHANGE", name)
        broker = Broker(BrokerSettings(services.rabbitmq_url, _queue_of(name)))
        broker.declare_topology()
        broker.close()
    yield name
    with open_channel(services.rabbitmq_url) as channel:
        for queue in all_queues(_queue_of(name)):
            channel.queue_delete(queue)
        channel.exchange_delete(name)


def _queue_of(exchange: str) -> str:
    return f"{exchange}.events"


def all_queues(queue: str) -> list[str]:
    """In the order in which a message goes from one to the next."""
    delays = [retry_queue(queue, delay_seconds) for delay_seconds in RETRY_DELAYS_SECONDS]
    return [*delays, queue, dead_queue(queue)]


@pytest.fixture
def channel(services: RealServices) -> Iterator[BlockingChannel]:
    """A channel of the test's own, to look and to prepare."""
    with open_channel(services.rabbitmq_url) as channel:
        yield channel


@pytest.fixture
def queue(exchange: str, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch) -> str:
    """The consumer's queue, empty like its delay queues and its dead letters."""
    monkeypatch.setattr(events, "EXCHANGE", exchange)
    name = _queue_of(exchange)
    for each in all_queues(name):
        channel.queue_purge(each)
    return name


@pytest.fixture
def broker(services: RealServices, queue: str) -> Iterator[Broker]:
    made = Broker(BrokerSettings(services.rabbitmq_url, queue))
    yield made
    made.close()


@pytest.fixture(scope="session")
def s3_client(services: RealServices) -> Iterator[Any]:
    client = boto3.client(
        "s3",
        endpoint_url=services.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=services.access_key_id,
        aws_secret_access_key=services.secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    yield client
    client.close()


@pytest.fixture
def bucket(s3_client: Any) -> Iterator[str]:
    name = f"test-{uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    yield name
    for stored in s3_client.list_objects_v2(Bucket=name).get("Contents", []):
        s3_client.delete_object(Bucket=name, Key=stored["Key"])
    s3_client.delete_bucket(Bucket=name)


@pytest.fixture
def environment(
    services: RealServices, lambda_server: LambdaServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """The settings of a deployment on the services; a test may change them before it loads a
    function. What the functions connected is closed at the end.
    """
    made: list[Callable[[], None]] = []

    class ClosedDatabase(Database):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self.close)

    class ClosedBroker(Broker):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self.close)

    class ClosedRequests(SignedRequests):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self.close)

    class ClosedStorage(S3Storage):
        def __init__(self, settings: StorageSettings) -> None:
            super().__init__(settings)
            made.append(self._client.close)

    monkeypatch.setattr("image_api.postgres.database.Database", ClosedDatabase)
    monkeypatch.setattr("image_api.rabbitmq.broker.Broker", ClosedBroker)
    monkeypatch.setattr("image_api.aws.s3.S3Storage", ClosedStorage)
    monkeypatch.setattr("image_api.aws.requests.SignedRequests", ClosedRequests)
    application.use_environment(
        monkeypatch,
        {
            **application.ENVIRONMENT,
            "AWS_ACCESS_KEY_ID": services.access_key_id,
            "AWS_SECRET_ACCESS_KEY": services.secret_access_key,
            "AWS_ENDPOINT_URL": services.endpoint_url,
            "AWS_ENDPOINT_URL_LAMBDA": lambda_server.endpoint_url,
            "RENDERER_FUNCTION": "RendererFunction",
            "RABBITMQ_URL": services.rabbitmq_url,
        },
    )
    yield monkeypatch
    for close in made:
        close()
    application.forget()


@pytest.fixture
def storage(
    services: RealServices, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[S3Storage]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", services.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", services.secret_access_key)
    made = S3Storage(
        StorageSettings(bucket, "us-east-1", services.endpoint_url, services.endpoint_url)
    )
    yield made
    made._client.close()


@pytest.fixture
def secrets(
    services: RealServices, database_url: str, purpose_url: str, administrator_url: str
) -> dict[str, dict[str, object]]:
    """What Secrets Manager keeps, by the ARNs that the template's expansion names."""
    broker_url = urlsplit(services.rabbitmq_url)
    return {
        **{
            f"PlatformStack.Outputs.{purpose.title()}DatabaseSecretArn": database_secret(
                purpose_url.format(purpose=purpose)
            )
            for purpose in grants.PURPOSES
        },
        "PlatformStack.Outputs.DatabaseAdminSecretArn": database_secret(administrator_url),
        # What each user of the broker may do is in test_broker_users.py: here it is one.
        **{
            f"PlatformStack.Outputs.{purpose}BrokerSecretArn": {
                "username": unquote(broker_url.username or ""),
                "password": unquote(broker_url.password or ""),
            }
            for purpose in ("", "Publishing", "Processing", "Operations")
        },
        "PlatformStack.Outputs.JwtSecretArn": {"current": application.ENVIRONMENT["JWT_SECRET"]},
    }


def database_secret(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": parts.hostname,
        "port": parts.port,
        "dbname": parts.path.removeprefix("/"),
        "sslmode": parts.query.removeprefix("sslmode=") or "disable",
    }


@pytest.fixture(scope="session")
def roles() -> dict[str, set[Right]]:
    """What template.yaml allows each function, by the function's folder."""
    return {
        function.name: expansion.rights(expansion.present(), function.logical_id)
        for function in Deployment(read(ROOT / "template.yaml"), {}).functions
    }


@pytest.fixture
def lambda_server() -> Iterator[LambdaServer]:
    server = LambdaServer()
    with server.serving():
        yield server


@pytest.fixture
def aws(
    services: RealServices,
    lambda_server: LambdaServer,
    roles: dict[str, set[Right]],
    secrets: dict[str, dict[str, object]],
) -> Iterator[GuardedAws]:
    """S3, Lambda and Secrets Manager; no function may ask for what its role does not allow."""
    guarded = GuardedAws(services.endpoint_url, lambda_server.endpoint_url, roles, secrets)
    with guarded.serving():
        yield guarded
    assert guarded.refused == set()


@pytest.fixture(scope="session")
def aws_sessions() -> tuple[Session, boto3.Session]:
    """boto3's, and what it stands on: they load the models of AWS's services once for all tests."""
    session = get_session()
    return session, boto3.Session(botocore_session=session)


@pytest.fixture
def api(
    environment: pytest.MonkeyPatch,
    services: RealServices,
    database_url: str,
    bucket: str,
    queue: str,
    channel: BlockingChannel,
    aws: GuardedAws,
    aws_sessions: tuple[Session, boto3.Session],
) -> Api:
    """The functions with the variables that template.yaml sets, and what AWS would put there."""
    broker_url = urlsplit(services.rabbitmq_url)
    present = expansion.present()
    for name, value in {
        **expansion.all_variables(present),
        "AWS_DEFAULT_REGION": application.ENVIRONMENT["AWS_REGION"],
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_ENDPOINT_URL_LAMBDA": "",
        "DATABASE_HOST": urlsplit(database_url).hostname or "",
        "IMAGES_BUCKET": bucket,
        "RABBITMQ_ENDPOINT": f"amqp://{broker_url.hostname}:{broker_url.port}",
        "RABBITMQ_QUEUE": queue,
    }.items():
        environment.setenv(name, value)
    session, default_session = aws_sessions
    environment.setattr(boto3, "DEFAULT_SESSION", default_session)

    def take_role(function: str) -> None:
        environment.setenv("AWS_ACCESS_KEY_ID", function)
        logical_id = "".join(word.title() for word in function.split("_")) + "Function"
        for name in ("DATABASE_PURPOSE", "RABBITMQ_PURPOSE"):
            environment.setenv(name, expansion.variables(present, logical_id).get(name, ""))
        session.set_credentials(function, services.secret_access_key)

    return Api(channel, queue, bucket, take_role)


@pytest.fixture
def ada(api: Api) -> str:
    return api.register("Ada")


@pytest.fixture
def bob(api: Api) -> str:
    return api.register("Bob")
