"""The broker that a tool talks to: the one set for `make run`, else the running local cloud's."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from infra.entry_point import Explained
from infra.local.settings import Settings, SettingsError, read_settings
from infra.local.triggers import amqp_values

amqp_values.install()


class BrokerFailed(Explained):
    """The broker does not answer, or not as one; the text says which it is."""


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """With the option that says which local cloud."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data-folder", type=Path, help="where the local cloud's data is (.local)")
    return parser


@contextmanager
def channel_in_use(data_folder: Path | None) -> Iterator[tuple[BlockingChannel, str]]:
    """A channel, and the name of the work queue. Raises BrokerFailed, SettingsError.

    What was taken from a queue and not acknowledged is back in it after the block.
    """
    parameters, queue = _broker_in_use(read_settings(data_folder=data_folder))
    where = f"{parameters.host}:{parameters.port}"
    try:
        connection = pika.BlockingConnection(parameters)
    except (ProbableAuthenticationError, ProbableAccessDeniedError) as error:
        raise BrokerFailed(
            f"The broker at {where} refuses the user, the password or the virtual host"
        ) from error
    except (AMQPError, AMQPConnectorException, OSError) as error:
        raise BrokerFailed(f"No broker answers at {where}") from error
    with connection:
        try:
            yield connection.channel(), queue
        except ChannelClosedByBroker as error:
            raise BrokerFailed(f"The broker at {where} says: {error.reply_text}") from error
        except AMQPError as error:
            raise BrokerFailed(f"The broker at {where} is gone") from error


def _broker_in_use(settings: Settings) -> tuple[pika.ConnectionParameters, str]:
    url, queue = settings.broker_url, settings.variables.get("RABBITMQ_QUEUE", "image_events")
    if url is None:
        state = settings.running_cloud()
        if state is None:
            raise SettingsError(
                "No local cloud is running here: start it with make run, or set RABBITMQ_URL"
            )
        environment = state["environment"]
        # Tools do what no function may.
        url = environment.get("RABBITMQ_ADMIN_URL") or environment["RABBITMQ_URL"]
        queue = environment["RABBITMQ_QUEUE"]
    elif management_url := settings.variables.get("RABBITMQ_MANAGEMENT_URL"):
        login = urlsplit(management_url).netloc.rpartition("@")[0]
        url = re.sub(r"//[^/@]*@", lambda _: f"//{login}@", url)
    if not url.startswith(("amqp://", "amqps://")):
        raise SettingsError("RABBITMQ_URL is not of the form amqp://user:password@host:5672/%2F")
    try:
        return pika.URLParameters(url.replace("{purpose}", "operations")), queue
    except ValueError as error:
        raise SettingsError(f"RABBITMQ_URL: {error}") from error
