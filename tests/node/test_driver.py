"""A driver on the event loop, alone with a disk in memory: what it takes in, and what it refuses at the door."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from raftdb.core.events import PeerMet, RemovalTold, SnapshotFetched, SnapshotMade
from raftdb.core.messages import InstallSnapshot
from raftdb.core.model import EntryId
from raftdb.core.raft import STEPS
from raftdb.errors import Conflict, Fatal, ReplyError, RequestRefused, SessionExpired, Unavailable
from raftdb.machine.counters import IncrementBy
from raftdb.machine.expiry import ExpireAfter
from raftdb.machine.operations import ClientOperation, Mode, SessionOperation, TransactionOperation
from raftdb.machine.reply import KeyRecord, Page, Result
from raftdb.machine.scanning import ReadPage, ReadRecord
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import Delete, Get, Set
from raftdb.node.compaction import CompactionPolicy
from raftdb.node.driver import Driver
from raftdb.node.effects import EffectHandler, EffectRunner
from raftdb.node.turn import Answer, Effects
from raftdb.node.view import NodeView
from storage.contract import FrozenChanges, LogBatch
from tests.machine.database import shown_result
from tests.node.bench import NEVER, NO_TAIL, Bench

NAME = b"s" * 16
WAIT_S = 20.0
"""Longest wait for something that must come: only a failing test waits as long."""


class InstantDisk:
    """A disk that is written at once; what is to go to the state waits while `state_may_go_on` is not set."""

    last_sync_ms = 0.0

    def __init__(self, driver: Driver, bench: Bench) -> None:
        self._driver = driver
        self._bench = bench
        self.state_may_go_on = asyncio.Event()
        self.state_may_go_on.set()
        self.flushes = 0

    def write_here(self, batch: LogBatch) -> bool:
        return False

    def submit(self, sequence: int, batch: LogBatch) -> None:
        self._bench.log.write([batch])
        self._driver.persisted(sequence)

    async def flush(self, frozen: FrozenChanges) -> None:
        self.flushes += 1
        await self.state_may_go_on.wait()
        self._bench.state.flush(frozen)

    async def trim(self, base: EntryId) -> None:
        while self._bench.log.trim(*base):
            pass


class NoLinks:
    """There are no peers to be linked with."""

    def update_peers(self, addresses: dict[str, object]) -> None:
        assert addresses == {}

    def endpoint_of(self, peer: str) -> None:
        """Nobody is anywhere."""


@asynccontextmanager
async def leading(
    policy: CompactionPolicy = NEVER, *, snapshots: object = None
) -> AsyncIterator[tuple[Driver, InstantDisk]]:
    """The driver of a cluster of one, which leads, and its disk."""
    failures: list[Fatal] = []
    bench = Bench(policy=policy)
    made = Driver(
        bench.replica, NodeView(bench.replica), tick_ms=2, heartbeat_ms=20, on_fatal=failures.append
    )
    disk = InstantDisk(made, bench)
    made.start(cast(Any, disk), cast(Any, NoLinks()), cast(Any, snapshots))
    await wait_for(made.is_leader)
    yield made, disk
    await made.close(grace_seconds=0)
    assert failures == []


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    """Of a cluster of one, which leads."""
    async with leading() as (made, _):
        yield made


async def wait_for(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.002)


async def answer(driver: Driver, operation: Any, **more: str) -> Answer:
    async with asyncio.timeout(WAIT_S):
        answered = await driver.execute(operation, **more)
    result = shown_result(operation, Result(answered.value, answered.revision))
    return answered._replace(value=result.value)


async def test_every_kind_of_operation_is_answered(driver: Driver) -> None:
    several = await answer(driver, TransactionOperation((Set(b"a", b"1"), IncrementBy(b"a", 1), Get(b"a"))))
    assert several.value == ["OK", 2, b"2"]
    assert (await answer(driver, RegisterSession(NAME))).value == "OK"
    first = await answer(driver, SessionOperation(NAME, 1, 1, IncrementBy(b"a", 1)))
    assert first == await answer(driver, SessionOperation(NAME, 1, 1, IncrementBy(b"a", 1)))
    assert (await answer(driver, CloseSession(NAME))).value == "OK"
    for consistency in ("linearizable", "stale"):
        record = await answer(driver, ReadRecord(b"a"), consistency=consistency)
        assert record.value == KeyRecord(b"a", b"3", first.index, None, None)
    page = await answer(driver, ReadPage(b"", b"", 10))
    assert isinstance(page.value, Page)
    assert [record.key for record in page.value.records] == [b"a"]


async def test_failures_are_raised_as_what_they_are(driver: Driver) -> None:
    with pytest.raises(Conflict) as conflict:
        await answer(driver, TransactionOperation((), ((b"k", 5),)))
    assert conflict.value.keys == (b"k",)
    with pytest.raises(SessionExpired):
        await answer(driver, SessionOperation(NAME, 1, 1, IncrementBy(b"n", 1)))
    with pytest.raises(ReplyError) as failed:
        await answer(driver, TransactionOperation((Get(b""),), mode=Mode.ATOMIC))
    assert failed.value.failed_command == 0


@pytest.mark.parametrize(
    "operation", [Set(b"k", b"v"), TransactionOperation((Get(b"k"),)), RegisterSession(NAME)], ids=repr
)
async def test_what_goes_through_the_log_cannot_be_stale(driver: Driver, operation: ClientOperation) -> None:
    with pytest.raises(RequestRefused):
        await answer(driver, operation, consistency="stale")


async def test_short_of_space_only_what_grows_is_refused(driver: Driver) -> None:
    """Hazard B84: who has nothing but a session can still delete."""
    await answer(driver, TransactionOperation((Set(b"k", b"v"), Set(b"l", b"v"))))
    driver.space.measured("full", grown_bytes=0, headroom_bytes=0, last_headroom_bytes=1 << 40)
    await answer(driver, RegisterSession(NAME))
    for operation in (
        Set(b"k", b"w"),
        TransactionOperation((Delete(b"k"), Set(b"k", b"w"))),
        SessionOperation(NAME, 1, 1, Set(b"k", b"w")),
        SessionOperation(NAME, 1, 1, TransactionOperation((Set(b"k", b"w"),))),
    ):
        with pytest.raises(Unavailable) as refused:
            await answer(driver, operation)
        assert refused.value.code == "no_space"
    assert (await answer(driver, SessionOperation(NAME, 1, 1, Delete(b"k")))).value == b"v"
    assert (await answer(driver, TransactionOperation((ExpireAfter(b"l", 0),)))).value == [1]


async def test_a_key_ends_by_the_clock_of_the_machine(driver: Driver) -> None:
    """Without anybody asking, and without a write: the ticks are enough."""
    began = asyncio.get_running_loop().time()
    await answer(driver, Set(b"k", b"v", 50))
    async with asyncio.timeout(WAIT_S):
        while (await driver.execute(Get(b"k"), consistency="stale")).value == b"v":
            await asyncio.sleep(0.002)
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_a_checkpoint_covers_what_was_acknowledged_before_it_was_asked_for() -> None:
    """An automatic one is under way, and would end the wait."""
    async with leading(NO_TAIL) as (driver, disk):
        disk.state_may_go_on.clear()
        while not disk.flushes:
            await answer(driver, Set(b"k", b"v"))
        newest = await answer(driver, Set(b"k", b"w"))
        asked = asyncio.ensure_future(driver.checkpoint())
        await wait_for(lambda: driver.replica.pending_count == 0)
        assert not asked.done()
        disk.state_may_go_on.set()
        async with asyncio.timeout(WAIT_S):
            assert await asked >= newest.index
        assert disk.flushes == 2


async def test_what_handshakes_show_is_taken_in_by_a_turn_and_what_follows_is_done(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core is stepped nowhere else, and no update of it is dropped."""
    monkeypatch.setattr(logging.getLogger("raftdb.node"), "disabled", True)
    told: list[Effects] = []
    plain = EffectRunner.carry_out

    def carry_out(self: EffectRunner, effects: Effects, handler: EffectHandler) -> None:
        told.append(effects)
        plain(self, effects, handler)

    monkeypatch.setattr(EffectRunner, "carry_out", carry_out)
    for event in (PeerMet, RemovalTold):
        monkeypatch.setitem(STEPS, event, lambda state, event: state.trace("shown", what=event))
    driver.peer_met(PeerMet("n2", "folder"))
    driver.told_removed(["n2"])
    driver.peer_met(PeerMet("n3", "folder"))

    def shown() -> list[object]:
        traces = [trace for effects in told for trace in effects.traces]
        return [dict(trace.details)["what"] for trace in traces if trace.event == "shown"]

    await wait_for(lambda: len(shown()) == 3)
    assert shown() == [PeerMet("n2", "folder"), RemovalTold(), PeerMet("n3", "folder")]


async def test_what_becomes_of_snapshots_is_taken_in_however_many_turns_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = 0
    taken: list[object] = []
    carry_out = EffectRunner.carry_out

    def count(self: EffectRunner, effects: Effects, handler: EffectHandler) -> None:
        nonlocal turns
        turns += 1
        carry_out(self, effects, handler)

    async def some_turns() -> None:
        begun = turns
        await wait_for(lambda: turns > begun + 3)

    class SlowSnapshots:
        async def make(self, target: str) -> SnapshotMade:
            await some_turns()
            return SnapshotMade(target, None)

        async def fetch(self, offer: InstallSnapshot) -> bool:
            await some_turns()
            made.replica.snapshot_received(offer.last_index, offer.last_term)
            return True

    monkeypatch.setattr(EffectRunner, "carry_out", count)
    for kind in (SnapshotMade, SnapshotFetched):
        monkeypatch.setitem(STEPS, kind, lambda _state, event: taken.append(event))
    offer = InstallSnapshot("n2", "n1", 1, 9, 1, 1, b"", 70_000, bytes(32))
    async with leading(snapshots=SlowSnapshots()) as (made, _):
        carry_out(made._runner, Effects(snapshots_wanted=["n2"], snapshot_offered=offer), made._handler)
        await wait_for(lambda: len(taken) == 2)
    assert {SnapshotMade("n2", None), SnapshotFetched(offer)} == set(taken)
