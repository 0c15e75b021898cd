"""One simulated machine: the production replica as a process that can crash, pause, restart and lose its folder.

Around the replica it does what `raftdb.node.driver` does, with the same `EffectRunner`: it runs turns for its inputs,
by the clock and the scheduler of the simulation. An error that no injected fault explains is a bug, and ends the run.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from raftdb.core.events import (
    Change,
    Received,
)
from raftdb.core.membership import Configuration
from raftdb.core.model import NodeId, Role
from raftdb.core.update import Trace
from raftdb.errors import InvariantBroken, RaftdbError, RemoteProtocolError
from raftdb.machine.machine import Machine
from raftdb.machine.operations import SessionOperation
from raftdb.machine.service import Command
from raftdb.node.compaction import CompactionPolicy, phase_among
from raftdb.node.effects import EffectRunner, OnAnswer
from raftdb.node.held import payload_of
from raftdb.node.history import History
from raftdb.node.membership import ChangeRequest, TransferRequest
from raftdb.node.pending import MakeCheckpoint, ReadRequest, WriteRequest
from raftdb.node.replica import Replica
from raftdb.node.stored import begin_empty, bootstrap, load_raft
from raftdb.node.turn import Answer, WaitRequest
from raftdb.simulation.clock import HostClock
from raftdb.simulation.copies import Copies
from raftdb.simulation.courier import Courier
from raftdb.simulation.disk import Reset, SimulatedDisk, Submitted, Write
from raftdb.simulation.effect_handler import SimulatedEffectHandler
from raftdb.simulation.network import Envelope, Network
from raftdb.simulation.observing import observe
from raftdb.simulation.options import Options
from raftdb.simulation.oracle import Oracle
from raftdb.simulation.peers import Peers
from raftdb.simulation.scheduler import MILLISECOND, Chance, Scheduler
from raftdb.simulation.state_thread import ObservedState, StateThread
from storage import FolderDamaged, WriteFailed

DOWN_US = 200 * MILLISECOND
"""Mean time until a crashed process starts again."""


class World(Protocol):
    """The parts of the simulation that a host uses."""

    scheduler: Scheduler
    chance: Chance
    options: Options
    network: Network
    oracle: Oracle
    steps: int
    uuids: dict[NodeId, str]

    def tell(self, node: NodeId, text: str) -> None:
        """Add a line to the trace."""

    def tell_traces(self, node: NodeId, traces: Sequence[Trace]) -> None:
        """Add the traces of a replica to the trace of the run."""

    def digest(self, data: bytes) -> None:
        """Add `data` to the fingerprint of the run."""

    def fetch(self, node: NodeId, source: NodeId, digest: bytes) -> bytes | None:
        """The bytes that `node` gets if it asks `source` for the snapshot with this digest; None if it does not get all
        of it."""


class Host:
    """One machine. `out` says why the node will never take part again; `is_up` is False between a crash and the next
    start."""

    def __init__(self, world: World, node: NodeId, configuration: Configuration | None) -> None:
        """`configuration` is the one that a first member begins with; None for a node that joins."""
        self.id = node
        self._world = world
        self._configuration = configuration
        options = world.options
        self.clock = HostClock(world.scheduler, world.chance, options, position=len(world.uuids))
        self._policy = CompactionPolicy(
            checkpoint_entries=options.checkpoint_entries,
            tail_bytes=options.tail_bytes,
            retained_bytes_max=options.retained_bytes_max,
            changes_bytes_max=options.changes_bytes_max,
            phase=phase_among(node, configuration.ids if configuration is not None else ()),
        )
        self.courier = Courier(world, self)
        self.states = StateThread(world, self)
        self.state: ObservedState
        """The state that the replica uses, not yet one that is being installed."""
        self.is_up = self.is_paused = False
        self.pauses_once_it_has_spoken = False
        self.out: str | None = None
        self.epoch = 0
        self.ticks = 0
        """The ticks that its replica has got."""
        self.copies = Copies(world, self)
        self.runner = EffectRunner(self._due)
        self._handler = SimulatedEffectHandler(world, self)
        self._nonces = world.chance.branch(f"starts of {node}")
        self._wipes = 0
        self._new_folder()

    def _new_folder(self) -> None:
        """Make a data folder, with the configuration of a first member, or empty for a node that joins."""
        self.disk = SimulatedDisk(
            self._world.scheduler,
            self._world.chance,
            self._world.options,
            on_synced=self._synced,
            on_failed=self._disk_failed,
        )
        if self._configuration is None:
            begin_empty(self.disk.open())
        else:
            bootstrap(self.disk.open(), self._configuration)
        self.peers = Peers(self.id)
        self._world.uuids[self.id] = f"{self.id}-folder-{self._wipes}"

    def start(self) -> None:
        """Start the process on its disk. A damaged disk keeps the node out for good."""
        world = self._world
        was_damaged = self.disk.is_damaged
        try:
            log = self.disk.open()
            self.state = self.states.open()
            settings = world.options.core_settings()
            raft = load_raft(self.id, log, self.state, settings=settings, randrange=world.chance.between)
        except FolderDamaged as error:
            if not was_damaged:
                raise
            self.out = f"damaged folder: {error.what}"
            world.tell(self.id, f"stays out: {error.message}")
            return
        self.disk.begin()
        world.oracle.started(self.id, raft)
        self.states.check()
        self.replica = Replica(
            raft,
            log_reader=log,
            state=self.state,
            machine=Machine(),
            patience_ticks=world.options.patience_ticks,
            policy=self._policy,
            history=History(bytes_max=world.options.history_bytes_max),
        )
        observe(self.replica, world.oracle, self.id)
        self.is_up, self.is_paused, self.pauses_once_it_has_spoken = True, False, False
        self.epoch += 1
        self.runner = EffectRunner(self._due)
        self._turn_is_due = False
        self.peers.started(self.replica, world.uuids[self.id], self._nonces.bytes)
        self.copies.started()
        self.courier.started()
        world.scheduler.after(world.chance.below(self.clock.tick_us), self._tick, self.epoch)
        world.tell(self.id, f"starts in term {raft.state.term} with log up to {raft.state.log.last_index}")

    def crash(self, why: str, *, restarts: bool = True) -> None:
        """End the process without warning. Unsynced writes may be lost. It is started again a little later, or, if it
        never `restarts` by itself, by `start`."""
        if not self.is_up:
            return
        self.is_up = self.is_paused = False
        self.epoch += 1
        kept = self.disk.crash()
        self._world.oracle.synced(self.id, kept)
        self._world.tell(self.id, f"crashes: {why}")
        self.runner.abandon()
        if restarts:
            self._world.scheduler.after(self._world.chance.around(DOWN_US), self._start_again, self.epoch)

    def _start_again(self, epoch: int) -> None:
        if epoch == self.epoch and self.out is None:
            self.start()

    def retire(self) -> None:
        """Stop the node for good, because it was removed."""
        self.crash("it was removed, and is stopped")
        self.out = "removed"

    def wipe(self) -> None:
        """Replace the data folder by a new one, while the process is down."""
        self._wipes += 1
        self._new_folder()
        self._world.oracle.wiped(self.id, joins=self._configuration is None)
        self.out = "wiped folder"
        self._world.tell(self.id, "has lost its folder and got a new one")

    def pause(self) -> None:
        """Stop the process as SIGSTOP does: inputs queue up, and it gets no ticks."""
        if self.is_up and not self.is_paused:
            self.is_paused = True
            self._world.tell(self.id, "is paused")

    def resume(self, *, reads_at_once: bool = True) -> None:
        """Let the process go on. The first turn gets a tick, the clients' requests, and some of the messages that wait
        in the peers' sockets, perhaps none; the others come in a later turn (hazard B50)."""
        self.pauses_once_it_has_spoken = False
        if self.is_paused:
            self.is_paused = False
            self._world.tell(self.id, f"goes on, {len(self.runner.inputs.messages)} messages waited")
            self.runner.inputs.ticks = 1
            first = self._world.chance.below(2 * len(self.runner.inputs.messages) + 1) if reads_at_once else 0
            unread = self.runner.inputs.messages[first:]
            del self.runner.inputs.messages[first:]
            self._due(force=True)
            if unread:
                delay_us = self._world.options.turn_us + self._world.chance.around(
                    self._world.options.delay_us
                )
                self._world.scheduler.after(delay_us, self._read_on, self.epoch, unread)

    def _read_on(self, epoch: int, messages: list[Received]) -> None:
        """Read the messages that were left in the sockets."""
        if epoch == self.epoch:
            self.runner.inputs.messages[:0] = messages
            self._due()

    def receive(self, envelope: Envelope) -> None:
        """Take a frame that has arrived."""
        if not self.is_up or not envelope.is_for(self._world.uuids):
            return
        if not self.peers.was(envelope.target_start):
            return
        try:
            self.runner.inputs.messages.extend(envelope.open())
        except RemoteProtocolError as error:
            self._world.tell(self.id, f"refuses a frame of {envelope.source}: {error.message}")
            return
        self._world.digest(envelope.frame)
        self._due()

    def submit_write(self, payload: bytes, on_answer: OnAnswer) -> None:
        """Take a client's write."""
        self.runner.inputs.writes.append(WriteRequest(self.runner.admit(on_answer), payload))

    def submit_read(self, request: Callable[[int], ReadRequest], on_answer: OnAnswer) -> None:
        """Take a client's read; `request` makes it from its number."""
        self.runner.inputs.reads.append(request(self.runner.admit(on_answer)))

    def submit_wait(self, operation: Command | SessionOperation, on_answer: OnAnswer, *, wait_ms: int) -> int:
        """Take a client's request that may be held; returns its number."""
        request_id = self.runner.admit(on_answer)
        request = WaitRequest(request_id, operation, payload_of(operation), wait_ms)
        self.runner.inputs.waits.append(request)
        return request_id

    def leave(self, request_id: int) -> None:
        """The client of a request that may be held has gone."""
        if self.runner.forget(request_id):
            self.runner.inputs.left.append(request_id)
            self._due()

    def submit_change(self, change: Change, on_answer: OnAnswer) -> None:
        """Take an operator's change of the members."""
        self.runner.inputs.changes.append(ChangeRequest(self.runner.admit(on_answer), change, force=False))

    def submit_transfer(self, target: NodeId | None, on_answer: OnAnswer) -> None:
        """Take an operator's transfer of the leadership."""
        self.runner.inputs.transfers.append(TransferRequest(self.runner.admit(on_answer), target))

    def checkpoint(self) -> None:
        """Ask the replica for a checkpoint, a leader for one of all committed entries, others for one of all applied
        ones."""
        if not self.is_up or self.is_paused:
            return
        stale = not self.is_leader
        wanted = self.replica.applied_index if stale else self._world.oracle.commit_index

        def on_answer(answer: Answer | RaftdbError | None) -> None:
            if isinstance(answer, Answer):
                self._world.oracle.covers(self.id, answer.index, wanted, durable=self.state.checkpoint[0])

        self.submit_read(lambda request_id: ReadRequest(request_id, MakeCheckpoint(), stale), on_answer)

    @property
    def is_leader(self) -> bool:
        """True while this node believes that it leads."""
        return self.is_up and self.replica.raft.state.role is Role.LEADER

    @property
    def term(self) -> int:
        """The term of its core, or the last one while it is down."""
        return self.replica.raft.state.term

    def check_state(self) -> None:
        """Raise `InvariantBroken` unless the whole state is the result of the committed entries."""
        if self.states.content() != self._world.oracle.state_at(self.replica.applied_index):
            raise InvariantBroken(f"{self.id} holds another state than its log makes")

    def _tick(self, epoch: int) -> None:
        if epoch != self.epoch:
            return
        if not self.is_paused:
            self.runner.inputs.ticks = 1
            self._due()
        self._world.scheduler.after(self.clock.tick_us, self._tick, epoch)

    def _due(self, *, force: bool = False) -> None:
        """Run a turn soon, unless one is due already or the process is paused."""
        if (force or not self._turn_is_due) and not self.is_paused:
            self._turn_is_due = True
            self._world.scheduler.after(
                self._world.chance.below(self._world.options.turn_us), self._turn, self.epoch
            )

    def _turn(self, epoch: int) -> None:
        """One turn of the replica, and its effects."""
        if epoch != self.epoch or self.is_paused:
            self._turn_is_due = False
            return
        if not self._turn_is_due:
            return
        self._turn_is_due = False
        world = self._world
        world.steps += 1
        inputs = self.runner.take_inputs()
        self.ticks += inputs.ticks
        inputs.now_ms = self.clock.now_ms
        inputs.handshakes.extend(self.peers.shown)
        self.peers.shown.clear()
        try:
            effects = self.replica.turn(inputs)
        except FolderDamaged as error:
            if not self.disk.is_damaged:
                raise
            self.crash(f"{error.message}")
            return
        except Exception as error:
            # Whatever it is, it ends the process, as in production. Mostly that is a finding.
            if world.oracle.ends_runs:
                raise
            self.crash(f"it finds that something is wrong, and stops: {error}", restarts=False)
            return
        self.peers.tidy()
        self.runner.carry_out(effects, self._handler)

    def _synced(self, writes: Sequence[Write]) -> None:
        """Take the report of a sync. A paused process handles it when it goes on."""
        self._world.oracle.synced(self.id, writes)
        for write in writes:
            if isinstance(write, Submitted):
                self.runner.persisted(write.sequence)
            elif isinstance(write, Reset):
                self.states.check()
                self.state = self.states.present
                self.runner.installed(write.sequence, self.state, self._handler)
        self._due()

    def _disk_failed(self, error: WriteFailed | FolderDamaged) -> None:
        """End the process at the first failed write, as in production."""
        self.crash(error.message)
