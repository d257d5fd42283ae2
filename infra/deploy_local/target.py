"""An AWS account that is not one: MiniStack, and what a stack in it stands on."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from infra.local.progress import Progress
from infra.services.ministack import MiniStackService
from infra.services.postgres import PostgresService
from infra.services.processes import Service
from infra.services.rabbitmq import RabbitMQService

REGION = "us-east-1"
# MiniStack takes a key id of twelve digits for an account's number, and gives its functions the
# number of their account as their key id.
_ACCOUNT_ID = "000000000000"
# The template's parameters, by what the role in each secret is for.
_DATABASE_SECRETS = {
    "DatabaseSecretArn": "images",
    "AccountsDatabaseSecretArn": "accounts",
    "ProcessingDatabaseSecretArn": "processing",
    "OperationsDatabaseSecretArn": "operations",
    "SupportDatabaseSecretArn": "support",
}
_PARTS = (
    *("apigateway", "cloudformation", "cloudwatch", "events", "iam", "lambda", "logs"),
    *("s3", "secretsmanager", "sns", "ssm", "sts"),
)


@dataclass(frozen=True)
class Target:
    """Where to deploy to, and the template's parameters that name what is there."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    database_url: str
    broker_url: str
    parameters: Mapping[str, str]

    @property
    def aws_variables(self) -> dict[str, str]:
        """With these the AWS SDKs and the SAM CLI talk to it, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """boto3's client. It sends what it is given: see `gateway` for why."""
        import boto3
        from botocore.config import Config
        from botocore.session import Session

        # Whatever profile the environment names: nothing is asked of AWS.
        session: Any = boto3.Session(
            self.access_key_id,
            self.secret_access_key,
            botocore_session=Session(session_vars={"profile": (None, None, None, None)}),
        )
        return session.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            # The first invocation of a function unpacks its layers.
            config=Config(
                parameter_validation=False, read_timeout=900, retries={"total_max_attempts": 1}
            ),
        )

    def put_secret(self, name: str, content: Mapping[str, object]) -> str:
        """Its ARN."""
        made = self.client("secretsmanager").create_secret(
            Name=name, SecretString=json.dumps(content)
        )
        return str(made["ARN"])


@asynccontextmanager
async def running_target(data_folder: Path, progress: Progress) -> AsyncIterator[Target]:
    """Everything is up inside the block. Raises ServiceFailed."""
    log_folder = data_folder / "logs"
    database = PostgresService(data_folder, log_folder, 0)
    broker = RabbitMQService(data_folder, log_folder, 0)
    aws = MiniStackService(
        "AWS",
        data_folder / "aws",
        log_folder / "aws.log",
        0,
        parts=_PARTS,
        access_key_id=_ACCOUNT_ID,
        keeps_state=False,
        application=f"{Path(__file__).parent / 'runtime' / 'ministack_app.py'}:app",
    )
    async with AsyncExitStack() as stack:

        async def start(name: str, service: Service) -> None:
            async with progress.part(name):
                # Also after a failed or interrupted start: it may have left a process.
                stack.push_async_callback(service.stop)
                await service.start()

        async with asyncio.TaskGroup() as group:
            group.create_task(start("Postgres", database))
            group.create_task(start("RabbitMQ", broker))
            group.create_task(start("MiniStack", aws))
        yield await asyncio.to_thread(_furnished, database, broker, aws)


def _furnished(database: PostgresService, broker: RabbitMQService, aws: MiniStackService) -> Target:
    """The secrets are as AWS makes them; what has no TLS here says so."""
    bare = Target(aws.url, aws.access_key_id, aws.secret_access_key, database.url, broker.url, {})
    broker_address = urlsplit(broker.url)
    parameters = {
        "Platform": "existing",
        "AwsEndpointUrl": aws.url,
        **{
            parameter: bare.put_secret(
                f"database-{purpose}",
                database_secret(database.api_url.replace("{purpose}", purpose)),
            )
            for parameter, purpose in _DATABASE_SECRETS.items()
        },
        "DatabaseAdminSecretArn": bare.put_secret("database-admin", database_secret(database.url)),
        "BrokerArn": f"arn:aws:mq:{REGION}:{_ACCOUNT_ID}:broker:images:b-1",
        "BrokerEndpoint": f"amqp://{broker_address.hostname}:{broker_address.port}",
        "BrokerSecretArn": bare.put_secret("broker", _login(broker.url)),
        "JwtSecretArn": bare.put_secret("jwt", {"current": os.urandom(32).hex()}),
    }
    return Target(
        aws.url, aws.access_key_id, aws.secret_access_key, database.url, broker.url, parameters
    )


def database_secret(url: str) -> dict[str, object]:
    """In the form that RDS gives its secrets."""
    address = urlsplit(url)
    return {
        **_login(url),
        "engine": "postgres",
        "host": address.hostname,
        "port": address.port,
        "dbname": address.path.removeprefix("/"),
        "sslmode": "disable",
    }


def _login(url: str) -> dict[str, object]:
    address = urlsplit(url)
    return {
        "username": unquote(address.username or ""),
        "password": unquote(address.password or ""),
    }
