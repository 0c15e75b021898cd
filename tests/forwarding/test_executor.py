"""The leader's end: what one node passes on is executed up to the first request that cannot be decided."""

import asyncio

import pytest

from raftdb.errors import CommandFailed, OutcomeUnknown, RaftdbError, Unavailable
from raftdb.forwarding.executor import Executor
from raftdb.forwarding.frames import Outcome, Request, encode_operation
from raftdb.machine.operations import Submission
from raftdb.machine.strings import Get
from raftdb.memory import MEMORY_BYTES_MIN, Hold, MemoryAccount
from raftdb.node.effects import OnAnswer
from raftdb.node.held import payload_of
from raftdb.node.turn import Answer
from tests.holding import Holding
from tests.machine.toys import Take, toys

DONE = Answer(None, 1, 1)
UNDECIDED: list[RaftdbError | None] = [
    Unavailable("not_leader", "n2 leads"),
    Unavailable("no_leader", "nobody leads"),
    Unavailable("no_quorum", "nobody is here"),
    OutcomeUnknown("who knows"),
    None,
]


class Node(Holding):
    """Answers when it is told to, or refuses at once."""

    def __init__(self, memory: MemoryAccount | None = None) -> None:
        super().__init__()
        self.submitted: list[bytes] = []
        self.waiting: list[OnAnswer] = []
        self.refusals: dict[bytes, RaftdbError] = {}
        self.told: list[object] = []
        self.hold = Hold(memory or MemoryAccount())
        self.executor = Executor(
            self.submit, self, memory=self.hold, on_answers=self.told.extend, on_over=self.told.append
        )

    def submit(self, operation: Submission, on_answer: OnAnswer, *, payload: bytes | None = None) -> None:
        assert isinstance(operation, Get)
        self.submitted.append(operation.key)
        if operation.key in self.refusals:
            raise self.refusals[operation.key]
        self.waiting.append(on_answer)

    def take(self, *keys: bytes) -> None:
        operations = [Get(key) for key in keys]
        self.executor.take([Request(ord(each.key), each, encode_operation(each)) for each in operations])


async def test_answers_are_given_together_in_the_order_in_which_they_come() -> None:
    node = Node()
    node.take(b"a", b"b", b"c")
    failed: Outcome = CommandFailed("no")
    for position, outcome in ((2, DONE), (0, failed), (1, DONE)):
        node.waiting[position](outcome)
    assert node.told == []
    await asyncio.sleep(0)
    assert node.told == [(ord("c"), DONE), (ord("a"), failed), (ord("b"), DONE)]
    assert node.hold.bytes == 0


@pytest.mark.parametrize("undecided", UNDECIDED)
async def test_nothing_is_submitted_or_answered_after_what_cannot_be_decided(
    undecided: RaftdbError | None,
) -> None:
    node = Node()
    node.take(b"a", b"b", b"c")
    node.waiting[0](DONE)
    node.waiting[1](undecided)
    node.waiting[2](DONE)
    node.take(b"d")
    await asyncio.sleep(0)
    why = "the node is stopping" if undecided is None else undecided.message
    assert node.told == [(ord("a"), DONE), why]
    assert node.submitted == [b"a", b"b", b"c"]
    assert node.hold.bytes == 0


async def test_what_is_refused_at_once_ends_it_only_if_another_leader_has_to_decide() -> None:
    node = Node()
    node.refusals = {b"b": (busy := Unavailable("busy", "wait")), b"d": Unavailable("not_leader", "n2 leads")}
    node.take(b"a", b"b", b"c", b"d", b"e")
    assert node.submitted == [b"a", b"b", b"c", b"d"]
    await asyncio.sleep(0)
    assert node.told == [(ord("b"), busy), "n2 leads"]


async def test_without_memory_it_is_busy() -> None:
    memory = MemoryAccount(MEMORY_BYTES_MIN)
    other = Hold(memory)
    other.set(MEMORY_BYTES_MIN)
    node = Node(memory)
    node.take(b"a")
    await asyncio.sleep(0)
    (answer,) = node.told
    assert isinstance(answer, tuple)
    assert answer[0] == ord("a")
    assert answer[1].code == "busy"
    assert node.submitted == []
    other.release()
    node.take(b"b")
    assert node.submitted == [b"b"]


async def test_who_has_gone_gets_nothing() -> None:
    node = Node()
    node.take(b"a", b"b")
    node.waiting[0](DONE)
    node.executor.end()
    node.waiting[1](DONE)
    await asyncio.sleep(0)
    assert node.told == []
    assert node.hold.bytes == 0


async def test_what_is_held_is_answered_beside_the_others_and_ends_nothing() -> None:
    with toys():
        node = Node()
        node.executor.take([wait_request(1, b"b"), wait_request(2, b"c"), wait_request(3, b"d")])
        node.take(b"a")
        assert node.waits == {1: Take(b"b"), 2: Take(b"c"), 3: Take(b"d")}
        assert node.wait_ms[1] == 700
        node.serve(1, Unavailable("not_leader", "n2 leads"))
        node.serve(2, DONE)
        node.waiting[0](DONE)
        await asyncio.sleep(0)
        first, *rest = node.told
        assert isinstance(first, tuple)
        assert (first[0], first[1].code) == (1, "not_leader")
        assert rest == [(2, DONE), (ord("a"), DONE)]
        assert not node.executor.is_over
        node.executor.take([Request(3, None, b"")])
        assert node.left == [3]


async def test_who_passes_on_no_more_leaves_what_is_held() -> None:
    with toys():
        node = Node()
        node.executor.take([wait_request(1, b"b"), wait_request(2, b"c")])
        node.executor.end()
        assert node.left == [1, 2]
        assert node.waits == {}


async def test_what_cannot_be_held_is_refused() -> None:
    with toys():
        node = Node()
        node.wait_refusal = Unavailable("busy", "too many")
        node.executor.take([wait_request(1, b"b")])
        await asyncio.sleep(0)
        assert node.told == [(1, node.wait_refusal)]
        assert node.hold.bytes == 0


def wait_request(number: int, bowl: bytes) -> Request:
    """A request that waits for a sweet."""
    return Request(number, Take(bowl), payload_of(Take(bowl)), 700)
