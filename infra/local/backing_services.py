"""The services behind the functions, and the variables by which programs reach them."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from infra.local.progress import Progress
from infra.local.settings import Settings
from infra.services.postgres import PostgresService
from infra.services.processes import Service
from infra.services.rabbitmq import RabbitMQService
from infra.services.storage import S3Service


class BackingServices:
    """Postgres, RabbitMQ and S3: started here, but for those that the environment names.

    `variables` say where they are. `on_end` is told, in words, of one that ended by itself.
    `with_functions`: DATABASE_URL is for the functions' role, and DATABASE_ADMIN_URL for the owner
    of the schema; else DATABASE_URL is for the owner. RABBITMQ_URL and RABBITMQ_ADMIN_URL likewise,
    where functions are users of their own.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress,
        on_end: Callable[[str], None],
        *,
        with_functions: bool,
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._on_end = on_end
        self._with_functions = with_functions
        self._broker_users = settings.broker_users() if with_functions else {}
        self._started: dict[str, Service] = {}
        self.variables: dict[str, str] = {}

    async def start(self, stack: AsyncExitStack) -> None:
        """Starts them side by side; the stack stops them. Raises ServiceFailed."""
        async with asyncio.TaskGroup() as group:
            for name, variable, url, service in self._chosen():
                group.create_task(self._start(stack, name, variable, url, service))

    def aws_variables(self) -> dict[str, str]:
        """Region, credentials and endpoint, as an AWS SDK reads them."""
        variables = self._settings.variables
        region = self._settings.region
        storage = self._started.get("s3")
        if isinstance(storage, S3Service):
            # It checks signatures, so that a wrongly signed URL fails here as it does on AWS.
            key_id, key = storage.access_key_id, storage.secret_access_key
        else:
            key_id = variables.get("AWS_ACCESS_KEY_ID", "test")
            key = variables.get("AWS_SECRET_ACCESS_KEY", "test")
        result = {
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": key,
            "AWS_ENDPOINT_URL": self.variables.get("AWS_ENDPOINT_URL", ""),
        }
        if token := variables.get("AWS_SESSION_TOKEN"):
            result["AWS_SESSION_TOKEN"] = token
        return result

    def state(self) -> dict[str, Any]:
        """Processes and address of each that was started here."""
        return {
            name: {"pid": service.pids()[0], "pids": service.pids(), "url": service.url}
            for name, service in self._started.items()
        }

    def _chosen(self) -> Iterable[tuple[str, str, str | None, Service]]:
        """Name, variable, its value for one that runs already, and the service to start else."""
        settings = self._settings
        given = settings.variables
        folders = settings.data_folder, settings.log_folder
        port = 0 if settings.is_private else None
        yield "Postgres", "DATABASE_URL", given.get("DATABASE_URL"), PostgresService(*folders, port)
        broker = RabbitMQService(*folders, port, users=self._broker_users)
        yield "RabbitMQ", "RABBITMQ_URL", settings.broker_url, broker
        yield "S3", "AWS_ENDPOINT_URL", given.get("AWS_ENDPOINT_URL"), S3Service(*folders, port)

    async def _start(
        self, stack: AsyncExitStack, name: str, variable: str, url: str | None, service: Service
    ) -> None:
        async with self._progress.part(name) as details:
            if url is None:
                # Also after a failed or interrupted start: it may have left a process.
                stack.push_async_callback(service.stop)
                await service.start()
                self._started[name.lower()] = service
                watch = asyncio.create_task(self._notice_end(name, service))
                stack.callback(watch.cancel)
            else:
                details.append("[dim]as set by the environment:[/]")
            self.variables[variable] = url or service.url
            if isinstance(service, PostgresService) and url is None and self._with_functions:
                # Migrations run as the owner of the schema and let the other role in.
                self.variables["DATABASE_ADMIN_URL"] = service.url
                self.variables[variable] = service.api_url
            if isinstance(service, RabbitMQService) and url is None and self._broker_users:
                self.variables["RABBITMQ_ADMIN_URL"] = service.url
                self.variables[variable] = service.api_url
            if isinstance(service, PostgresService) and url is None:
                # In quotes, to be pasted behind psql: a shell would look for a file of that name.
                details.append(f"'{service.url_with_passfile}'")
            else:
                details.append(_without_password(self.variables[variable]))

    async def _notice_end(self, name: str, service: Service) -> None:
        status = await service.wait()
        self._on_end(
            f"{name} ended by itself with {status}; its log is in {self._settings.log_folder}"
        )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    return parts._replace(netloc=f"{parts.username}@{host}").geturl()
