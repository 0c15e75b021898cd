"""A load of queues and locks over the Redis port, in a process of its own, whose clients use little processor time.

    python -m benchmarks.service_load HOST:PORT CLIENTS SECONDS --script lock [--batch 10] [--name jobs] ...

It is a closed loop, as `load.py`, and its output is the same. Each client goes through a script over and over, and one
way through it counts as one: `enqueue` puts messages, `deliver` receives and acknowledges them, `lock` takes a lock of
the client's own and gives it back. A batch of several messages is put as one transaction, and acknowledged by one
command. A way that brings less than it asked for is an error. Of replies only lines are counted: values have no line
ends, so how many lines a reply has stands in its first.
"""

import argparse
import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from benchmarks.load import RETRY_PAUSE_S, Tally, parse_options, run

LINE_END = b"\r\n"
RECEIPT = re.compile(rb"\r\n(\d+-\d+-\d+)\r\n")
"""Ids have two numbers, receipts three, and the values of this load none."""
REFUSAL = LINE_END + b"-"
"""The beginning of an error behind other lines."""
LINES_OF_PUT = 4
"""The array, an id of two lines, and 1."""
LINES_OF_DELIVERY = 8
"""The array, id, receipt, deliveries and value: one line for the number, two for each text."""
LINES_OF_GRANT = 5
"""The array, the token, the mode, and the end of the lease."""
FILL_CLIENTS = 4
FILL_BATCH = 250
"""Messages of one transaction."""
FILL_POLL_S = 0.05
PHASE_LIMIT_S = 1_800.0
"""The most that filling a queue, or serving a line, may take."""
VISIBILITY_S = b"600"
"""Longer than any run: the ends of deliveries are no part of this load."""


class BadReply(Exception):
    """A reply is none that the script goes on with; the text names it."""


def command(*words: bytes) -> bytes:
    """A command as client libraries send it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Step(NamedTuple):
    """One request of a script."""

    request: Callable[[bytes], bytes]
    """The bytes to send, from the reply before it, which is empty at first."""
    lines: Callable[[bytes], int]
    """How many lines the reply has, from its beginning. Raises `BadReply`."""


def expect(beginning: bytes, lines: int) -> Callable[[bytes], int]:
    """A reply that begins so, and has so many lines."""

    def count(reply: bytes) -> int:
        if not reply.startswith(beginning):
            raise BadReply(reply.partition(LINE_END)[0].decode("latin-1")[:60])
        return lines

    return count


def enqueue_steps(queue: bytes, batch: int, value: bytes) -> tuple[Step, ...]:
    """Put messages, several as one transaction."""
    put = command(b"ENQUEUE", queue, value)
    if batch == 1:
        return (Step(lambda reply: put, expect(b"*2\r\n", LINES_OF_PUT)),)
    transaction = command(b"MULTI") + put * batch + command(b"EXEC")
    return (Step(lambda reply: transaction, expect(b"+OK\r\n", 2 + batch + batch * LINES_OF_PUT)),)


def deliver_steps(queue: bytes, batch: int) -> tuple[Step, ...]:
    """Receive messages, and acknowledge them."""
    count = [b"COUNT", b"%d" % batch] if batch > 1 else []
    receive = command(b"RECEIVE", queue, *count, b"VISIBILITY", VISIBILITY_S)

    def ack(reply: bytes) -> bytes:
        return command(b"ACK", queue, *RECEIPT.findall(reply))

    return (
        Step(lambda reply: receive, expect(b"*%d\r\n" % batch, 1 + batch * LINES_OF_DELIVERY)),
        Step(ack, expect(b":%d\r\n" % batch, 1)),
    )


def lock_steps(name: bytes, owner: bytes, wait_s: int) -> tuple[Step, Step]:
    """Take a lock, waiting for it if it is taken, and give it back."""
    wait = [b"WAIT", b"%d" % wait_s] if wait_s else []
    lock = command(b"LOCK", name, b"OWNER", owner, *wait)

    def unlock(reply: bytes) -> bytes:
        return command(b"UNLOCK", name, reply.split(LINE_END, 2)[1][1:])

    return (
        Step(lambda reply: lock, expect(b"*3\r\n", LINES_OF_GRANT)),
        Step(unlock, expect(b":1\r\n", 1)),
    )


PING = Step(lambda reply: command(b"PING"), expect(b"+PONG\r\n", 1))
"""It shows that the server knows of the connection."""


class Client(asyncio.Protocol):
    """One connection, which goes through its script over and over, or `ways` times. An empty script waits for `go`."""

    def __init__(self, script: Sequence[Step], tally: Tally, *, ways: int | None = None) -> None:
        self._script = script
        self._tally = tally
        self._ways = ways
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._lines: int | None = None
        """How many lines the reply has that comes, None until its beginning is there."""
        self._at = 0
        self._began_ns = 0
        self._reply = b""
        """The last one."""

    @property
    def is_idle(self) -> bool:
        """Whether it has gone all its ways."""
        return self._ways == 0 or not self._script

    def go(self, script: Sequence[Step], *, ways: int) -> None:
        """Go through another script, whose first request may depend on the last reply. It must be idle."""
        self._script, self._ways = script, ways
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # Not `isinstance`: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        if self._script:
            self._begin()

    def data_received(self, data: bytes) -> None:
        """Take a part of a reply, and go on once it is complete."""
        if self._received:
            data = self._received + data
        self._received = data
        try:
            if self._lines is None and LINE_END in data:
                self._lines = self._script[self._at].lines(data)
        except BadReply as bad:
            self._stop_for(str(bad))
            return
        if self._lines is not None and data.count(LINE_END) >= self._lines:
            self._received, self._lines = b"", None
            self._go_on(data)
        elif REFUSAL in data:
            self._stop_for(data.partition(REFUSAL)[2].partition(LINE_END)[0].decode("latin-1")[:60])

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop this client, because the server has closed the connection, and count that as an error."""
        self._transport = None
        if self._tally.open:
            self._tally.errors["connection lost"] += 1

    def _begin(self) -> None:
        if self._transport is not None:
            self._at = 0
            self._began_ns = time.perf_counter_ns()
            self._transport.write(self._script[0].request(self._reply))

    def _go_on(self, reply: bytes) -> None:
        self._reply = reply
        self._at += 1
        if self._at < len(self._script):
            assert self._transport is not None
            self._transport.write(self._script[self._at].request(reply))
            return
        self._tally.answered += 1
        if self._tally.open:
            self._tally.latencies_ns.append(time.perf_counter_ns() - self._began_ns)
        if self._ways is not None:
            self._ways -= 1
            if self._ways == 0:
                return
        self._begin()

    def _stop_for(self, error: str) -> None:
        """Begin again a little later. What belongs to the bad reply is there already: a refused transaction is read to
        its end by the server before it answers."""
        self._received, self._lines = b"", None
        if self._tally.open:
            self._tally.errors[error] += 1
        asyncio.get_running_loop().call_later(RETRY_PAUSE_S, self._begin)


def script_of(options: argparse.Namespace, number: int) -> tuple[Step, ...]:
    """The script of one client."""
    name: str = options.name
    if options.script == "enqueue":
        return enqueue_steps(name.encode(), options.batch, b"v" * options.value_bytes)
    if options.script == "deliver":
        return deliver_steps(name.encode(), options.batch)
    own = f"{name}-{number}".encode()
    return lock_steps(own, own, 0)


async def fill_queue(address: str, queue: bytes, count: int, *, value_bytes: int) -> None:
    """Put at least `count` messages, many with each transaction. Raises RuntimeError if one is refused."""
    tally = Tally()
    tally.open = True
    ways = -(-count // (FILL_CLIENTS * FILL_BATCH))
    script = enqueue_steps(queue, FILL_BATCH, b"v" * value_bytes)
    clients = [Client(script, tally, ways=ways) for _ in range(FILL_CLIENTS)]
    transports = await connect(address, clients)
    await until(
        lambda: all(client.is_idle for client in clients) or bool(tally.errors), "answers", FILL_POLL_S
    )
    for transport in transports:
        transport.abort()
    if tally.errors:
        raise RuntimeError(f"the queue cannot be filled: {dict(tally.errors)}")


async def until(condition: Callable[[], bool], what: str, poll_s: float) -> None:
    """Wait for it. Raises RuntimeError if that takes too long."""
    end = time.monotonic() + PHASE_LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waiting for {what} took {PHASE_LIMIT_S:g} s")
        await asyncio.sleep(poll_s)


async def connect(address: str, clients: Sequence[asyncio.Protocol]) -> list[asyncio.Transport]:
    """Give each client a connection of its own."""
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    transports = []
    for client in clients:
        transport, _ = await loop.create_connection(lambda client=client: client, host, int(port))  # type: ignore[misc]
        transports.append(transport)
    return transports


def main() -> None:
    parser = argparse.ArgumentParser(description="Load one node over the Redis port, in a closed loop.")
    parser.add_argument("--script", choices=("enqueue", "deliver", "lock"), required=True)
    parser.add_argument("--batch", type=int, default=1, help="messages put, or received, at once")
    parser.add_argument("--name", default="load", help="of the queue, or what names of locks begin with")
    options = parse_options(parser)
    run(lambda position, tally: Client(script_of(options, position), tally), options)


if __name__ == "__main__":
    main()
