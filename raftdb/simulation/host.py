"""One simulated machine: the production replica as a process that can be crashed, paused, restarted and wiped.

It does what `raftdb.node.driver` does around a replica: gathers what arrives, runs a turn, hands writes to the disk and
frames to the network, answers clients. An error that nothing injected explains is a bug, and ends the run.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from raftdb.core import invariants
from raftdb.core.events import Event, ReadRequested
from raftdb.core.membership import Configuration
from raftdb.core.messages import Message
from raftdb.core.model import NodeId, Role
from raftdb.core.state import Settings
from raftdb.core.update import Trace, Update
from raftdb.errors import RaftdbError, RemoteProtocolError
from raftdb.machine.machine import Machine
from raftdb.node.pending import ReadRequest, WriteRequest
from raftdb.node.persist import bootstrap, recover
from raftdb.node.replica import Answer, Inputs, Replica
from raftdb.simulation.disk import SimulatedDisk, Submitted
from raftdb.simulation.network import Envelope, Network
from raftdb.simulation.options import Options
from raftdb.simulation.oracle import Changes, Oracle
from raftdb.simulation.scheduler import MILLISECOND, Chance, Scheduler
from raftdb.wire.peer import decode_frame, encode_frame
from storage.contract import FrozenChanges
from storage.errors import FolderDamaged, WriteFailed
from storage.memory import MemoryStateStore

DOWN_US = 200 * MILLISECOND
"""Mean time until a crashed process is started again."""

OnAnswer = Callable[["Answer | RaftdbError | None"], None]
"""Told the answer of a request; None: the connection broke before there was one."""


class World(Protocol):
    """What a host needs of the simulation around it."""

    scheduler: Scheduler
    chance: Chance
    options: Options
    network: Network
    oracle: Oracle
    steps: int
    uuids: dict[NodeId, str]

    def tell(self, node: NodeId, text: str) -> None:
        """A line of the trace."""

    def tell_traces(self, node: NodeId, traces: Sequence[Trace]) -> None:
        """What a replica has to say."""

    def digest(self, data: bytes) -> None:
        """Fold into the fingerprint of the run."""


class ObservedState(MemoryStateStore):
    """The state store, with the oracle looking on."""

    on_write: Callable[[int, int, Changes], None]

    def write(self, changes: Changes, *, index: int, term: int) -> None:
        """See `StateStore.write`."""
        super().write(changes, index=index, term=term)
        self.on_write(index, term, changes)


class Host:
    """See the module. `out` says why the node will never take part again; `is_up` is false between crash and start."""

    def __init__(self, world: World, node: NodeId, configuration: Configuration) -> None:
        self.id = node
        self._world = world
        self._configuration = configuration
        options = world.options
        self._settings = Settings(
            election_timeout_ticks=options.election_timeout_ticks,
            heartbeat_ticks=options.heartbeat_ticks,
            batch_bytes_max=options.batch_bytes_max,
            in_flight_bytes_max=options.in_flight_bytes_max,
            cache_bytes_max=options.cache_bytes_max,
        )
        drift = 1 + options.clock_drift * (2 * world.chance.fraction() - 1)
        self._tick_us = int(options.tick_us * drift)
        self.is_up = self.is_paused = False
        self.out: str | None = None
        self.epoch = 0
        self.pins: dict[NodeId, str] = {}
        """The folder of each peer ever met: a node that comes with another one is refused (hazard B36)."""
        self._wipes = 0
        self._new_folder()

    def _new_folder(self) -> None:
        """An empty data folder, bootstrapped as a first member's."""
        self.disk = SimulatedDisk(
            self._world.scheduler,
            self._world.chance,
            self._world.options,
            on_synced=self._synced,
            on_failed=self._disk_failed,
        )
        bootstrap(self.disk.open(), self._configuration)
        self.disk.log_disk.sync()
        self.pins = {}
        self._world.uuids[self.id] = f"{self.id}-folder-{self._wipes}"

    def start(self) -> None:
        """Start the process from what the disk holds; a damaged disk keeps it out for good."""
        world = self._world
        was_damaged = self.disk.is_damaged
        try:
            log = self.disk.open()
            self.state = ObservedState(self.disk.state_disk)
            raft = recover(
                self.id,
                log,
                settings=self._settings,
                randrange=world.chance.between,
                checkpoint_index=self.state.checkpoint[0],
            )
        except FolderDamaged as error:
            if not was_damaged:
                raise
            self.out = f"damaged folder: {error.what}"
            world.tell(self.id, f"stays out: {error.message}")
            return
        self.state.on_write = self._applied
        world.oracle.started(self.id, raft)
        if self._state_content() != world.oracle.state_at(self.state.checkpoint[0]):
            raise invariants.InvariantBroken(
                f"{self.id}: the checkpoint {self.state.checkpoint} holds another state"
            )
        self.replica = Replica(
            raft,
            log_reader=log,
            state=self.state,
            machine=Machine(),
            patience_ticks=world.options.patience_ticks,
        )
        self._observe(self.replica)
        self.is_up, self.is_paused = True, False
        self.epoch += 1
        self._inputs = Inputs()
        self._turn_is_due = False
        self._requests: dict[int, OnAnswer] = {}
        self._last_request = 0
        self._links: dict[NodeId, str] = {}
        self._frozen: FrozenChanges | None = None
        world.scheduler.after(world.chance.below(self._tick_us), self._tick, self.epoch)
        world.tell(self.id, f"starts in term {raft.state.term} with log up to {raft.state.log.last_index}")

    def crash(self, why: str) -> None:
        """The process ends without warning; so does everything that was not synced."""
        if not self.is_up:
            return
        self.is_up = self.is_paused = False
        self.epoch += 1
        kept = self.disk.crash()
        self._world.oracle.synced(self.id, [write.batch for write in kept])
        self._world.tell(self.id, f"crashes: {why}")
        requests, self._requests = self._requests, {}
        for on_answer in requests.values():
            on_answer(None)
        self._world.scheduler.after(self._world.chance.around(DOWN_US), self._start_again, self.epoch)

    def _start_again(self, epoch: int) -> None:
        if epoch == self.epoch and self.out is None:
            self.start()

    def connect(self, peer: NodeId, uuid: str) -> None:
        """The handshake with a peer has been done: messages can reach it."""
        self._links[peer] = uuid
        self.replica.links.add(peer)

    def disconnect(self, peer: NodeId) -> None:
        """The link to a peer is gone."""
        if self._links.pop(peer, None) is not None:
            self.replica.links.discard(peer)

    def is_connected(self, peer: NodeId) -> bool:
        """True while there is a link to the peer, as far as this node knows."""
        return peer in self._links

    def wipe(self) -> None:
        """The data folder is emptied while the process is down, and set up anew as if nothing had been there."""
        self._wipes += 1
        self._new_folder()
        self._world.oracle.wiped(self.id)
        self.out = "wiped folder"
        self._world.tell(self.id, "has lost its folder and got a new one")

    def pause(self) -> None:
        """Stop the process as SIGSTOP does: inputs queue up, time passes it by."""
        if self.is_up and not self.is_paused:
            self.is_paused = True
            self._world.tell(self.id, "is paused")

    def resume(self) -> None:
        """Let it go on: a tick and the clients' requests are there at once, and of what waits in the peers' sockets
        as much as is read in the first turn; the rest comes in the next (hazard B50)."""
        if self.is_paused:
            self.is_paused = False
            self._world.tell(self.id, f"goes on, {len(self._inputs.messages)} messages waited")
            self._inputs.ticks = 1
            first = self._world.chance.below(2 * len(self._inputs.messages) + 1)
            unread = self._inputs.messages[first:]
            del self._inputs.messages[first:]
            self._due(force=True)
            if unread:
                delay_us = self._world.options.turn_us + self._world.chance.around(
                    self._world.options.delay_us
                )
                self._world.scheduler.after(delay_us, self._read_on, self.epoch, unread)

    def _read_on(self, epoch: int, messages: list[Message]) -> None:
        """What was left in the sockets is read."""
        if epoch == self.epoch:
            self._inputs.messages[:0] = messages
            self._due()

    def receive(self, envelope: Envelope) -> None:
        """A frame has arrived. It is believed only if its checksum holds and both folders are those it was sent for."""
        uuids = self._world.uuids
        if not self.is_up or envelope.source_uuid != uuids[envelope.source]:
            return
        if envelope.target_uuid != uuids[envelope.target]:
            return
        try:
            _, messages = decode_frame(envelope.frame)
        except RemoteProtocolError as error:
            self._world.tell(self.id, f"refuses a frame of {envelope.source}: {error.message}")
            return
        self._world.digest(envelope.frame)
        self._inputs.messages.extend(messages)
        self._due()

    def submit_write(self, payload: bytes, on_answer: OnAnswer) -> None:
        """A client's write arrives."""
        self._last_request += 1
        self._requests[self._last_request] = on_answer
        self._inputs.writes.append(WriteRequest(self._last_request, payload))
        self._due()

    def submit_read(self, request: Callable[[int], ReadRequest], on_answer: OnAnswer) -> None:
        """A client's read arrives; `request` makes it from its number."""
        self._last_request += 1
        self._requests[self._last_request] = on_answer
        self._inputs.reads.append(request(self._last_request))
        self._due()

    def checkpoint(self) -> None:
        """Begin a checkpoint of the state. Only what is in the synced log too may become durable: else a crash would
        leave a state that is ahead of its log."""
        if not self.is_up or self.is_paused or self._frozen is not None:
            return
        if self.replica.applied_index > self.replica.raft.state.log.persisted_index:
            return
        self._frozen = self.state.freeze()
        if self._frozen is not None:
            delay_us = self._world.chance.around(2 * self._world.options.sync_us)
            self._world.scheduler.after(delay_us, self._end_checkpoint, self.epoch)

    def _end_checkpoint(self, epoch: int) -> None:
        if epoch == self.epoch and self._frozen is not None:
            self.state.flush(self._frozen)
            self.state.thaw(self._frozen)
            self._frozen = None

    def _observe(self, replica: Replica) -> None:
        """Let the oracle see every step of the core, not only whole turns."""
        raft, oracle, node = replica.raft, self._world.oracle, self.id
        plain_step, snapshot = raft.step, invariants.snapshot

        def step(event: Event) -> Update:
            state = raft.state
            before, persisted_index = snapshot(state), state.log.persisted_index
            if isinstance(event, ReadRequested):
                oracle.asked(node, event.request_ids)
            update = plain_step(event)
            oracle.stepped(node, before, persisted_index, state, update)
            return update

        raft.step = step  # type: ignore[method-assign]

    def _applied(self, index: int, term: int, changes: Changes) -> None:
        self._world.oracle.applied(self.id, index, term, changes)

    def _state_content(self) -> dict[bytes, bytes]:
        return dict(self.state.scan(b"", None, limit=1 << 60))

    @property
    def is_leader(self) -> bool:
        """True while this node believes that it leads."""
        return self.is_up and self.replica.raft.state.role is Role.LEADER

    @property
    def term(self) -> int:
        """The term it is in, or was in when it went down."""
        return self.replica.raft.state.term

    def check_state(self) -> None:
        """The whole state is what the committed entries make of it."""
        if self._state_content() != self._world.oracle.state_at(self.replica.applied_index):
            raise invariants.InvariantBroken(f"{self.id} holds another state than its log makes")

    def _tick(self, epoch: int) -> None:
        if epoch != self.epoch:
            return
        if not self.is_paused:
            self._inputs.ticks = 1
            self._due()
        self._world.scheduler.after(self._tick_us, self._tick, epoch)

    def _due(self, *, force: bool = False) -> None:
        """Run a turn soon, unless one is due already or the process stands still."""
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
        inputs, self._inputs = self._inputs, Inputs()
        try:
            effects = self.replica.turn(inputs)
        except FolderDamaged as error:
            if not self.disk.is_damaged:
                raise
            self.crash(f"{error.message}")
            return
        for sequence, batch in effects.persist:
            self.disk.submit(sequence, batch)
        if effects.traces:
            world.tell_traces(self.id, effects.traces)
        if effects.messages:
            world.oracle.said(self.id, effects.messages)
            self._send(effects.messages)
        for request_id, answer in effects.answers:
            self._requests.pop(request_id)(answer)
        if effects.more:
            self._due()

    def _send(self, messages: Sequence[Message]) -> None:
        """A frame for each peer that there is a link to; the others get nothing."""
        by_target: dict[NodeId, list[Message]] = {}
        for message in messages:
            by_target.setdefault(message.target, []).append(message)
        uuid = self._world.uuids[self.id]
        for target, batch in by_target.items():
            if target in self._links:
                frame = encode_frame(0, batch)
                self._world.network.send(Envelope(self.id, target, uuid, self._links[target], frame))

    def _synced(self, writes: Sequence[Submitted]) -> None:
        """The disk reports a sync. A paused process learns of it when it goes on."""
        self._world.oracle.synced(self.id, [write.batch for write in writes])
        self._inputs.persisted_sequence = writes[-1].sequence
        self._due()

    def _disk_failed(self, error: WriteFailed) -> None:
        """As in production: the first failed write ends the process."""
        self.crash(error.message)
