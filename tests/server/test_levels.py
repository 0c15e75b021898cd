"""The levels of queues and locks: page by page, few of many, and those for a while."""

from typing import Any, Literal

from raftdb.errors import Unavailable
from raftdb.machine.entries import encode, stamp
from raftdb.machine.layer import Layer
from raftdb.machine.locks.holding import Lock
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Operation, UserOperation
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.reply import Result
from raftdb.server.levels import LISTED_MAX, PAGE_LENGTH, STICKY_SECONDS, LevelsReader
from storage.memory import MemoryStateStore


class State:
    """A state, and how much of it was read at once."""

    def __init__(self) -> None:
        # A layer finds its keys by order, which a store in memory does not.
        self.store = Layer(MemoryStateStore())
        self.index = 0
        self.now_s = 0.0
        self.pages: list[int] = []
        self.passed: list[int] = []
        self.error: Unavailable | None = None
        self.reader = LevelsReader(self.read, clock=lambda: self.now_s)

    def at(self, time_ms: int, *operations: Operation) -> None:
        """Apply operations at a time of the cluster clock."""
        for operation in operations:
            self.index += 1
            Machine().apply(self.index, 1, stamp(encode(operation), time_ms), self.store)

    async def read(self, operation: UserOperation, *, consistency: Literal["stale"]) -> Any:
        if self.error is not None:
            raise self.error
        view = Layer(self.store)
        result = Machine().read(operation, view)
        assert isinstance(result, Result)
        self.passed.append(view.passed)
        return result


def name_of(number: int) -> bytes:
    return b"q%05d" % number


async def test_the_levels_are_those_of_the_queues_and_locks() -> None:
    state = State()
    state.at(1_000, Enqueue(b"a", b"v"), Enqueue(b"a", b"w"), Enqueue(b"b", b"v"))
    state.at(5_000, Receive(b"a"), Lock(b"l", owner=b"x"), Lock(b"m", owner=b"x"), Enqueue(b"b", b"w"))
    levels = await state.reader.read()
    assert {name: tuple(level[1:]) for name, level in levels.listed.items()} == {
        b"a": (1, 1, 0, 4_000),
        b"b": (2, 0, 0, 4_000),
    }
    assert (levels.queues, levels.visible, levels.in_flight, levels.dead) == (2, 3, 1, 0)
    assert (levels.oldest_ms, levels.held, levels.waiting) == (4_000, 2, 0)


async def test_of_ten_thousand_queues_few_are_read_at_once_and_few_are_listed() -> None:
    state = State()
    state.at(1_000, *(Enqueue(name_of(number), b"v") for number in range(10_000)))
    state.at(2_000, *(Dequeue(name_of(number)) for number in range(10_000) if number % 7))
    state.at(3_000, Enqueue(name_of(5_001), b"v"), Enqueue(name_of(5_001), b"w"))
    levels = await state.reader.read()
    assert len(state.passed) > 10_000 // PAGE_LENGTH
    assert max(state.passed) <= 2 * PAGE_LENGTH, "a queue, and the first message of it"
    assert levels.queues == 10_000
    assert levels.visible == 1_429 + 2
    assert levels.oldest_ms == 2_000
    assert len(levels.listed) <= 2 * LISTED_MAX
    assert levels.listed[name_of(5_001)].visible == 2, "the longest"


async def test_a_queue_stays_listed_for_an_hour_and_no_longer_than_it_exists() -> None:
    state = State()
    state.at(1_000, *(Enqueue(name_of(number), b"v") for number in range(2 * LISTED_MAX)))
    assert name_of(0) in (await state.reader.read()).listed
    state.at(2_000, Dequeue(name_of(0)))
    state.at(2_000, *(Enqueue(name_of(number), b"w") for number in range(1, 2 * LISTED_MAX)))
    state.now_s += 60
    again = await state.reader.read()
    assert again.listed[name_of(0)].visible == 0, "neither old nor long, but it was shown a minute ago"
    state.now_s += STICKY_SECONDS
    assert name_of(0) not in (await state.reader.read()).listed


async def test_a_state_that_cannot_be_read_is_told_as_it_was() -> None:
    state = State()
    state.at(1_000, Enqueue(b"a", b"v"))
    before = await state.reader.read()
    state.now_s += 60
    state.error = Unavailable("busy", "a snapshot is being installed")
    assert await state.reader.read() == before
