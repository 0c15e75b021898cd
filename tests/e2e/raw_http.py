"""A client of the HTTP interface on `http.client` alone, written from the interface's description.

`ask` is one request to one node. `Client` does what the interface leaves to clients: it follows 307 to the leader,
goes to another node if one cannot be reached, repeats what was surely not executed, and never repeats what may have
been (hazard B54).
"""

import http.client
import json
import select
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.waiting import LIMIT_S, wait_for

TIMEOUT_S = 30.0
REDIRECTS_MAX = 5
NOT_EXECUTED = frozenset({"not_leader", "no_leader", "no_quorum", "busy", "no_space"})
"""Codes that promise that nothing happened and nothing will."""


@dataclass(frozen=True)
class Response:
    """One answer: header names are in lower case, `address` is who gave it."""

    address: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error_code(self) -> str | None:
        """The code of an error's body; None for a success."""
        return None if self.status < 300 else str(self.json["error"]["code"])

    @property
    def location(self) -> tuple[str, str]:
        """Where a redirect points: address and target."""
        url = urlsplit(self.headers["location"])
        assert url.scheme == "http", self.headers
        return url.netloc, url.path + (f"?{url.query}" if url.query else "")


@dataclass(frozen=True)
class Acked:
    """The command was executed."""

    result: Any
    index: int
    term: int
    revision: int | None = None


@dataclass(frozen=True)
class Unknown:
    """The command may or may not have been executed, or be executed yet."""

    why: str


@dataclass(frozen=True)
class Refused:
    """The command was surely not executed, or failed when it was (422)."""

    status: int
    code: str
    message: str = ""


Outcome = Acked | Unknown | Refused


class NotSent(Exception):
    """The connection could not be made: the node has not seen the request."""


class Connection:
    """A connection to one node, kept open between requests and made anew after an error."""

    def __init__(self, address: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        self._http = http.client.HTTPConnection(host, int(port), timeout=timeout_s)

    def ask(
        self, method: str, target: str, body: bytes | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One request and its answer. Raises NotSent, or OSError or HTTPException if the answer was lost."""
        if self._http.sock is not None and select.select([self._http.sock], [], [], 0)[0]:
            # Nothing is due: what can be read is the end, for the node has stopped or did not want to wait.
            self._http.close()
        if self._http.sock is None:
            try:
                self._http.connect()
            except OSError as error:
                self._http.close()
                raise NotSent(f"{self.address}: {error}") from error
        try:
            self._http.request(method, target, body, dict(headers or {}))
            answer = self._http.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            raise
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Response(self.address, answer.status, headers, content)

    def close(self) -> None:
        self._http.close()


def ask(
    address: str,
    method: str,
    target: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Response:
    """One request to one node, nothing followed and nothing repeated."""
    connection = Connection(address, timeout_s=timeout_s)
    try:
        return connection.ask(method, target, body, headers=headers)
    finally:
        connection.close()


def exchange(address: str, data: bytes) -> bytes:
    """Send `data` as it is, and return all that comes back until the node closes the connection."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def command_body(command: str, arguments: Sequence[str], **more: object) -> bytes:
    """The body of POST /v1/execute."""
    return json.dumps({"command": command, "args": list(arguments), **more}).encode()


def outcome_of(response: Response) -> Outcome:
    """What an answer to POST /v1/execute says of the command."""
    if response.status == 200:
        content = response.json
        return Acked(content["result"], content["index"], content["term"], content.get("revision"))
    error = response.json["error"]
    if error["code"] == "outcome_unknown":
        assert response.status == 504, response
        return Unknown(error["message"])
    if response.status == 503:
        assert "retry-after" in response.headers, response
    return Refused(response.status, error["code"], error["message"])


class Client:
    """Asks a cluster, beginning with the first address. Not for use by several threads."""

    def __init__(self, addresses: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> None:
        self._addresses = list(addresses)
        self._timeout_s = timeout_s
        self._connections: dict[str, Connection] = {}
        self._next = self._addresses[0]

    def ask_once(self, method: str, target: str, body: bytes | None = None) -> Response:
        """One request, redirects followed. Raises NotSent if a node on the way cannot be reached."""
        address = self._next
        attempts = 0
        while True:
            attempts += 1
            connection = self._connections.get(address)
            if connection is None:
                connection = self._connections[address] = Connection(address, timeout_s=self._timeout_s)
            try:
                response = connection.ask(method, target, body)
            except (NotSent, OSError, http.client.HTTPException):
                self._turn_from(address)
                raise
            if response.status != 307:
                if response.status == 503:
                    self._turn_from(address)
                else:
                    self._next = address
                return response
            assert response.error_code == "not_leader", response
            if attempts > REDIRECTS_MAX:
                self._turn_from(address)
                return response
            address, target = response.location

    def try_execute(self, command: str, *arguments: str) -> Outcome | None:
        """One attempt; None if the node could not be reached, so that nothing has happened."""
        try:
            return outcome_of(self.ask_once("POST", "/v1/execute", command_body(command, arguments)))
        except NotSent:
            return None
        except (OSError, http.client.HTTPException) as error:
            return Unknown(repr(error))

    def execute(self, command: str, *arguments: str, limit_s: float = LIMIT_S) -> Outcome:
        """The outcome of one command, tried again for as long as it surely was not executed."""

        def attempt() -> list[Outcome]:
            outcome = self.try_execute(command, *arguments)
            if outcome is None or (isinstance(outcome, Refused) and outcome.code in NOT_EXECUTED):
                return []
            return [outcome]

        return wait_for(attempt, f"an outcome of {command} {' '.join(arguments)[:80]}", limit_s)[0]

    def result(self, command: str, *arguments: str) -> Any:
        """The result of one command that must succeed."""
        outcome = self.execute(command, *arguments)
        assert isinstance(outcome, Acked), (command, arguments, outcome)
        return outcome.result

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _turn_from(self, address: str) -> None:
        """Ask another node next time."""
        known = [*self._addresses, address]
        self._next = self._addresses[(known.index(address) + 1) % len(self._addresses)]
