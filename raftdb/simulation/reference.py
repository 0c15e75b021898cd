"""What each committed entry changes, found by applying it alone, after all before it.

Nodes apply entries in slices, which differ from node to node. Whatever the slices, a node's changes have to be those of
its entries one by one.
"""

from collections.abc import Callable, Mapping

from raftdb.core.block import Block
from raftdb.core.model import EntryKind, Index, Term
from raftdb.machine.machine import Machine
from raftdb.node.execution import apply_slice
from storage import MemoryStateStore

Changes = Mapping[bytes, bytes | None]


class _NotedState(MemoryStateStore):
    """A state that notes what each write changes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Changes] = [{}]

    def write(self, changes: Changes, *, index: int, term: int) -> None:
        """See `StateStore.write`."""
        super().write(changes, index=index, term=term)
        self.writes.append(dict(changes))


class Reference:
    """See the module. `entry` gives term, kind and data of a committed entry."""

    def __init__(self, entry: Callable[[Index], tuple[Term, EntryKind, bytes]]) -> None:
        self._entry = entry
        self._state = _NotedState()

    def changes(self, first: Index, last: Index) -> dict[bytes, bytes | None]:
        """What the entries `first` to `last` change together."""
        for index in range(len(self._state.writes), last + 1):
            term, kind, data = self._entry(index)
            alone = Block.of(index, term, kind, [data])
            apply_slice([alone], index, index, self._state, Machine(), bytes_max=1)
        changes: dict[bytes, bytes | None] = {}
        for one in self._state.writes[first : last + 1]:
            changes.update(one)
        return changes
