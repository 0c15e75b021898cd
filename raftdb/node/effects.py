"""The order in which the effects of a turn are carried out, and what is gathered for the next one. No I/O.

A real node and a simulated one differ in what a disk, a link and a clock are. The order of effects is the same for
both, and stands here once, so that the simulator tests the code that ships: `Driver` and the simulator's host both run
their turns through an `EffectRunner`, each with its own `EffectHandler`.

Three things hold:

* Writes of the log go to the disk in the order of their numbers. While a snapshot takes the place of the state, all
  later writes wait until the log has begun anew after it.
* A request is answered once.
* What comes of a turn on the disk or in the network is an input of a later turn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from raftdb.core.events import SnapshotFetched, SnapshotMade
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, NodeId
from raftdb.core.update import Trace
from raftdb.endpoint import Endpoint
from raftdb.errors import OutcomeUnknown, RaftdbError
from raftdb.node.turn import Answer, Effects, Inputs, PersistJob, State
from storage import FrozenChanges

OnAnswer = Callable[[Answer | RaftdbError | None], None]
"""Gets the answer of a request, once. None: the node has stopped before it knew the outcome."""


def stopped() -> OutcomeUnknown:
    """The error for a request whose node stopped before it knew the outcome."""
    return OutcomeUnknown("the node stopped before the outcome was known")


class EffectHandler(Protocol):
    """Carries out effects, or has them carried out. No call blocks, and outcomes are reported to the runner later."""

    def write_log(self, job: PersistJob) -> None:
        """Have it written, after all that was given before; then call `EffectRunner.persisted`."""

    def install(self, job: PersistJob, end: EntryId) -> None:
        """Make the snapshot that ends there the state, and begin the log anew; then call `EffectRunner.installed`."""

    def update_peers(self, addresses: Mapping[NodeId, Endpoint]) -> None:
        """Keep links to these nodes, each where it is reached, and to no others."""

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        """Send all messages of a turn to one node, in order and in one piece, or drop what cannot be sent."""

    def tell(self, traces: Sequence[Trace]) -> None:
        """Report what happened, for people."""

    def flush(self, frozen: FrozenChanges) -> None:
        """Make a checkpoint durable; then call `EffectRunner.flushed`."""

    def trim(self, base: EntryId) -> None:
        """Let the log on disk begin after `base`."""

    def make_snapshot(self, target: NodeId) -> None:
        """Have a snapshot for `target` to fetch; then call `EffectRunner.snapshot_is_there`."""

    def fetch_snapshot(self, offer: InstallSnapshot) -> None:
        """Fetch the snapshot that was offered; if that succeeds, call `EffectRunner.snapshot_is_there`."""


class EffectRunner:
    """Carries out effects in order (see the module). `inputs` are those of the next turn; `on_work` asks for that
    turn."""

    def __init__(self, on_work: Callable[[], None]) -> None:
        self.inputs = Inputs()
        self._on_work = on_work
        self._waiting: dict[int, OnAnswer] = {}
        self._last_request_id = 0
        self._held_jobs: list[PersistJob] | None = None

    @property
    def pending_count(self) -> int:
        """Requests that wait for their answer."""
        return len(self._waiting)

    @property
    def is_installing(self) -> bool:
        """True while a snapshot is taking the place of the state."""
        return self._held_jobs is not None

    def admit(self, on_answer: OnAnswer) -> int:
        """The number of a request that the caller puts among the inputs."""
        self._last_request_id += 1
        self._waiting[self._last_request_id] = on_answer
        self._on_work()
        return self._last_request_id

    def forget(self, request_id: int) -> bool:
        """Nobody waits for the answer to a request any more, which none is given to. Returns whether somebody did."""
        return self._waiting.pop(request_id, None) is not None

    def answer(self, request_id: int, answer: Answer | RaftdbError) -> None:
        """Give a request its answer, which may be a refusal after it was admitted."""
        self._waiting.pop(request_id)(answer)

    def take_inputs(self) -> Inputs:
        """All that has arrived since the last turn."""
        inputs, self.inputs = self.inputs, Inputs()
        return inputs

    def carry_out(self, effects: Effects, handler: EffectHandler) -> None:
        """Have all effects of a turn carried out."""
        for job in effects.persist:
            self._write_log(job, handler)
        if effects.peers is not None:
            handler.update_peers(effects.peers)
        if effects.messages:
            self._send(effects.messages, handler)
        for request_id, answer in effects.answers:
            self.answer(request_id, answer)
        if effects.traces:
            handler.tell(effects.traces)
        if effects.flush is not None:
            handler.flush(effects.flush)
        if effects.trim is not None:
            handler.trim(effects.trim)
        for follower in effects.snapshots_wanted:
            handler.make_snapshot(follower)
        if effects.snapshot_offered is not None:
            handler.fetch_snapshot(effects.snapshot_offered)
        if effects.more:
            self._on_work()

    def persisted(self, sequence: int) -> None:
        """All writes of the log up to this number are on the disk."""
        self.inputs.persisted_sequence = sequence
        self._on_work()

    def installed(self, sequence: int, state: State, handler: EffectHandler) -> None:
        """The snapshot is the state now, and the log has begun anew with the write of this number."""
        self.inputs.installed_state = state
        held, self._held_jobs = self._held_jobs or [], None
        for job in held:
            self._write_log(job, handler)
        self.persisted(sequence)

    def flushed(self, frozen: FrozenChanges) -> None:
        """A checkpoint is durable."""
        self.inputs.flushed = frozen
        self._on_work()

    def snapshot_is_there(self, event: SnapshotMade | SnapshotFetched) -> None:
        """A snapshot was made, or fetched."""
        self.inputs.snapshots.append(event)
        self._on_work()

    def abandon(self) -> None:
        """The node has stopped: answer the requests that wait."""
        waiting, self._waiting = list(self._waiting.values()), {}
        for on_answer in waiting:
            on_answer(None)

    def _send(self, messages: Sequence[Message], handler: EffectHandler) -> None:
        by_target: dict[NodeId, list[Message]] = {}
        for message in messages:
            by_target.setdefault(message.target, []).append(message)
        for target, batch in by_target.items():
            handler.send(target, batch)

    def _write_log(self, job: PersistJob, handler: EffectHandler) -> None:
        if self._held_jobs is not None:
            self._held_jobs.append(job)
        elif job.install is None:
            handler.write_log(job)
        else:
            self._held_jobs = []
            handler.install(job, job.install)
