"""A client that asks for little, in a process of its own, and says how long it waited.

    python -m benchmarks.honest_client redis 127.0.0.1:6381 < /dev/tty

It sets and reads a short value, with pauses, each time on the same connection, until its standard input ends; then it
prints one JSON object. It shares neither the event loop nor the interpreter with those who attack a node meanwhile, so
its times are those of the node, and of a machine on which all of them run. `HonestClient` runs one.
"""

import http.client
import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import hiredis

from benchmarks.common import ROOT, percentile

PAUSE_S = 0.02
ANSWER_LIMIT_S = 30.0
"""After this an answer counts as one that never came."""
END_LIMIT_S = ANSWER_LIMIT_S + 10.0

REQUESTS = (("set", "short", "value"), ("get", "short"))


def redis_request(*words: bytes) -> bytes:
    """A request as Redis' client libraries send it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def kind_of(reply: object) -> str:
    """The first word of an error of Redis' protocol, else the type of the reply."""
    return str(reply).split(" ", 1)[0] if isinstance(reply, hiredis.ReplyError) else type(reply).__name__


class Asking(Protocol):
    """One connection."""

    def ask(self, words: tuple[str, ...]) -> str:
        """Execute a command; returns what kind of answer came. Raises OSError and EOFError."""
        ...

    def close(self) -> None:
        """End it."""


class RedisAsking:
    """A connection to the door for Redis clients."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=ANSWER_LIMIT_S)
        self._reader = hiredis.Reader()

    def ask(self, words: tuple[str, ...]) -> str:
        """See `Asking`."""
        self._socket.sendall(redis_request(*(word.encode() for word in words)))
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 16)
            if not data:
                raise EOFError
            self._reader.feed(data)
        return kind_of(reply)

    def close(self) -> None:
        """See `Asking`."""
        self._socket.close()


class HttpAsking:
    """A connection to the HTTP door."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=ANSWER_LIMIT_S)

    def ask(self, words: tuple[str, ...]) -> str:
        """See `Asking`."""
        body = json.dumps({"command": words[0], "args": words[1:]})
        try:
            self._connection.request("POST", "/v1/execute", body)
            answer = self._connection.getresponse()
            answer.read()
        except http.client.HTTPException as error:
            raise EOFError from error
        return str(answer.status)

    def close(self) -> None:
        """See `Asking`."""
        self._connection.close()


DOORS: dict[str, type[RedisAsking] | type[HttpAsking]] = {"redis": RedisAsking, "http": HttpAsking}


def ask_until_the_end(door: str, host: str, port: int) -> dict[str, Any]:
    """Ask until the standard input ends; returns what is printed."""
    told, times_s = Counter[str](), list[float]()
    connection: Asking | None = None
    number = 0
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        words = REQUESTS[number % len(REQUESTS)]
        number += 1
        began = time.monotonic()
        try:
            connection = connection or DOORS[door](host, port)
            told[f"{words[0]} {connection.ask(words)}"] += 1
        except (OSError, EOFError) as error:
            told[f"{words[0]} {type(error).__name__}"] += 1
            if connection is not None:
                connection.close()
            connection = None
        times_s.append(time.monotonic() - began)
    times_s.sort()
    shares = (("median", 50), ("p99", 99), ("most", 100))
    waited_ms = {name: round(1000 * percentile(times_s, share), 1) for name, share in shares}
    return {"waited_ms": waited_ms, "answers": dict(sorted(told.items()))}


class HonestClient:
    """Such a client, as a process, inside a `with` block. `result` is there after the block."""

    def __init__(self, door: str, address: str) -> None:
        self._command = [sys.executable, "-m", "benchmarks.honest_client", door, address]
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """End it. Raises RuntimeError if it does not end, or says nothing."""
        output = ""
        with suppress(subprocess.TimeoutExpired):
            output, _ = self._process.communicate(timeout=END_LIMIT_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        if error is None:
            if not output:
                raise RuntimeError(f"the honest client has ended with {self._process.returncode}, silently")
            self.result = json.loads(output)


def main() -> int:
    """Ask, and print the result."""
    door, address = sys.argv[1:]
    host, _, port = address.rpartition(":")
    print(json.dumps(ask_until_the_end(door, host, int(port))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
