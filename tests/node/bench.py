"""A replica on disks in memory, whose effects are carried out by hand: what the tests of the node work on."""

from collections.abc import Sequence
from typing import Any

from raftdb.core.events import Received
from raftdb.core.membership import Configuration
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Message,
    RequestPreVoteReply,
    RequestVoteReply,
)
from raftdb.core.model import Entry, EntryKind, Member, Role, Term
from raftdb.core.state import RaftSettings
from raftdb.errors import RaftdbError
from raftdb.machine.entries import encode, stamp
from raftdb.machine.machine import Machine
from raftdb.machine.operations import ClientOperation, SessionOperation
from raftdb.machine.service import Command
from raftdb.machine.strings import Get, Set
from raftdb.node.compaction import CompactionPolicy
from raftdb.node.held import payload_of
from raftdb.node.pending import LogPage, MakeCheckpoint, ReadRequest, WriteRequest
from raftdb.node.replica import Replica
from raftdb.node.stored import bootstrap, load_raft
from raftdb.node.turn import Answer, Effects, Inputs, PersistJob, WaitRequest
from storage.contract import FrozenChanges
from storage.memory import MemoryLogStore, MemoryStateStore
from tests.addresses import at
from tests.blocks import blocks

SETTINGS = RaftSettings(election_timeout_ticks=10, heartbeat_ticks=2)
NEVER = CompactionPolicy()
"""A policy whose limits no test here reaches."""
NO_TAIL = CompactionPolicy(checkpoint_entries=10, tail_bytes=0)


def members(count: int) -> Configuration:
    """So many voters."""
    return Configuration(tuple(Member(f"n{number}", at(f"h:{number}")) for number in range(1, count + 1)))


def set_entry(index: int, term: Term, value: bytes = b"v", *, key: bytes = b"k") -> Entry:
    """An entry that stores `value` under `key`."""
    return Entry(index, term, EntryKind.COMMAND, stamp(encode(Set(key, value)), 0))


class Bench:
    """Node n1, whose effects are carried out here. The disk of its log is done at once unless `log_is_held`; what
    the state's thread would do waits for `flush` and `install`."""

    def __init__(self, *, nodes: int = 1, policy: CompactionPolicy = NEVER) -> None:
        self.nodes = nodes
        self.policy = policy
        self.log, self.state = MemoryLogStore(), MemoryStateStore()
        bootstrap(self.log, members(nodes))
        self.log_is_held = False
        self.now_ms = 0.0
        self.start()

    def start(self) -> None:
        """Start (again) from the disks."""
        self.log = MemoryLogStore(self.log.disk)
        self.state = MemoryStateStore(self.state.disk)
        raft = load_raft("n1", self.log, self.state, settings=SETTINGS, randrange=lambda low, high: low)
        self.replica = Replica(
            raft,
            log_reader=self.log,
            state=self.state,
            machine=Machine(),
            patience_ticks=1000,
            policy=self.policy,
        )
        self.replica.links |= {f"n{number}" for number in range(2, self.nodes + 1)}
        self.jobs: list[PersistJob] = []
        self.frozen: FrozenChanges | None = None
        self.answers: dict[int, Answer | RaftdbError] = {}
        self.sent: list[Message] = []
        self.last_request = 0

    @property
    def core(self) -> Any:
        """What the core thinks."""
        return self.replica.raft.state

    def turn(self, **inputs: Any) -> Effects:
        """One turn, and those that follow from its writes to the log; returns the effects of the first."""
        effects = self.replica.turn(Inputs(now_ms=self.now_ms, **inputs))
        self._take(effects)
        if self.jobs and not self.log_is_held and self.jobs[0].install is None:
            self.write_log()
        elif effects.more:
            self.turn()
        return effects

    def _take(self, effects: Effects) -> None:
        self.jobs.extend(effects.persist)
        self.sent.extend(effects.messages)
        self.answers.update(effects.answers)
        if effects.flush is not None:
            assert self.frozen is None, "one at a time"
            self.frozen = effects.flush
        if effects.trim is not None:
            while self.log.trim(*effects.trim):
                pass

    def write_log(self) -> None:
        """The log is written, up to an installation."""
        sequence = 0
        while self.jobs and self.jobs[0].install is None:
            job = self.jobs.pop(0)
            self.log.write([job.batch])
            sequence = job.sequence
        self.turn(persisted_sequence=sequence)

    @property
    def flushing(self) -> int | None:
        """Index of the checkpoint that is to be written, if one is."""
        return self.frozen.index if self.frozen is not None else None

    def flush(self) -> FrozenChanges:
        """The checkpoint is written; returns it, to be handed back."""
        frozen, self.frozen = self.frozen, None
        assert frozen is not None
        self.state.flush(frozen)
        return frozen

    def flush_and_tell(self) -> Effects:
        """The same, and the replica is told."""
        return self.turn(flushed=self.flush())

    def receive(self, *messages: Message) -> Effects:
        """Messages arrive."""
        return self.turn(messages=list(map(Received, messages)))

    def write(self, *values: bytes) -> list[int]:
        """Clients store these values under b"k"; returns the numbers of the requests."""
        requests = [WriteRequest(self._number(), encode(Set(b"k", value))) for value in values]
        self.turn(writes=requests)
        return [request.request_id for request in requests]

    def ask(self, *operations: ClientOperation) -> list[int]:
        """Clients want these, in one turn; returns the numbers of the requests."""
        requests = [WriteRequest(self._number(), encode(operation)) for operation in operations]
        self.turn(writes=requests)
        return [request.request_id for request in requests]

    def do(self, operation: ClientOperation) -> Answer | RaftdbError:
        """One of them, and its answer, which must be there at once."""
        return self.answers[self.ask(operation)[0]]

    def read(
        self,
        query: Command | LogPage = Get(b"k"),  # noqa: B008
        *,
        stale: bool = True,
    ) -> Answer | RaftdbError | None:
        """A client reads; returns the answer, None if there is none yet."""
        request = ReadRequest(self._number(), query, stale)
        self.turn(reads=[request])
        return self.answers.get(request.request_id)

    def wait(self, *operations: Command | SessionOperation, wait_ms: int = 20_000) -> list[int]:
        """Clients want these, and wait until they are served; returns the numbers of the requests."""
        requests = [
            WaitRequest(self._number(), operation, payload_of(operation), wait_ms) for operation in operations
        ]
        self.turn(waits=requests)
        return [request.request_id for request in requests]

    def pass_time(self, milliseconds: float) -> None:
        """Time passes, and the replica has a turn."""
        self.now_ms += milliseconds
        self.turn()

    def ask_for_checkpoint(self, *, keeps_tail: bool = False, **more: Any) -> int:
        """Somebody wants what is applied here to be durable; returns the number of the request."""
        request = ReadRequest(self._number(), MakeCheckpoint(keeps_tail), stale=True)
        self.turn(reads=[request], **more)
        return request.request_id

    def _number(self) -> int:
        self.last_request += 1
        return self.last_request

    def lead(self) -> None:
        """All elect it; who they are holds nothing yet."""
        self.turn(ticks=SETTINGS.election_timeout_ticks)
        for number in range(2, self.nodes + 1):
            peer = f"n{number}"
            if self.core.role is Role.PRE_CANDIDATE:
                self.receive(RequestPreVoteReply(peer, "n1", self.core.term + 1, True))
            if self.core.role is Role.CANDIDATE:
                self.receive(RequestVoteReply(peer, "n1", self.core.term, True))
        assert self.core.role is Role.LEADER

    def acknowledge(self, peer: str, match_index: int) -> None:
        """A peer says that it holds everything up to there."""
        self.receive(AppendEntriesReply(peer, "n1", self.core.term, match_index, True, match_index))

    def follow(self, term: Term, entries: Sequence[Entry], commit_index: int) -> None:
        """Entries of n2, the leader of `term`, arrive behind what is here."""
        last = self.core.log.last
        self.receive(AppendEntries("n2", "n1", term, last.index, last.term, commit_index, blocks(entries)))

    def base(self) -> tuple[int, int]:
        """Where the log begins: in memory, and on disk."""
        return self.core.log.base.index, self.log.load().base_index


def code_of(answer: Answer | RaftdbError | None) -> str:
    """The code of a refusal."""
    assert isinstance(answer, RaftdbError)
    return answer.code


def value_of(answer: Answer | RaftdbError | None) -> object:
    """The value of an answer."""
    assert isinstance(answer, Answer)
    return answer.value
