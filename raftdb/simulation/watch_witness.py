"""What those who follow changes must have been told, by the state of the machine.

The committed log is applied to a state of its own, an entry at a time, and what each entry changes is read off the
state: no list that the machine or a node keeps is used. Then of each client:

* the changes of an entry that it was told lead from the values before it to those after it, one to the next, and
  nothing of its keys is left out or added;
* between where it began and where it has got to no entry that has changed its keys is missing, comes twice, or comes
  before an earlier one;
* nothing was told that is not in the committed log;
* the present state that it was told is that of the entry that was named.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from raftdb.core.model import Entry, EntryKind, Index
from raftdb.errors import InvariantBroken
from raftdb.machine.keyspace import KEY_VALUE_PREFIX, decode_value
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.reply import KeyRecord
from raftdb.machine.values import values_prefix
from raftdb.node.history import key_of_change
from raftdb.node.past import record_of
from raftdb.node.watches import Part
from raftdb.simulation.watchers import Observer, Segment
from storage import MemoryStateStore

Net = Mapping[bytes, tuple[bytes | None, bytes | None]]
"""The keys that an entry changes, with the records before and after it."""


class WatchWitness:
    """See the module. `told` counts the changes that were told, `presents` the states."""

    def __init__(self) -> None:
        self.told = self.presents = 0
        self._state = MemoryStateStore()
        self._machine = Machine()
        self._front = values_prefix(self._state)
        self._values: dict[bytes, bytes] = {}
        self._nets: dict[Index, Net] = {}

    def follow(self, log: Sequence[Entry], observers: Sequence[Observer]) -> None:
        """Go through the whole committed log, and compare. Raises `InvariantBroken`."""
        presents: dict[Index, list[tuple[Observer, Segment]]] = defaultdict(list)
        for observer in observers:
            for segment in observer.segments:
                if segment.present is not None:
                    presents[segment.begin].append((observer, segment))
        for entry in log:
            if entry.kind is EntryKind.COMMAND:
                net = self._apply(entry)
                if net:
                    self._nets[entry.index] = net
            for observer, segment in presents[entry.index]:
                self._check_present(observer, segment)
        for observer in observers:
            for segment in observer.segments:
                self._check(observer, segment, len(log))

    def _apply(self, entry: Entry) -> Net:
        layer = Layer(self._state)
        self._machine.apply(entry.index, entry.term, entry.data, layer)
        changes = dict(layer.changes)
        self._state.write(changes, index=entry.index, term=entry.term)
        before, front = self._values, values_prefix(self._state)
        after = dict(before) if front == self._front else {}
        self._front = front
        for state_key, record in changes.items():
            if state_key.startswith(front) and state_key[:1] == KEY_VALUE_PREFIX:
                key = state_key[len(front) :]
                after.pop(key, None)
                if record is not None:
                    after[key] = record
        self._values = after
        keys = before.keys() | after.keys()
        return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}

    def _check_present(self, observer: Observer, segment: Segment) -> None:
        expected: dict[bytes, KeyRecord] = {
            key: record_of(key, decode_value(record))
            for key, record in self._values.items()
            if key.startswith(observer.prefix)
        }
        self.presents += 1
        if segment.present != expected:
            wrong = sorted(
                key
                for key in {*expected, *(segment.present or {})}
                if (segment.present or {}).get(key) != expected.get(key)
            )
            raise InvariantBroken(
                f"{observer.name} was told a state that was none at {segment.begin}: {wrong}"
            )

    def _check(self, observer: Observer, segment: Segment, last: Index) -> None:
        name, position = observer.name, segment.begin
        if segment.end > last:
            raise InvariantBroken(
                f"{name} has got to {segment.end}, and {last} is the last that is committed"
            )
        for part in segment.parts:
            revision = part.entry.revision
            if revision <= position:
                raise InvariantBroken(f"{name} was told {revision} after {position}")
            self._check_gap(observer, position, revision)
            self._check_part(observer, part)
            position = revision
        self._check_gap(observer, position, segment.end + 1)

    def _check_gap(self, observer: Observer, after: Index, before: Index) -> None:
        for index in range(after + 1, before):
            missed = [key for key in self._nets.get(index, ()) if key.startswith(observer.prefix)]
            if missed:
                raise InvariantBroken(
                    f"{observer.name} was not told that {index} has changed {sorted(missed)}"
                )

    def _check_part(self, observer: Observer, part: Part) -> None:
        """Compare what was told of an entry with what it has changed."""
        where = f"{observer.name} was told of {part.entry.revision}"
        net: dict[bytes, tuple[bytes | None, bytes | None]] = {}
        for _, change in part.changes:
            key, before, after = key_of_change(change), change[2], change[3]
            self.told += 1
            if not key.startswith(observer.prefix):
                raise InvariantBroken(f"{where} that {key!r} has changed, and watches {observer.prefix!r}")
            if key in net and net[key][1] != before:
                raise InvariantBroken(f"{where} changes of {key!r} that do not follow from each other")
            net[key] = (net[key][0] if key in net else before, after)
        told = {key: ends for key, ends in net.items() if ends[0] != ends[1]}
        expected = {
            key: ends
            for key, ends in self._nets.get(part.entry.revision, {}).items()
            if key.startswith(observer.prefix)
        }
        if told != expected:
            raise InvariantBroken(f"{where} that {sorted(told)} has changed, and {sorted(expected)} has")
