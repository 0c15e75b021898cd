"""The order in which effects are carried out, for every kind of node."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from raftdb.core.messages import Heartbeat, InstallSnapshot, Message
from raftdb.core.model import EntryId, NodeId
from raftdb.core.update import Trace
from raftdb.endpoint import Endpoint
from raftdb.errors import RaftdbError, Unavailable
from raftdb.node.effects import EffectRunner
from raftdb.node.pending import WriteRequest
from raftdb.node.turn import Answer, Effects, PersistJob, State
from storage.contract import FrozenChanges, LogBatch

END = EntryId(9, 3)
STATE = cast(State, object())


class Recorder:
    """Notes what it is asked for, in order."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def write_log(self, job: PersistJob) -> None:
        self.asked.append(job.sequence)

    def install(self, job: PersistJob, end: EntryId) -> None:
        self.asked.append(("install", job.sequence, end))

    def update_peers(self, addresses: Mapping[NodeId, Endpoint]) -> None:
        self.asked.append(dict(addresses))

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        assert {message.target for message in messages} == {target}
        self.asked.append(list(messages))

    def tell(self, traces: Sequence[Trace]) -> None:
        self.asked.append(("tell", len(traces)))

    def flush(self, frozen: FrozenChanges) -> None:
        self.asked.append(("flush", frozen))

    def trim(self, base: EntryId) -> None:
        self.asked.append(("trim", base))

    def make_snapshot(self, target: NodeId) -> None:
        self.asked.append(("make", target))

    def fetch_snapshot(self, offer: InstallSnapshot) -> None:
        self.asked.append(("fetch", offer))


class Bench:
    """A runner, what it asks for, and how often it wanted a turn."""

    def __init__(self) -> None:
        self.handler = Recorder()
        self.turns = 0
        self.runner = EffectRunner(self._on_work)

    def _on_work(self) -> None:
        self.turns += 1

    def carry_out(self, **effects: Any) -> list[object]:
        """What is asked for, for these effects."""
        self.handler.asked.clear()
        self.runner.carry_out(Effects(**effects), self.handler)
        return list(self.handler.asked)


def job(sequence: int, install: EntryId | None = None) -> PersistJob:
    return PersistJob(sequence, LogBatch(), install)


def test_writes_come_first_then_links_messages_answers_and_what_takes_long() -> None:
    bench = Bench()
    order: list[object] = bench.handler.asked
    request_id = bench.runner.admit(order.append)
    message = Heartbeat("n1", "n2", 1, 0, 0)
    frozen = cast(FrozenChanges, object())
    answer = Answer("OK", 7, 1)
    asked = bench.carry_out(
        persist=[job(1), job(2)],
        peers={"n2": "h:2"},
        messages=[message],
        answers=[(request_id, answer)],
        flush=frozen,
        trim=END,
        snapshots_wanted=["n2"],
    )
    assert asked == [
        1,
        2,
        {"n2": "h:2"},
        [message],
        answer,
        ("flush", frozen),
        ("trim", END),
        ("make", "n2"),
    ]


def test_each_target_gets_its_messages_of_a_turn_in_order_and_in_one_piece() -> None:
    bench = Bench()
    messages = [Heartbeat("n1", target, 1, round_, 0) for round_ in (1, 2) for target in ("n3", "n2")]
    of_n3, of_n2 = messages[0::2], messages[1::2]
    assert bench.carry_out(messages=messages) == [of_n3, of_n2]


def test_writes_wait_while_a_snapshot_takes_the_place_of_the_state() -> None:
    bench = Bench()
    assert bench.carry_out(persist=[job(1), job(2, install=END), job(3)]) == [1, ("install", 2, END)]
    installing = [bench.runner.is_installing]
    assert bench.carry_out(persist=[job(4)]) == []
    bench.runner.installed(2, STATE, bench.handler)
    assert bench.handler.asked == [3, 4]
    assert [*installing, bench.runner.is_installing] == [True, False]
    inputs = bench.runner.take_inputs()
    assert (inputs.installed_state, inputs.persisted_sequence) == (STATE, 2)
    assert bench.carry_out(persist=[job(5)]) == [5]


def test_an_installation_among_the_writes_that_waited_makes_those_behind_it_wait() -> None:
    bench = Bench()
    bench.carry_out(persist=[job(1, install=END), job(2), job(3, install=END), job(4)])
    bench.handler.asked.clear()
    bench.runner.installed(1, STATE, bench.handler)
    assert bench.handler.asked == [2, ("install", 3, END)]
    bench.runner.installed(3, STATE, bench.handler)
    assert bench.handler.asked[2:] == [4]


def test_each_request_is_answered_once_and_those_left_learn_that_nobody_knows() -> None:
    bench = Bench()
    heard: list[tuple[str, Answer | RaftdbError | None]] = []
    first = bench.runner.admit(lambda answer: heard.append(("first", answer)))
    second = bench.runner.admit(lambda answer: heard.append(("second", answer)))
    assert (first, second, bench.runner.pending_count, bench.turns) == (1, 2, 2, 2)
    busy = Unavailable("busy", "too much")
    bench.carry_out(answers=[(second, busy)])
    assert heard == [("second", busy)]
    bench.runner.abandon()
    bench.runner.abandon()
    assert heard == [("second", busy), ("first", None)]
    assert bench.runner.pending_count == 0


def test_what_arrives_is_an_input_of_the_next_turn_and_of_no_other() -> None:
    bench = Bench()
    bench.runner.inputs.writes.append(WriteRequest(1, b"k"))
    bench.runner.persisted(4)
    bench.runner.persisted(5)
    frozen = cast(FrozenChanges, object())
    bench.runner.flushed(frozen)
    assert bench.turns == 3
    inputs = bench.runner.take_inputs()
    assert (inputs.persisted_sequence, inputs.flushed, len(inputs.writes)) == (5, frozen, 1)
    assert bench.runner.take_inputs().writes == []
    bench.carry_out(more=True)
    assert bench.turns == 4
