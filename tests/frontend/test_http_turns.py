"""So many requests in one turn of the loop, and no more: heartbeats come in between."""

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from raftdb.frontend.http_connection import PIPELINED_MAX
from raftdb.frontend.http_turns import CALLS_PER_PASS, Turnstile
from raftdb.node.turn import Answer
from tests.frontend.support import StubNode, Ways, post, running, wait_until

pytestmark = pytest.mark.usefixtures("both_ways")

PING = b'{"command": "ping"}'


class Turns:
    """Counts the turns of the loop while it is entered."""

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> "Turns":
        self._handle = asyncio.get_running_loop().call_soon(self._turn)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()

    def _turn(self) -> None:
        self.number += 1
        self._handle = asyncio.get_running_loop().call_soon(self._turn)


async def test_who_comes_first_goes_first_and_so_many_in_one_turn() -> None:
    turnstile, passed = Turnstile(3), []

    async def enter(number: int) -> None:
        await turnstile.enter()
        passed.append((turns.number, number))

    with Turns() as turns:
        await asyncio.gather(*(enter(number) for number in range(20)))
    assert [number for _, number in passed] == list(range(20))
    sizes = [len(list(group)) for _, group in itertools.groupby(turn for turn, _ in passed)]
    assert max(sizes) == 3
    assert len(sizes) == 7


async def test_functions_and_tasks_stand_in_one_line_and_tasks_take_more_of_a_turn() -> None:
    turnstile, passed = Turnstile(2), []

    async def enter(number: int) -> None:
        await turnstile.enter()
        passed.append((turns.number, number))

    def call(number: int) -> None:
        turnstile.call(lambda: passed.append((turns.number, number)))

    with Turns() as turns:
        for number in range(3 * CALLS_PER_PASS):
            call(number)
        task = asyncio.ensure_future(enter(100))
        await asyncio.sleep(0)
        for number in range(200, 200 + CALLS_PER_PASS):
            call(number)
        await task
        await asyncio.sleep(0)
        while len(passed) < 4 * CALLS_PER_PASS + 1:
            await asyncio.sleep(0)
    in_order = [*range(3 * CALLS_PER_PASS), 100, *range(200, 200 + CALLS_PER_PASS)]
    assert [number for _, number in passed] == in_order
    of_turns = [list(group) for _, group in itertools.groupby(passed, key=lambda pair: pair[0])]
    taken = [sum(CALLS_PER_PASS if number == 100 else 1 for _, number in group) for group in of_turns]
    assert max(taken) == 2 * CALLS_PER_PASS
    assert len(taken) <= 4


async def test_a_few_go_through_without_a_wait_in_every_turn() -> None:
    turnstile = Turnstile(3)
    with Turns() as turns:
        for _ in range(50):
            before = turns.number
            for _ in range(3):
                await turnstile.enter()
            assert turns.number == before
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def test_who_gives_up_in_the_line_holds_up_nobody() -> None:
    turnstile = Turnstile(1)
    tasks = [asyncio.ensure_future(turnstile.enter()) for _ in range(9)]
    await asyncio.sleep(0)
    for task in tasks[1:8]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks] == [False] + 7 * [True] + [False]


class Timed(StubNode):
    """Notes in which turn of the loop it was asked."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self.turns = turns
        self.asked: list[int] = []

    async def execute(self, *arguments: Any, **more: Any) -> Answer:
        self.asked.append(self.turns.number)
        return await super().execute(*arguments, **more)


async def test_a_crowd_of_requests_is_not_begun_in_one_turn() -> None:
    """Hundreds that are ready at once, each on a connection of its own (hazard B98)."""
    with Turns() as turns:
        node = Timed(turns)
        async with running(node=node) as http:
            http.server._turnstile = http.server._lean.turnstile = Turnstile(16)
            per_turn = 16 * CALLS_PER_PASS if Ways.is_lean else 16
            clients = [await http.connect() for _ in range(3 * per_turn)]
            for client in clients:
                client.writer.write(post(PING))
            assert {(await client.receive()).status for client in clients} == {200}
    assert len(node.asked) == len(clients)
    assert max(Counter(node.asked).values()) <= per_turn


async def test_of_what_is_pipelined_little_is_taken_apart_before_it_is_its_turn() -> None:
    """Or the first bytes of a crowd would take a turn of a second (hazard B98)."""
    async with running() as http:
        http.node.release.clear()
        client = await http.connect()
        client.writer.write(post(PING) * 100)
        await wait_until(lambda: len(http.node.executed) == 1)
        server = http.server._server
        assert server is not None
        (connection,) = server.connections
        assert connection._request_count <= 2 * PIPELINED_MAX
        http.node.release.set()
        assert [(await client.receive()).status for _ in range(100)] == [200] * 100
