"""Simulated clients that follow changes, and the streams by which nodes tell them.

Who watches only looks, so a run goes on as it would without: streams have a source of chance of their own, and put
nothing into the inputs of a node. A stream is in order and may end at any moment, with what is under way in it; so it
does if its node crashes, and a client goes to another node for no reason, too. What the client has got by then, and
where it goes on, is what its last whole message said.

A client that was told that it has missed something asks for the present state, which its node reads in pages between
the turns of its replica. What every client was told is looked at in the end (`watch_witness`).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from raftdb.core.model import Index, NodeId
from raftdb.errors import Compacted, InvariantBroken
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.reply import KeyRecord, Page, Result
from raftdb.machine.scanning import ReadStored
from raftdb.node.history import key_of_change, value_of
from raftdb.node.past import record_of
from raftdb.node.watches import Part, Watcher, Watches, missed
from raftdb.simulation.caller import World
from raftdb.simulation.host import Host
from raftdb.simulation.scheduler import MILLISECOND, Chance

STEP_US = 10 * MILLISECOND
"""Mean time between two things that a stream or its client does."""
LEAVES_SHARE = 0.03
"""How often a client leaves its node, of the times it does something."""
PREFIXES = (b"", b"", b"lease", b"text", b"list", b"number")
"""What clients watch."""
ENTRIES_TOGETHER = 3
KEYS_TOGETHER = 2
DRAIN_STEPS_MAX = 100_000
"""Steps in which a client has got everything from a node that is at rest."""


class Place(NamedTuple):
    """All up to this revision was told."""

    revision: Index


class Present(NamedTuple):
    """Keys of the present state."""

    records: list[KeyRecord]


class PresentEnd(NamedTuple):
    """The keys that were told, with the changes in between, are the state at this revision."""

    revision: Index


class Missed(NamedTuple):
    """The node no longer has what comes next."""


Message = Part | Place | Present | PresentEnd | Missed


@dataclass(slots=True)
class Segment:
    """What a client was told without a gap: the changes after `begin` and up to `end`. `present` is the state at
    `begin`, if it was told that."""

    begin: Index
    end: Index
    present: dict[bytes, KeyRecord] | None = None
    parts: list[Part] = field(default_factory=list)


class Station:
    """What one life of a node has for its watchers."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._epoch = host.epoch
        self.watches = Watches(host.replica.history)
        self.streams: dict[Watcher, Stream] = {}

    @property
    def is_there(self) -> bool:
        """False once that life is over."""
        return self.host.is_up and self.host.epoch == self._epoch

    def tell(self, limit: int) -> None:
        """Tell live watchers what is new, as a frontend does."""
        try:
            for part, watchers in self.watches.advance(limit=limit):
                for watcher in watchers:
                    self.streams[watcher].messages.append(part)
                    watcher.position = part.entry.revision
            self.watches.told()
        except Compacted:
            for watcher in self.watches.live():
                self.watches.leave(watcher)
                self.streams[watcher].messages.append(Missed())


class Stream:
    """One stream. `messages` are under way."""

    def __init__(self, station: Station, prefix: bytes, position: Index | None) -> None:
        history = station.host.replica.history
        self.messages: deque[Message] = deque()
        self._station = station
        self._watcher = Watcher(prefix, history.applied if position is None else position)
        self._is_whole = position is not None
        self._last_key: bytes | None = None
        self._has_ended = False
        station.streams[self._watcher] = self

    @property
    def station(self) -> Station:
        """The node that it comes from."""
        return self._station

    @property
    def is_told_all(self) -> bool:
        """True if nothing is left to be told now."""
        watches = self._station.watches
        return watches.is_live(self._watcher) and not watches.is_behind and not self.messages

    def close(self) -> None:
        """The client or the node has gone."""
        self._station.watches.leave(self._watcher)
        self._station.streams.pop(self._watcher, None)

    def step(self, chance: Chance) -> None:
        """The node does something for this client, or for all that are live."""
        watches = self._station.watches
        try:
            if self._has_ended:
                return
            if not self._is_whole:
                self._send_present()
            elif watches.is_live(self._watcher):
                if chance.happens(0.7):
                    self._station.tell(1 + chance.below(ENTRIES_TOGETHER))
                else:
                    self.messages.append(Place(watches.position_of(self._watcher)))
            else:
                limit = 1 + chance.below(ENTRIES_TOGETHER)
                self.messages.extend(watches.catch_up(self._watcher, limit=limit))
                if chance.happens(0.5):
                    watches.join(self._watcher)
        except Compacted:
            watches.leave(self._watcher)
            self._has_ended = True
            self.messages.append(Missed())

    def _send_present(self) -> None:
        """Read a page of keys, and tell first what happened to those that were told before."""
        host, watcher = self._station.host, self._watcher
        if host.runner.is_installing:
            return
        query = ReadStored(watcher.prefix, self._last_key or b"", KEYS_TOGETHER)
        reply = Machine().read(query, Layer(host.state))
        if not isinstance(reply, Result):
            raise InvariantBroken(f"a page of keys cannot be read: {reply}")
        until, is_all = host.replica.applied_index, False
        while not is_all:
            parts, is_all = missed(
                host.replica.history, watcher, until, self._last_key, limit=ENTRIES_TOGETHER
            )
            self.messages.extend(parts)
        page = cast(Page, reply.value)
        self.messages.append(Present(page.records))
        self._last_key = page.next_after
        if self._last_key is None:
            self._is_whole = True
            self.messages.append(PresentEnd(watcher.position))


class Observer:
    """One client that follows changes, until it is told to stop. `segments` are what it was told."""

    def __init__(self, world: World, stations: dict[NodeId, Station], chance: Chance, name: str) -> None:
        self.name = name
        self.prefix: bytes = chance.choose(PREFIXES)
        self.is_stopping = False
        self.is_idle = True
        """It waits for nothing."""
        self.segments: list[Segment] = []
        self._world = world
        self._stations = stations
        self._chance = chance
        self._stream: Stream | None = None
        self._wants_present = chance.happens(0.5)
        self._copy: dict[bytes, KeyRecord] = {}

    def begin(self) -> None:
        """Do something now and then."""
        if self.is_stopping:
            return
        self._step()
        self._world.scheduler.after(self._chance.around(STEP_US), self.begin)

    def drain(self) -> None:
        """Get everything from a node that takes part and is at rest. Raises `InvariantBroken` if that has no end."""
        for _ in range(DRAIN_STEPS_MAX):
            stream = self._stream
            if (
                stream is not None
                and stream.station.is_there
                and stream.is_told_all
                and not self._wants_present
            ):
                self.segments[-1].end = max(
                    self.segments[-1].end, stream.station.host.replica.history.applied
                )
                return
            self._step(leaves=False)
        raise InvariantBroken(f"{self.name} is never told all")

    def _step(self, *, leaves: bool = True) -> None:
        chance, stream = self._chance, self._stream
        if stream is None:
            self._connect()
            return
        is_over = not stream.station.is_there or (leaves and chance.happens(LEAVES_SHARE))
        if not is_over and not stream.station.host.is_paused:
            stream.step(chance)
        for _ in range(chance.below(len(stream.messages) + 1) if leaves else len(stream.messages)):
            if self._stream is stream:
                self._take(stream.messages.popleft())
        if is_over and self._stream is stream:
            self._leave()

    def _connect(self) -> None:
        host = self._chance.choose(tuple(self._world.hosts.values()))
        if not host.is_up or host.is_paused or host.out is not None:
            return
        station = self._stations.get(host.id)
        if station is None or not station.is_there:
            station = self._stations[host.id] = Station(host)
        position: Index | None = None
        self._copy = {}
        if not self._wants_present:
            if not self.segments:
                applied = host.replica.history.applied
                self.segments.append(Segment(applied, applied))
            position = self.segments[-1].end
        self._stream = Stream(station, self.prefix, position)

    def _leave(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _take(self, message: Message) -> None:
        match message:
            case Part(entry) if self._wants_present:
                for _, change in message.changes:
                    value = value_of(change[3])
                    key = key_of_change(change)
                    self._copy.pop(key, None)
                    if value is not None:
                        self._copy[key] = record_of(key, value)
            case Part(entry):
                self.segments[-1].parts.append(message)
                self.segments[-1].end = entry.revision
            case Place(revision):
                self.segments[-1].end = max(self.segments[-1].end, revision)
            case Present(records):
                self._copy.update((record.key, record._replace(ttl_ms=None)) for record in records)
            case PresentEnd(revision):
                self._wants_present = False
                self.segments.append(Segment(revision, revision, self._copy))
            case Missed():
                self._wants_present = True
                self._leave()


def observers_of(world: World, count: int) -> list[Observer]:
    """So many clients, which share what nodes do for them."""
    chance, stations = world.chance.branch("watches"), dict[NodeId, Station]()
    return [Observer(world, stations, chance.branch(f"o{number}"), f"o{number}") for number in range(count)]
