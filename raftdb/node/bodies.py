"""Where the bodies of entries come from: memory, as far as they are in the core's log, else the disk."""

from collections.abc import Iterator

from raftdb.core.block import Block, cut_to
from raftdb.core.model import Index
from raftdb.core.state import RaftState
from raftdb.node.turn import LogReader


def read_blocks(log: LogReader, first: Index, last: Index, *, bytes_max: int) -> tuple[Block, ...]:
    """The entries `first` to `last` from the disk, as many as fit into `bytes_max`, at least one."""
    stored = map(Block.read, log.read(first, last, bytes_max=bytes_max))
    return cut_to(stored, first, last, bytes_max=bytes_max)


class Bodies:
    """Reads the entries of one node's log."""

    def __init__(self, core: RaftState, log_reader: LogReader) -> None:
        self._log = core.log
        self._log_reader = log_reader

    def stored(self, first: Index, last: Index, bytes_max: int) -> tuple[Block, ...]:
        """Entries from the disk, as many as fit into so many bytes, at least one."""
        return read_blocks(self._log_reader, first, last, bytes_max=bytes_max)

    def between(self, first: Index, last: Index, bytes_max: int) -> tuple[Block, ...]:
        """Entries from `first` on, no further than `last`, as many as fit into so many bytes, at least one."""
        found = self._log.cached(first, last, bytes_max=bytes_max)
        return self.stored(first, self._last_stored(last), bytes_max) if found is None else found

    def whole_blocks(self, first: Index, last: Index, bytes_max: int) -> tuple[Iterator[Block], Index]:
        """The blocks, whole, from the one on that has `first`, at least one; and the last entry up to `last` that may
        be taken of them. To be used before the log changes.

        From the disk they come no further than the one that has that entry, or fills so many bytes. What stands in it
        beyond that entry is in memory, and may be another entry there: the log has dropped this one in a conflict, and
        the disk has not yet (hazard B16).
        """
        found = self._log.cached_blocks(first)
        if found is not None:
            return found, last
        last = self._last_stored(last)
        return map(Block.read, self._log_reader.read(first, last, bytes_max=bytes_max)), last

    def _last_stored(self, last: Index) -> Index:
        """The last entry up to `last` that is not in memory."""
        return min(last, self._log.cache_first - 1)
