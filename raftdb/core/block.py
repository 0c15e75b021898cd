"""Neighbouring entries of one term and one kind as one string of bytes, encoded once.

What is proposed in one turn becomes one block. The same bytes are kept in memory, stand in the log on the disk of every
node, and travel to the followers, so an entry costs nothing of its own until it is applied. The core decides by index
and term alone and reads the header only; it goes into the rest where a block must be cut, because a truncation, a
message or what a follower has already ends within it.

    checksum  4 bytes   CRC-32 of all that follows
    first     8         index of the first entry
    term      8
    count     4         entries, at least one
    kind      1
    sizes     4 each    bytes of each entry's data
    data                of all entries, one after another

Numbers are big-endian. `storage.blocks` reads and cuts the same layout: storage knows nothing of raftdb, and the core
does no I/O.

Considered and rejected: CBOR for the table of sizes. It saves some bytes of a small entry, and then the place of an
entry is found only by decoding all before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from struct import Struct, unpack_from
from typing import NamedTuple
from zlib import crc32

from raftdb.core.model import Entry, EntryKind, Index, Term
from raftdb.errors import RemoteProtocolError
from raftdb.limits import ENTRY_BYTES_MAX, MIB

BLOCK_ENTRIES_MAX = 4096
"""Most entries of a block."""
BLOCK_BYTES_MAX = 1 * MIB
"""Most bytes of a block as limits count them (`Block.size_bytes`), but for one larger entry. It is what a message
carries, so that blocks seldom have to be cut for one."""
ENTRY_OVERHEAD_BYTES = 32
"""Counted for every entry beside its data, so that many empty entries are not free."""

_HEADER = Struct(">IQQIB")
_CHECKSUM = Struct(">I")
_KINDS = {int(kind): kind for kind in EntryKind}
HEADER_BYTES = _HEADER.size
SIZE_BYTES = 4
"""Bytes of one entry's place in the table of sizes."""


def entry_bytes(data: bytes) -> int:
    """Size of an entry with this data as limits count it, in bytes."""
    return len(data) + ENTRY_OVERHEAD_BYTES


class Block(NamedTuple):
    """Entries `first_index` to `last_index`, at least one, of one term and kind, and their bytes (see the module)."""

    first_index: Index
    last_index: Index
    term: Term
    kind: EntryKind
    encoded: bytes

    @classmethod
    def of(cls, first_index: Index, term: Term, kind: EntryKind, payloads: Sequence[bytes]) -> "Block":
        """The block of entries with this data, one after another."""
        count = len(payloads)
        sizes = Struct(f">{count}I").pack(*map(len, payloads))
        return cls._sealed(first_index, term, kind, count, sizes, payloads)

    @classmethod
    def _sealed(
        cls, first_index: Index, term: Term, kind: EntryKind, count: int, sizes: bytes, data: Iterable[bytes]
    ) -> "Block":
        header = _HEADER.pack(0, first_index, term, count, kind)[_CHECKSUM.size :]
        rest = b"".join((header, sizes, *data))
        encoded = _CHECKSUM.pack(crc32(rest)) + rest
        return cls(first_index, first_index + count - 1, term, kind, encoded)

    @classmethod
    def read(cls, encoded: bytes) -> "Block":
        """The block in bytes that were verified before; only their header is looked at."""
        _, first_index, term, count, kind = _HEADER.unpack_from(encoded)
        return cls(first_index, first_index + count - 1, term, _KINDS[kind], encoded)

    @classmethod
    def verified(cls, encoded: bytes) -> "Block":
        """The block in bytes that a peer has sent; raises `RemoteProtocolError` unless all of them fit each other."""
        if len(encoded) < HEADER_BYTES:
            raise RemoteProtocolError(f"a block has {len(encoded)} bytes: that is not even a header")
        checksum, _, _, count, kind = _HEADER.unpack_from(encoded)
        if kind not in _KINDS:
            raise RemoteProtocolError(f"an entry is of kind {kind}, which this node does not know")
        data_bytes = len(encoded) - HEADER_BYTES - count * SIZE_BYTES
        # The count is bounded before it is used: a short block must not ask for a long table.
        if not 0 < count <= BLOCK_ENTRIES_MAX or data_bytes < 0:
            raise RemoteProtocolError(f"a block of {len(encoded)} bytes cannot have {count} entries")
        block = cls.read(encoded)
        sizes = block.sizes()
        if sum(sizes) != data_bytes or max(sizes) > ENTRY_BYTES_MAX:
            raise RemoteProtocolError(
                "the entries of a block are longer or shorter than its bytes, or too long"
            )
        if crc32(memoryview(encoded)[_CHECKSUM.size :]) != checksum:
            raise RemoteProtocolError("a block does not match its checksum")
        return block

    @property
    def entry_count(self) -> int:
        """The number of entries."""
        return self.last_index + 1 - self.first_index

    @property
    def data_bytes(self) -> int:
        """Bytes of the data of all entries."""
        return len(self.encoded) - HEADER_BYTES - SIZE_BYTES * self.entry_count

    @property
    def size_bytes(self) -> int:
        """Size of the entries as limits count it, in bytes: the sum of their `entry_bytes`."""
        return self.data_bytes + ENTRY_OVERHEAD_BYTES * self.entry_count

    def sizes(self) -> tuple[int, ...]:
        """Bytes of the data of each entry."""
        return unpack_from(f">{self.entry_count}I", self.encoded, HEADER_BYTES)

    def payloads(self, first: Index, last: Index) -> Iterator[bytes]:
        """The data of the entries `first` to `last`, which are in the block, each copied when it is its turn."""
        start, *ends = self._data_ends(first, last)
        for end in ends:
            yield self.encoded[start:end]
            start = end

    def entries(self) -> Iterator[Entry]:
        """All entries, as objects."""
        payloads = self.payloads(self.first_index, self.last_index)
        for index, data in enumerate(payloads, start=self.first_index):
            yield Entry(index, self.term, self.kind, data)

    def part(self, first: Index, last: Index) -> "Block":
        """The entries `first` to `last`, which are in the block, as a block of their own."""
        if (first, last) == (self.first_index, self.last_index):
            return self
        start, *ends = self._data_ends(first, last)
        places = [HEADER_BYTES + SIZE_BYTES * (index - self.first_index) for index in (first, last + 1)]
        sizes, data = self.encoded[places[0] : places[1]], self.encoded[start : ends[-1]]
        return Block._sealed(first, self.term, self.kind, last + 1 - first, sizes, (data,))

    def bytes_up_to(self, index: Index) -> int:
        """Size of the entries up to and with `index` as limits count it, in bytes; 0 for an index before the block."""
        count = index + 1 - self.first_index
        return sum(self.sizes()[:count]) + ENTRY_OVERHEAD_BYTES * count if count > 0 else 0

    def index_at(self, size_bytes: int) -> Index:
        """The first index up to and with which the entries have `size_bytes` or more as limits count them; one after
        the block if all together have less."""
        index = self.first_index
        for end in accumulate(self.sizes()):
            if end + ENTRY_OVERHEAD_BYTES * (index + 1 - self.first_index) >= size_bytes:
                break
            index += 1
        return index

    def _data_ends(self, first: Index, last: Index) -> Iterator[int]:
        """Where the data of `first` begins in the bytes, and where that of it and each entry up to `last` ends."""
        sizes = self.sizes()
        skipped = first - self.first_index
        start = HEADER_BYTES + SIZE_BYTES * len(sizes) + sum(sizes[:skipped])
        return accumulate(sizes[skipped : last + 1 - self.first_index], initial=start)


def blocks_of(first_index: Index, term: Term, kind: EntryKind, payloads: Sequence[bytes]) -> list[Block]:
    """Entries with this data, from `first_index` on, in as few blocks as the limits allow."""
    count = len(payloads)
    if (
        0 < count <= BLOCK_ENTRIES_MAX
        and sum(map(len, payloads)) + ENTRY_OVERHEAD_BYTES * count <= BLOCK_BYTES_MAX
    ):
        return [Block.of(first_index, term, kind, payloads)]
    blocks: list[Block] = []
    start = size_bytes = 0
    for place, data in enumerate(payloads):
        size_bytes += entry_bytes(data)
        if place > start and (size_bytes > BLOCK_BYTES_MAX or place - start == BLOCK_ENTRIES_MAX):
            blocks.append(Block.of(first_index + start, term, kind, payloads[start:place]))
            start, size_bytes = place, entry_bytes(data)
    if len(payloads) > start:
        blocks.append(Block.of(first_index + start, term, kind, payloads[start:]))
    return blocks


def cut_to(blocks: Iterable[Block], first: Index, last: Index, *, bytes_max: int) -> tuple[Block, ...]:
    """Of neighbouring blocks, the first of which has `first`, the entries from there to `last` or to where they would
    have more than `bytes_max` bytes as limits count them; at least one."""
    found: list[Block] = []
    for block in blocks:
        if block.first_index > last:
            break
        part = block.part(max(first, block.first_index), min(last, block.last_index))
        if part.size_bytes > bytes_max:
            fitting = part.index_at(bytes_max + 1) - 1
            if fitting >= part.first_index or not found:
                found.append(part.part(part.first_index, max(fitting, part.first_index)))
            break
        found.append(part)
        bytes_max -= part.size_bytes
    return tuple(found)


def entries_of(blocks: Iterable[Block]) -> Iterator[Entry]:
    """All entries of neighbouring blocks, as objects."""
    for block in blocks:
        yield from block.entries()
