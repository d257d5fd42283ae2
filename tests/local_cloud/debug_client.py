"""An editor's side of a debugger: the Debug Adapter Protocol over a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.waiting import eventually


class DebugClient:
    """Speaks with the adapter at the port; what it does is in the order of the protocol."""

    def __init__(self, port: int) -> None:
        self._sent = 0
        self._events: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}
        eventually(lambda: self._meets(port), "a debugger answers")

    def _meets(self, port: int) -> bool:
        """Whether one is there: an environment that is just ending still takes a connection."""
        try:
            self._socket = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            return False
        self._file = self._socket.makefile("rb")
        try:
            self.ask("initialize", {"adapterID": "debugpy", "clientID": "test"})
        except (ConnectionError, EOFError):
            self._close()
            return False
        return True

    def __enter__(self) -> DebugClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._file.close()
        self._socket.close()

    def attach(self, source: Path, line: int) -> None:
        """With one breakpoint."""
        attached = self._send("attach", {"justMyCode": True, "subProcess": False})
        self.event("initialized")
        self.ask(
            "setBreakpoints",
            {"source": {"path": str(source)}, "breakpoints": [{"line": line}]},
        )
        self.ask("configurationDone", {})
        self._answer_to(attached)

    def variables_where_it_stops(self) -> tuple[int, dict[str, str]]:
        """The thread, and what the innermost frame's names stand for."""
        thread = self.event("stopped")["threadId"]
        frame = self.ask("stackTrace", {"threadId": thread})["stackFrames"][0]
        scopes = self.ask("scopes", {"frameId": frame["id"]})["scopes"]
        found = self.ask("variables", {"variablesReference": scopes[0]["variablesReference"]})
        return thread, {item["name"]: item["value"] for item in found["variables"]}

    def go_on(self, thread: int) -> None:
        self.ask("continue", {"threadId": thread})

    def wait_for_end(self) -> None:
        """Of the process under the debugger."""
        while self._file.read(4096):
            pass

    def ask(self, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer_to(self._send(command, arguments))

    def event(self, name: str) -> dict[str, Any]:
        """The next one of this name."""
        while True:
            for position, event in enumerate(self._events):
                if event["event"] == name:
                    del self._events[position]
                    return dict(event.get("body") or {})
            self._read()

    def _send(self, command: str, arguments: Mapping[str, Any]) -> int:
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": command}
        body = json.dumps({**message, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self._sent

    def _answer_to(self, number: int) -> dict[str, Any]:
        while number not in self._answers:
            self._read()
        answer = self._answers.pop(number)
        assert answer["success"], answer
        return dict(answer.get("body") or {})

    def _read(self) -> None:
        """One message, which is kept until it is asked for."""
        length = 0
        while (line := self._file.readline().strip()) or not length:
            if not line:
                raise EOFError("the debugger has gone")
            length = int(line.partition(b":")[2])
        message: dict[str, Any] = json.loads(self._file.read(length))
        if message["type"] == "event":
            self._events.append(message)
        elif message["type"] == "response":
            self._answers[message["request_seq"]] = message
