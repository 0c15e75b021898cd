"""The end of the log that is in the journal and not yet in LMDB, kept in memory to be read.

One thread adds; any thread reads meanwhile. `sequence` says which LMDB it belongs on: one whose record of the range
names the same sequence. A reader takes the recent blocks first, and begins its transaction of LMDB then: if LMDB names
a later sequence, it has got all of these blocks in the meantime, or has dropped them.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from storage.codec import INDEX_KEY

STORED_FACTOR = 2
"""The bytes that a block takes in LMDB at most, in terms of its own: one that is longer than half a page gets pages of
its own."""
STORED_OVERHEAD_BYTES = 64
"""What a block takes there beside."""

Record = tuple[bytes | memoryview, bytes | memoryview]
"""Key and block, as LMDB gives them."""


class Recent:
    """Blocks, in the order of their indexes, after the last entry that LMDB has, `stored_index`."""

    __slots__ = ("_firsts", "blocks", "last_index", "sequence", "stored_bytes", "stored_index")

    def __init__(self, sequence: int, stored_index: int) -> None:
        self.sequence = sequence
        self.stored_index = self.last_index = stored_index
        self.blocks: list[bytes] = []
        self.stored_bytes = 0
        """About what LMDB will need for the blocks."""
        self._firsts: list[int] = []

    def add(self, blocks: Sequence[tuple[int, bytes]], last_index: int) -> None:
        """Add blocks, each with its first index, up to the entry `last_index`."""
        for first, block in blocks:
            # In this order, so that a reader never finds an index whose block is not there.
            self.blocks.append(block)
            self._firsts.append(first)
            self.stored_bytes += STORED_FACTOR * len(block) + STORED_OVERHEAD_BYTES
        self.last_index = last_index

    def items(self, index: int = 0) -> Iterator[Record]:
        """Key and block of the records from the one with the entry at `index` on."""
        at = max(0, bisect_right(self._firsts, index) - 1)
        return zip(map(INDEX_KEY.pack, self._firsts[at:]), self.blocks[at:], strict=False)
