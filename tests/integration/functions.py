"""The functions as Lambda invokes them, each in its own role, and the consumer's event source."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from infra.local.triggers.rabbitmq_event import batch_event, message_record
from tests import samples
from tests.application import Handler, LambdaContext, forget, load_function
from tests.proxy_events import body_of, proxy_event, upload_event
from tests.waiting import eventually

PASSWORD = "analytical!engine"


@dataclass
class Api:
    """The functions, loaded when they are first called, and the event source of the consumer.

    `take_role` gives what follows the credentials of a function.
    """

    channel: BlockingChannel
    queue: str
    bucket: str
    take_role: Callable[[str], None]
    handlers: dict[str, Handler] = field(default_factory=dict)

    def call(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        self.take_role(function)
        if function not in self.handlers:
            # An environment of its own: what another function has read or made is not there.
            forget()
            self.handlers[function] = load_function(function).lambda_handler
        # What crosses the wire is JSON.
        return json.loads(  # type: ignore[no-any-return]
            json.dumps(self.handlers[function](json.loads(json.dumps(event)), LambdaContext()))
        )

    def register(self, username: str) -> str:
        event = proxy_event(
            "POST", "/auth/register", json_body={"username": username, "password": PASSWORD}
        )
        response = self.call("register", event)
        assert response["statusCode"] == 200, response
        return str(body_of(response)["access_token"])

    def upload(self, token: str, data: bytes | None = None, **fields: Any) -> int:
        response = self.call("upload", upload_event(data or samples.png(), token=token, **fields))
        assert response["statusCode"] == 200, response
        return int(body_of(response)["id"])

    def get(self, token: str, image_id: int) -> dict[str, Any]:
        response = self.call("get", proxy_event("GET", f"/image/{image_id}", token=token))
        assert response["statusCode"] == 200, response
        image: dict[str, Any] = body_of(response)
        return image

    def update(self, token: str, image_id: int, **changes: Any) -> dict[str, Any]:
        path = f"/image/update/{image_id}"
        return self.call("update", proxy_event("PUT", path, token=token, json_body=changes))

    def delete(self, token: str, image_id: int) -> dict[str, Any]:
        return self.call("delete", proxy_event("DELETE", f"/image/delete/{image_id}", token=token))

    def list_images(self, token: str, **query: str) -> dict[str, Any]:
        return self.call(
            "list", proxy_event("GET", "/image/get_all_images", token=token, query=query)
        )

    def messages(self, count: int) -> list[dict[str, Any]]:
        """So many from the queue, as soon as they are there."""
        return [eventually(self._next_message, "a message") for _ in range(count)]

    def _next_message(self) -> dict[str, Any] | None:
        """As the event source mapping hands it over."""
        method, properties, body = self.channel.basic_get(self.queue, auto_ack=True)
        if method is None:
            return None
        return message_record(properties, body, is_redelivered=method.redelivered)

    def consume(self, count: int = 1) -> dict[str, int]:
        """One batch of so many messages."""
        return self.deliver(self.messages(count))

    def deliver(self, messages: list[dict[str, Any]]) -> dict[str, int]:
        arn = "arn:aws:mq:us-east-1:000000000000:broker:images:b-1"
        event = batch_event(arn, self.queue, "/", messages)
        return self.call("consumer", event)
