"""A replica alone, on disks in memory: checkpoints, compaction, and the installation of a snapshot."""

from collections.abc import Sequence
from typing import Any

import pytest

from raftdb.core.block import entry_bytes
from raftdb.core.events import SnapshotFetched, SnapshotMade
from raftdb.core.log import Log
from raftdb.core.messages import (
    AppendEntriesReply,
    HeartbeatReply,
    InstallSnapshot,
)
from raftdb.core.model import Entry, EntryId, EntryKind, HardState, Term
from raftdb.errors import Fatal
from raftdb.machine.entries import encode, stamp
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.strings import Set
from raftdb.node.compaction import CompactionPolicy, phase_among
from raftdb.node.pending import LogPage, MakeCheckpoint, ReadRequest
from raftdb.node.stored import bootstrap, decode_hard_state, encode_hard_state, load_raft
from raftdb.node.turn import Answer, Effects, Inputs
from raftdb.server.disk import describe_state
from raftdb.wire.configuration import encode_configuration
from storage.contract import LogBatch
from storage.memory import MemoryLogStore, MemoryStateStore
from storage.memory_disk import MemoryDisk
from tests.blocks import blocks
from tests.node.bench import NEVER, NO_TAIL, SETTINGS, Bench, code_of, members, set_entry, value_of

# When a checkpoint is due


def test_a_checkpoint_is_due_after_so_many_entries() -> None:
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    bench.write(*[b"v"] * 7)
    assert (bench.replica.applied_index, bench.flushing) == (9, None)
    bench.write(b"w")
    assert (bench.flushing, bench.replica.checkpoint_index) == (10, 0)


def test_a_checkpoint_is_due_after_so_many_bytes() -> None:
    bench = Bench(policy=CompactionPolicy(checkpoint_bytes=10_000, tail_bytes=0))
    bench.lead()
    bench.write(b"x" * 9_000)
    assert bench.flushing is None
    bench.write(b"x" * 1_000)
    assert bench.flushing == bench.replica.applied_index == 4


def test_one_checkpoint_is_made_at_a_time() -> None:
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    bench.write(*[b"v"] * 30)
    first = bench.frozen
    bench.write(*[b"w"] * 30)
    assert bench.frozen is first
    bench.flush_and_tell()
    assert bench.flushing == bench.replica.applied_index == 62, "the next one follows at once: it is due"


@pytest.mark.parametrize(("phase", "due_at"), [(0.0, [100, 200]), (0.25, [75, 175]), (0.5, [50, 150])])
def test_members_make_their_checkpoints_at_different_entries(phase: float, due_at: list[int]) -> None:
    policy = CompactionPolicy(checkpoint_entries=100, phase=phase)
    found, checkpoint = [], 0
    for applied in range(250):
        if policy.is_due(applied_index=applied, checkpoint_index=checkpoint, change_bytes=0):
            found.append(applied)
            checkpoint = applied
    assert found == due_at


def test_the_phases_of_members_are_apart_and_below_1() -> None:
    assert [phase_among(node, ["n3", "n1", "n2", "n4"]) for node in ("n1", "n2", "n3", "n4", "n9")] == [
        0.0,
        0.25,
        0.5,
        0.75,
        0.0,
    ]


def test_a_checkpoint_is_never_ahead_of_the_log_on_the_own_disk() -> None:
    """Entries may be committed by others before they are on this disk. A state ahead of its log's disk would look like
    an installation that was cut short (hazard B31)."""
    bench = Bench(nodes=3, policy=NO_TAIL)
    bench.log_is_held = True
    bench.follow(2, [set_entry(index, 2) for index in range(2, 30)], commit_index=29)
    assert (bench.replica.applied_index, bench.core.log.persisted_index) == (29, 1)
    bench.ask_for_checkpoint()
    assert bench.flushing is None
    bench.write_log()
    assert bench.flushing == bench.log.load().last_index == 29


def test_who_asks_waits_until_the_checkpoint_is_durable() -> None:
    bench = Bench()
    bench.lead()
    bench.write(b"v")
    asked = bench.ask_for_checkpoint()
    bench.turn(ticks=1)
    assert (bench.flushing, asked in bench.answers) == (3, False)
    bench.flush_and_tell()
    assert bench.answers[asked] == Answer(3, 3, 2)
    asked = bench.ask_for_checkpoint()
    assert (bench.flushing, value_of(bench.answers[asked])) == (None, 3), "nothing has changed since"


def test_who_asks_while_a_checkpoint_is_made_waits_for_one_that_covers_what_it_has_seen() -> None:
    """A backup is not older than the writes that were acknowledged before it was asked for."""
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    bench.write(*[b"v"] * 8)
    assert bench.flushing == 10, "an automatic one"
    early = bench.ask_for_checkpoint()
    bench.write(b"w")
    late, again = bench.ask_for_checkpoint(), bench.ask_for_checkpoint()
    bench.flush_and_tell()
    assert value_of(bench.answers[early]) == 10
    assert not {late, again} & set(bench.answers)
    assert (bench.flushing, bench.base()) == (11, (10, 10))
    bench.flush_and_tell()
    assert [value_of(bench.answers[request]) for request in (late, again)] == [11, 11]
    assert bench.base() == (11, 11)


def test_a_backup_leaves_the_log_its_tail_and_a_wish_for_compaction_does_not() -> None:
    """A follower that is away while a backup is made goes on from the log, and needs no snapshot."""
    bench = Bench(policy=CompactionPolicy())
    bench.lead()
    bench.write(*[b"v"] * 8)
    backup = bench.ask_for_checkpoint(keeps_tail=True)
    bench.flush_and_tell()
    assert (value_of(bench.answers[backup]), bench.base()) == (10, (0, 0))
    again = bench.ask_for_checkpoint(keeps_tail=True)
    assert (value_of(bench.answers[again]), bench.base()) == (10, (0, 0))
    bench.write(b"w")
    backup, wish = bench.ask_for_checkpoint(keeps_tail=True), bench.ask_for_checkpoint()
    bench.flush_and_tell()
    assert [value_of(bench.answers[request]) for request in (backup, wish)] == [11, 11]
    assert bench.base() == (11, 11), "who wants it compacted gets that, whoever else asked"


def test_who_asks_a_leader_gets_what_is_committed_and_of_one_that_was_deposed_nothing() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    bench.acknowledge("n2", 2)
    requests = [ReadRequest(number, MakeCheckpoint()) for number in (101, 102)]
    bench.turn(reads=requests[:1])
    bench.write(b"v")
    bench.acknowledge("n2", 3)
    assert bench.flushing is None, "it may be leader no more: whatever others have acknowledged is not here"
    bench.receive(HeartbeatReply("n2", "n1", bench.core.term, bench.core.leadership.round))
    bench.flush_and_tell()
    assert bench.answers[101] == Answer(3, 3, 2)
    bench.turn(reads=requests[1:])
    bench.follow(bench.core.term + 1, [], commit_index=0)
    assert code_of(bench.answers[102]) == "not_leader"
    assert bench.flushing is None


# Where the log begins after it


def test_a_durable_checkpoint_moves_the_beginning_of_the_log_in_memory_and_on_disk() -> None:
    """Flush, thaw, compact, trim, in this order; then a start from it."""
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    bench.write(*[b"v"] * 8)
    bench.write(b"w")
    assert (bench.base(), bench.replica.checkpoint_index) == ((0, 0), 0)
    frozen = bench.flush()
    assert (bench.base(), bench.replica.checkpoint_index) == ((0, 0), 0), "the replica is not told yet"
    effects = bench.turn(flushed=frozen)
    assert effects.trim == (10, 2)
    assert (bench.base(), bench.replica.checkpoint_index) == ((10, 10), 10)
    assert value_of(bench.read()) == b"w"
    assert code_of(bench.read(LogPage(10, 5))) == "compacted"
    bench.start()
    assert (bench.core.log.base, bench.core.log.last_index) == ((10, 2), 11)
    assert (bench.core.commit_index, bench.replica.applied_index) == (10, 10)
    assert bench.core.configurations.latest.members == members(1).members
    bench.lead()
    assert value_of(bench.read()) == b"w"


@pytest.mark.parametrize("told", [False, True])
def test_a_crash_between_the_checkpoint_and_the_trim_leaves_a_log_that_reaches_further_back(
    told: bool,
) -> None:
    """Hazard B31."""
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    bench.write(*[b"v"] * 9)
    frozen = bench.flush()
    if told:
        bench.replica.turn(Inputs(flushed=frozen))
    bench.start()
    assert bench.base() == (0, 0)
    assert (bench.core.commit_index, bench.replica.applied_index) == (11, 11)
    bench.lead()
    assert value_of(bench.read()) == b"v"


def test_a_crash_in_the_middle_of_a_trim_leaves_a_log_that_begins_somewhere_before_the_state() -> None:
    """Hazard B31."""
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    for _ in range(7):
        bench.write(b"v")
    bench.write(b"v", b"v")
    bench.flush()
    bench.log.trim(11, 2, blocks_max=4)
    bench.start()
    assert (bench.base(), bench.replica.applied_index) == ((4, 4), 11)


def log_with(entries: int, *, cached_from: int = 1, base: EntryId = EntryId(0, 0)) -> Log:  # noqa: B008
    """A log of entries of 68 bytes up to index `entries`, of which those from `cached_from` on are in memory."""
    last_on_disk = cached_from - 1
    log = Log(
        base=base,
        last_index=last_on_disk,
        term_starts=[(base.index + 1, 1)] if last_on_disk > base.index else [],
        cache_bytes_max=1 << 30,
    )
    new = [Entry(index, 1, EntryKind.COMMAND, b"x" * 68) for index in range(cached_from, entries + 1)]
    log.append(blocks(new))
    assert all(entry_bytes(entry.data) == 100 for entry in new)
    return log


def test_a_tail_of_the_log_is_kept_behind_a_checkpoint() -> None:
    policy = CompactionPolicy(tail_bytes=1_000)
    log = log_with(100)
    assert policy.base_after(log, checkpoint_index=100, retained_index=None) == 90
    assert policy.base_after(log, checkpoint_index=95, retained_index=None) == 90
    assert policy.base_after(log, checkpoint_index=50, retained_index=None) == 50, "not beyond the state"
    assert policy.base_after(log_with(5), checkpoint_index=5, retained_index=None) == 0, "all of it fits"


def test_a_tail_that_reaches_below_what_is_in_memory_is_measured_by_what_is() -> None:
    policy = CompactionPolicy(tail_bytes=3_000)
    assert policy.base_after(log_with(100, cached_from=91), checkpoint_index=100, retained_index=None) == 70


def test_a_tail_of_which_nothing_is_in_memory_is_measured_by_what_the_disk_said_at_the_start() -> None:
    policy = CompactionPolicy(tail_bytes=3_000, entry_bytes=150)
    assert policy.base_after(log_with(100, cached_from=101), checkpoint_index=100, retained_index=None) == 80


def test_the_log_is_kept_for_a_follower_that_receives_a_snapshot_within_a_bound() -> None:
    """Hazard B20: or it would need the next one as soon as it has this one."""
    policy = CompactionPolicy(tail_bytes=1_000, retained_bytes_max=6_000)
    for log in (log_with(100), log_with(100, cached_from=91)):
        for retained, base in [(95, 90), (60, 60), (40, 40), (39, 90)]:
            assert policy.base_after(log, checkpoint_index=100, retained_index=retained) == base


def test_the_beginning_of_a_log_never_goes_back() -> None:
    policy = CompactionPolicy(tail_bytes=1_000)
    log = log_with(100, cached_from=96, base=EntryId(95, 1))
    for checkpoint, retained in [(100, None), (10, None), (100, 3)]:
        assert policy.base_after(log, checkpoint_index=checkpoint, retained_index=retained) == 95


def test_the_replica_keeps_the_log_from_the_end_of_the_snapshot_that_a_follower_receives() -> None:
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    bench.replica.retained_index = 6
    bench.write(*[b"v"] * 20)
    bench.flush_and_tell()
    assert bench.base() == (6, 6)


def test_who_asks_for_a_compaction_gets_a_log_without_a_tail() -> None:
    bench = Bench(policy=NEVER)
    bench.lead()
    bench.write(*[b"v"] * 20)
    bench.ask_for_checkpoint()
    bench.flush_and_tell()
    assert bench.base() == (22, 22)


def test_who_asks_for_a_compaction_keeps_what_the_slowest_follower_that_answers_lacks() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    bench.write(*[b"v"] * 20)
    bench.acknowledge("n2", 22)
    bench.acknowledge("n3", 7)
    assert bench.replica.applied_index == 22
    bench.ask_for_checkpoint()
    bench.flush_and_tell()
    assert bench.base() == (7, 7)


def test_who_asks_for_a_compaction_keeps_nothing_for_a_follower_that_is_silent() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    bench.write(*[b"v"] * 20)
    bench.acknowledge("n3", 7)
    bench.turn(ticks=SETTINGS.election_timeout_ticks)
    bench.acknowledge("n2", 22)
    bench.ask_for_checkpoint()
    bench.flush_and_tell()
    assert bench.base() == (22, 22)


def test_a_follower_that_is_asked_for_a_compaction_keeps_no_tail() -> None:
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(index, 2) for index in range(2, 30)], commit_index=25)
    bench.ask_for_checkpoint()
    bench.flush_and_tell()
    assert bench.base() == (25, 25)
    assert bench.core.log.last_index == 29


def test_a_follower_behind_a_compacted_log_is_named_to_the_driver() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    bench.write(*[b"v"] * 20)
    bench.turn(ticks=SETTINGS.election_timeout_ticks)
    bench.acknowledge("n2", 22)
    bench.ask_for_checkpoint()
    bench.flush_and_tell()
    effects = bench.receive(AppendEntriesReply("n3", "n1", 2, 1, False, 0, 1, 1))
    assert effects.snapshots_wanted == ["n3"]
    bench.sent.clear()
    bench.turn(snapshots=[SnapshotMade("n3", EntryId(22, 2), 1, b"", 70_000, bytes(32))])
    assert bench.sent == [InstallSnapshot("n1", "n3", 2, 22, 2, 1, b"", 70_000, bytes(32))]


# A snapshot is installed


def snapshot_of(end: EntryId, value: bytes = b"from the snapshot", nodes: int = 3) -> bytes:
    """The state of a cluster that applied everything up to `end`, and stored `value` under b"k"."""
    state = MemoryStateStore()
    configuration = pack_configuration(1, encode_configuration(members(nodes)))
    layer = Layer(state)
    Machine().apply(end.index, end.term, stamp(encode(Set(b"k", value)), 0), layer)
    state.write({**layer.changes, CONFIGURATION_KEY: configuration}, index=end.index, term=end.term)
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    return state.export(cluster_id="c", describe=describe_state)[1]


def announce(end: EntryId, term: Term) -> InstallSnapshot:
    """The word of n2, the leader of `term`, of its state up to `end`."""
    return InstallSnapshot("n2", "n1", term, *end, 1, encode_configuration(members(3)), 70_000, bytes(32))


def swap(bench: Bench, end: EntryId) -> None:
    """The first half of an installation: the state is the new one."""
    MemoryStateStore.install(bench.state.disk, snapshot_of(end))
    bench.state = MemoryStateStore(bench.state.disk)


def install(bench: Bench, **more: Any) -> Effects:
    """Do the installation that is waited for, whole, and tell the replica."""
    job = bench.jobs.pop(0)
    assert job.install is not None
    swap(bench, job.install)
    bench.log.reset(*job.install)
    return bench.turn(persisted_sequence=job.sequence, installed_state=bench.state, **more)


def begin_installation(bench: Bench, end: EntryId, term: Term) -> None:
    """The leader offers its snapshot, and it is fetched."""
    effects = bench.receive(announce(end, term))
    assert effects.snapshot_offered == announce(end, term)
    bench.replica.snapshot_received(*end)
    bench.turn(snapshots=[SnapshotFetched(announce(end, term))])

    assert [job.install for job in bench.jobs] == [end]


END = EntryId(20, 3)


def test_an_installed_snapshot_is_the_state_and_the_log_goes_on_behind_it() -> None:
    """Hazards B28, B29, B34."""
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(2, 2), set_entry(3, 2)], commit_index=3)
    begin_installation(bench, END, 3)
    bench.sent.clear()
    install(bench)
    assert (bench.replica.applied_index, bench.replica.checkpoint_index, bench.base()) == (20, 20, (20, 20))
    assert [m.match_index for m in bench.sent if isinstance(m, AppendEntriesReply)] == [20]
    assert value_of(bench.read()) == b"from the snapshot"
    bench.follow(3, [set_entry(21, 3, b"later")], commit_index=21)
    assert value_of(bench.read()) == b"later"
    bench.start()
    assert (bench.core.term, bench.core.commit_index, bench.core.log.last_index) == (3, 20, 21)


def test_nothing_is_said_while_a_snapshot_is_not_in_place() -> None:
    """Hazard B02: not even in the term that came with it."""
    bench = Bench(nodes=3)
    begin_installation(bench, END, 3)
    bench.sent.clear()
    bench.turn(ticks=1)
    assert bench.sent == []
    assert len(bench.jobs) == 1


def test_nothing_is_applied_while_a_snapshot_is_not_in_place() -> None:
    """Hazard B28: what follows the snapshot is committed, and would be applied to the old state."""
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(2, 2), set_entry(3, 2)], commit_index=3)
    begin_installation(bench, END, 3)
    bench.follow(3, [set_entry(21, 3), set_entry(22, 3, b"last")], commit_index=22)
    for _ in range(3):
        effects = bench.turn(ticks=1)
        assert (bench.replica.applied_index, effects.more) == (3, False)
    assert bench.core.commit_index == 22
    install(bench)
    assert bench.replica.applied_index == 22
    assert value_of(bench.read()) == b"last"
    assert bench.log.load().last_index == 22


def test_reads_of_any_kind_are_refused_as_busy_while_a_snapshot_is_not_in_place() -> None:
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(2, 2)], commit_index=2)
    assert value_of(bench.read()) == b"v"
    begin_installation(bench, END, 3)
    assert code_of(bench.read()) == "busy"
    assert code_of(bench.read(LogPage(1, 5))) == "busy"
    assert code_of(bench.read(stale=False)) == "not_leader"
    install(bench)
    assert value_of(bench.read()) == b"from the snapshot"


def test_no_checkpoint_is_begun_while_a_snapshot_is_not_in_place() -> None:
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(2, 2)], commit_index=2)
    begin_installation(bench, END, 3)
    asked = bench.ask_for_checkpoint()
    assert (bench.flushing, code_of(bench.answers[asked])) == (None, "busy")


def test_writes_that_a_snapshot_covers_are_answered_as_unknown_and_later_ones_wait() -> None:
    """Hazard B54: they may be in it, or not. Nobody here can tell."""
    bench = Bench(nodes=3)
    bench.lead()
    covered = bench.write(b"a", b"b")
    later = bench.write(b"c", b"d")
    end = EntryId(4, 3)
    begin_installation(bench, end, 3)
    assert not {*covered, *later} & set(bench.answers)
    install(bench)
    assert [code_of(bench.answers[request]) for request in covered] == ["outcome_unknown"] * 2
    assert not set(later) & set(bench.answers)
    bench.follow(3, [set_entry(5, 3), set_entry(6, 3)], commit_index=6)
    assert [code_of(bench.answers[request]) for request in later] == ["not_leader"] * 2, "surely not executed"
    assert bench.replica.pending_count == 0


def test_a_snapshot_that_is_not_here_is_fetched_and_not_installed() -> None:
    """The leader offers it again: nothing is answered."""
    bench = Bench(nodes=3)
    bench.follow(3, [], commit_index=0)
    bench.sent.clear()
    for received in (None, EntryId(19, 3), EntryId(20, 2)):
        bench.replica.received_snapshot = received
        assert bench.receive(announce(END, 3)).snapshot_offered == announce(END, 3)
        bench.turn(snapshots=[SnapshotFetched(announce(END, 3))])
        assert (bench.jobs, bench.sent) == ([], [])
    assert bench.core.log.last_index == 1


def test_a_snapshot_that_is_here_already_is_not_fetched() -> None:
    """Another leader may offer it, too."""
    bench = Bench(nodes=3)
    bench.follow(3, [], commit_index=0)
    bench.replica.snapshot_received(*END)
    assert bench.receive(announce(END, 3)).snapshot_offered is None
    assert [job.install for job in bench.jobs] == [END]


def test_a_newer_offer_takes_the_place_of_what_was_received_until_that_is_being_installed() -> None:
    """Or the files that are to be swapped in would be thrown away, and the node would stop over it."""
    bench = Bench(nodes=3)
    bench.replica.snapshot_received(*END)
    assert bench.replica.give_up_received()
    bench.receive(announce(END, 3))
    assert bench.jobs == []
    begin_installation(bench, END, 3)
    assert not bench.replica.give_up_received()
    install(bench)
    assert bench.replica.applied_index == END.index
    assert bench.replica.give_up_received()


def test_one_snapshot_is_installed_at_a_time() -> None:
    """Hazard B28: the first one to be in place would end the wait for the second."""
    bench = Bench(nodes=3)
    begin_installation(bench, END, 3)
    later = EntryId(40, 3)
    bench.replica.snapshot_received(*later)
    bench.receive(announce(later, 3))
    assert [job.install for job in bench.jobs] == [END]
    install(bench)
    assert (bench.replica.applied_index, bench.core.commit_index) == (20, 20)
    begin_installation(bench, later, 3)
    install(bench)
    assert (bench.replica.applied_index, bench.base()) == (40, (40, 40))


def test_a_checkpoint_that_is_done_in_the_turn_of_an_installation_belongs_to_the_state_before() -> None:
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(2, 2), set_entry(3, 2)], commit_index=3)
    asked = bench.ask_for_checkpoint()
    begin_installation(bench, END, 3)
    install(bench, flushed=bench.flush())
    assert value_of(bench.answers[asked]) == 3
    assert (bench.replica.checkpoint_index, bench.base()) == (20, (20, 20))
    bench.follow(3, [set_entry(21, 3)], commit_index=21)
    bench.ask_for_checkpoint()
    bench.flush_and_tell()
    assert (bench.replica.checkpoint_index, bench.base()) == (21, (21, 21)), "checkpoints go on"


def test_a_checkpoint_that_is_done_before_an_installation_compacts_nothing() -> None:
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(2, 2), set_entry(3, 2)], commit_index=3)
    bench.ask_for_checkpoint()
    begin_installation(bench, END, 3)
    assert bench.flush_and_tell().trim is None
    install(bench)
    assert (bench.replica.applied_index, bench.base()) == (20, (20, 20))


# Starts


def stores(
    *, log: Sequence[Entry] = (), state_end: EntryId, log_base: EntryId | None = None
) -> tuple[MemoryLogStore, MemoryStateStore]:
    """A log with these entries behind the configuration (or behind `log_base`), and a state that ends there."""
    log_store, disk = MemoryLogStore(), MemoryDisk()
    bootstrap(log_store, members(3))
    if log_base is not None:
        log_store.reset(*log_base)
    log_store.write(
        [LogBatch(encode_hard_state(HardState(7, "n3")), None, [block.encoded for block in blocks(log)])]
    )
    MemoryStateStore(disk).close()
    MemoryStateStore.install(disk, snapshot_of(state_end))
    return log_store, MemoryStateStore(disk)


@pytest.mark.parametrize(
    "log",
    [
        [],  # it ends before (hazard B34)
        [set_entry(index, 2) for index in range(2, 30)],  # another entry stands there (hazard B25)
    ],
    ids=["shorter", "conflicting"],
)
def test_a_start_after_a_crash_between_the_swap_and_the_reset_of_the_log_finishes_the_installation(
    log: list[Entry],
) -> None:
    """Hazards B31, B25, B34: term and vote stay, the log begins anew behind the state."""
    log_store, state = stores(log=log, state_end=END)
    raft = load_raft("n1", log_store, state, settings=SETTINGS, randrange=lambda low, high: low)
    core = raft.state
    assert (core.log.base, core.log.last, core.commit_index) == (END, END, 20)
    assert (core.term, core.voted_for) == (7, "n3")
    assert core.configurations.latest == members(3)
    found = log_store.load()
    assert (found.base_index, found.base_term, found.last_index) == (20, 3, 20)
    assert found.hard_state is not None
    assert decode_hard_state(found.hard_state) == HardState(7, "n3")


@pytest.mark.parametrize("log_base", [None, EntryId(10, 3), END])
def test_a_start_with_a_log_that_holds_the_end_of_the_state_keeps_what_is_behind_it(
    log_base: EntryId | None,
) -> None:
    """Hazard B26."""
    first = (log_base.index if log_base else 1) + 1
    log_store, state = stores(
        log=[set_entry(index, 3) for index in range(first, 26)], state_end=END, log_base=log_base
    )
    core = load_raft("n1", log_store, state, settings=SETTINGS, randrange=lambda low, high: low).state
    assert (core.log.base.index, core.log.last_index, core.commit_index) == (
        first - 1 if log_base else 0,
        25,
        20,
    )


def test_a_crash_between_the_swap_and_the_reset_of_a_replica_is_mended_by_its_start() -> None:
    """Hazard B31, with the very writes of a replica; the term of the offer was written when that came."""
    bench = Bench(nodes=3)
    bench.follow(2, [set_entry(index, 2) for index in range(2, 30)], commit_index=5)
    begin_installation(bench, END, 3)
    swap(bench, END)
    bench.start()
    assert (bench.core.term, bench.core.commit_index, bench.base()) == (3, 20, (20, 20))
    assert value_of(bench.read()) == b"from the snapshot"
    bench.follow(3, [set_entry(21, 3, b"later")], commit_index=21)
    assert value_of(bench.read()) == b"later"


def test_a_state_that_ends_before_the_log_begins_stops_the_node() -> None:
    """Hazard B31: what lies between is gone; nothing is to be mended here."""
    log_store, state = stores(state_end=EntryId(20, 3), log_base=EntryId(21, 3))
    before = log_store.load()
    with pytest.raises(Fatal, match="the log begins after 21, but the state ends at 20") as caught:
        load_raft("n1", log_store, state, settings=SETTINGS, randrange=lambda low, high: low)
    assert caught.value.exit_code == 4
    assert log_store.load() == before
