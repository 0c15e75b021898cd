"""How much processor time does a Redis command take in the frontend? The node answers at once, and nothing is sent.

    python -m benchmarks.redis_execute [--commands 20000] [--rounds 7]

One connection takes the bytes of a pipeline, gets its answers, and writes the replies to a transport that drops them.
What is measured is parsing, the table of commands, the order of replies and their encoding, without the kernel and
without the node. Each figure is the best of all rounds; they are for comparison with each other, on one machine.
"""

import argparse
import asyncio
import platform
import time
from collections.abc import Mapping
from typing import Any

import uvloop

from raftdb.frontend import RedisServer
from raftdb.machine.operations import ClientOperation, SessionOperation
from raftdb.machine.service import Command, Query
from raftdb.node.effects import OnAnswer
from raftdb.node.turn import Answer

PIPELINES = (1, 16, 128)
VALUE = b"x" * 64
KEY = b"key:000000000001"
COMMANDS: Mapping[str, tuple[tuple[bytes, ...], object]] = {
    "PING": ((b"PING",), None),
    "GET": ((b"GET", KEY), VALUE),
    "SET": ((b"SET", KEY, VALUE), True),
    "INCR": ((b"INCR", KEY), 12),
    "MGET of 10": ((b"MGET", *(KEY,) * 10), [VALUE] * 10),
}
"""Each command, and what the machine answers."""


class InstantNode:
    """A node that gives every operation the same answer, when it is asked to."""

    def __init__(self) -> None:
        self.waiting: list[OnAnswer] = []

    def submit(
        self, operation: ClientOperation | Query, on_answer: OnAnswer, *, user: bytes | None = None
    ) -> None:
        self.waiting.append(on_answer)

    def read(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool,
        user: bytes | None = None,
    ) -> None:
        self.waiting.append(on_answer)

    def wait(
        self,
        operation: Command | SessionOperation,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        user: bytes | None = None,
    ) -> int:
        raise NotImplementedError

    def leave(self, request_id: int) -> None:
        raise NotImplementedError

    def end_wait(self, request_id: int) -> None:
        raise NotImplementedError

    def answer(self, answer: Answer) -> None:
        waiting, self.waiting = self.waiting, []
        for on_answer in waiting:
            on_answer(answer)

    def status(self) -> Mapping[str, Any]:
        return {}

    def reaches(self, node_id: str) -> bool:
        return True

    def other_leader(self) -> None:
        return None


class Nowhere(asyncio.Transport):
    """A transport that drops what is written."""

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def request(arguments: tuple[bytes, ...]) -> bytes:
    """A request as client libraries send it."""
    head = b"*%d\r\n" % len(arguments)
    return head + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments)


async def measure(arguments: tuple[bytes, ...], value: object, *, pipeline: int, commands: int) -> float:
    """Seconds of processor time for each of so many commands."""
    node = InstantNode()
    connection = RedisServer(node).protocol()
    connection.connection_made(Nowhere())
    data, answer = request(arguments) * pipeline, Answer(value, 1, 1, 1)
    turns = commands // pipeline
    begin = time.process_time()
    for _ in range(turns):
        connection.data_received(data)
        await asyncio.sleep(0)
        while node.waiting:
            node.answer(answer)
            await asyncio.sleep(0)
    return (time.process_time() - begin) / (turns * pipeline)


async def run(commands: int, rounds: int) -> None:
    print(f"Python {platform.python_version()}; microseconds for each command in a pipeline of")
    print(f"{'':12}" + "".join(f"{pipeline:>8}" for pipeline in PIPELINES))
    for name, (arguments, value) in COMMANDS.items():
        figures = []
        for pipeline in PIPELINES:
            seconds = [
                await measure(arguments, value, pipeline=pipeline, commands=commands) for _ in range(rounds)
            ]
            figures.append(f"{min(seconds) * 1e6:8.2f}")
        print(f"{name:12}" + "".join(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description="The Redis frontend alone.")
    parser.add_argument("--commands", type=int, default=20_000, help="for each figure")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options.commands, options.rounds))


if __name__ == "__main__":
    main()
