"""A state that is changed entry by entry, with its history."""

from collections.abc import Iterable

from raftdb.core.block import Block
from raftdb.core.model import EntryKind
from raftdb.machine.entries import encode, stamp
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Operation
from raftdb.node.execution import apply_slice
from raftdb.node.history import Change, Entry, History, key_of_change, value_of
from storage.memory import MemoryStateStore

Shown = tuple[bytes, int, bytes | None, bytes | None]


def shown(changes: Iterable[Change]) -> list[Shown]:
    """Key, kind, and the values before and after."""

    def data(record: bytes | None) -> bytes | None:
        value = value_of(record)
        return None if value is None else value.data

    return [(key_of_change(one), one[1], data(one[2]), data(one[3])) for one in changes]


class Log:
    """A log that is applied to a state, an entry at a time or in slices."""

    def __init__(self, *, bytes_max: int = 1 << 30, seconds_max: int = 1 << 30) -> None:
        self.state = MemoryStateStore()
        self.history = History(bytes_max=bytes_max, seconds_max=seconds_max)
        self.history.restart(0, self.state)
        self.time_ms = 1_000

    def apply(self, *operations: Operation) -> list[list[Shown]]:
        """Apply entries in one slice; returns the changes of each entry that has any."""
        first = self.state.applied[0] + 1
        payloads = [stamp(encode(one), self.time_ms) for one in operations]
        block = Block.of(first, 1, EntryKind.COMMAND, payloads)
        last = block.last_index
        where = (first, last, self.state, Machine())
        applied = apply_slice([block], *where, bytes_max=1 << 40, history=self.history)
        assert len(applied.replies) == len(operations)
        return [shown(entry.changes) for entry in self.entries(first - 1)]

    def entries(self, after: int = 0) -> list[Entry]:
        return self.history.after(max(after, self.history.begin), limit=1 << 30)
