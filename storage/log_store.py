"""The log on LMDB: records under their index, hard state and facts beside them, one transaction per write.

A short write that only appends goes to the journal instead (`storage.journal`), and is durable there. Its blocks are
kept in memory, where reads find them, until the next transaction takes them along: when the journal is full, with
anything that is no short append, or when the log is closed or opened again. So LMDB and the journal together are the
log, and each moment has one boundary between them, which the record of the range names.

Two named databases: `records`, each a block under the index of its first entry (see `storage.blocks`), and `meta` with
sealed values under

    format      version of this layout, 4 bytes
    journal     identity of the log, as in its journal, 16 bytes
    range       base index, base term, last index, first record of the journal that is not in here yet, 8 bytes each;
                written in every transaction that moves one of them
    hard_state  opaque bytes of the caller
    fact:NAME   what `put_meta` stored

Considered and rejected: treating a bad checksum at the end as a torn tail and cutting it off. An LMDB transaction is
never torn, so a bad record was once whole and perhaps acknowledged (hazard B79). The `range` record is there for the
same reason: a tree that lost its tail, or shows an older root, still looks sound to LMDB.

Considered and rejected: a record for each entry. py-lmdb releases the interpreter lock in every put, so beside a busy
event loop the thread that writes would wait for the lock with each entry, and not once with each block.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

import lmdb

from storage.blocks import HEADER, HEADER_BYTES, Span, cut_before, span_of, verify
from storage.codec import CHECKSUM_BYTES, INDEX_KEY, seal, unseal
from storage.contract import TRIM_BLOCKS_MAX, LoadedLog, LogBatch, Usage
from storage.env import Environment
from storage.errors import FolderDamaged, Missing, Misused, WriteFailed, other_format
from storage.journal import FIRST_SEQUENCE, IDENTITY_BYTES, JOURNAL_FILE, Journal, create_journal
from storage.plan import plan_write
from storage.recent import Recent, Record

LOG_FORMAT_VERSION = 3
LOG_MAP_BYTES = 1 << 38
"""Address space set aside for the log, 256 GiB. Sparse: neither memory nor disk until used."""

RECORDS = b"records"
META = b"meta"
FORMAT_KEY = b"format"
JOURNAL_KEY = b"journal"
RANGE_KEY = b"range"
HARD_STATE_KEY = b"hard_state"
FACT_PREFIX = b"fact:"

FORMAT = Struct(">I")
RANGE = Struct(">QQQQ")


class LmdbLogStore:
    """`LogStore` on one LMDB environment (contract in `storage.contract`)."""

    def __init__(
        self, folder: Path, *, create: bool, map_bytes: int = LOG_MAP_BYTES, read_only: bool = False
    ) -> None:
        """Open the log in `folder`. With `create` a missing or empty one is made; without it that is damage.

        `read_only` changes no file, and needs a folder that nobody else has open.
        Raises `FolderDamaged`, `WriteFailed`. Verifies the file's frame and the range only: `load` does the rest.
        """
        self._environment = Environment(
            folder, databases=(RECORDS, META), map_bytes=map_bytes, create=create, read_only=read_only
        )
        self._records = self._environment.databases[RECORDS]
        self._meta = self._environment.databases[META]
        with ExitStack() as opened:
            opened.callback(self._environment.close)
            if create:
                self._create(folder / JOURNAL_FILE)
            with self._environment.read("log") as transaction:
                self._check_format(transaction)
                self._base_index, self._base_term, stored_index, sequence = self._range(transaction)
                identity = self._get(transaction, JOURNAL_KEY)
            if identity is None:
                raise FolderDamaged("log", "the record of its journal is missing")
            self._journal = Journal(folder / JOURNAL_FILE, identity=identity, read_only=read_only)
            opened.callback(self._journal.close)
            self._recent = Recent(sequence, stored_index)
            self._recent.add(*_spans(self._journal.replay(sequence), stored_index))
            self._last_index = self._recent.last_index
            if self._journal.sequence != sequence and not read_only:
                self._store([])
            opened.pop_all()

    def claim_writes(self) -> None:
        """See `LogStore.claim_writes`."""
        self._environment.claim_writes()

    def load(self, *, collect_kinds: frozenset[int] = frozenset()) -> LoadedLog:
        """See `LogStore.load`. One pass of a cursor; of each block only the header is copied."""
        term_starts: list[tuple[int, int]] = []
        collected: list[bytes] = []
        term_of_run = -1
        recent = self._recent
        with self._environment.read("log") as transaction:
            for name, sealed in transaction.cursor(self._meta).iternext():
                unseal(name, sealed, what="log meta record")
            base_index, base_term, stored_index, sequence = self._range(transaction)
            if recent.sequence != sequence:
                recent = Recent(sequence, stored_index)
            last_index = recent.last_index
            following = base_index + 1
            # Local names and no calls in the loop: a log may hold millions of blocks.
            unpack_header, pack_key, skip = HEADER.unpack_from, INDEX_KEY.pack, CHECKSUM_BYTES
            records: Iterable[Record] = chain(transaction.cursor(self._records).iternext(), recent.items())
            for key, block in records:
                if following > last_index:
                    # A writer has gone on meanwhile.
                    break
                if len(block) < HEADER_BYTES:
                    raise FolderDamaged(f"log record {key.hex()}", f"it has {len(block)} bytes")
                checksum, first, term, count, kind = unpack_header(block)
                if key != pack_key(first) or crc32(block[skip:]) != checksum:
                    raise FolderDamaged(f"log record {int.from_bytes(key)}", "its checksum does not match")
                # The log may begin inside its first block, and nowhere else.
                if first != following and not (
                    following == base_index + 1 and first <= base_index < first + count - 1
                ):
                    raise FolderDamaged("log", f"record {following} is missing, {first} stands in its place")
                if term != term_of_run:
                    term_of_run = term
                    term_starts.append((following, term))
                if kind in collect_kinds:
                    collected.append(bytes(block))
                following = first + count
            if following != last_index + 1:
                raise FolderDamaged("log", f"it ends at record {following - 1}, but {last_index} was written")
            hard_state = self._get(transaction, HARD_STATE_KEY)
        return LoadedLog(hard_state, base_index, base_term, last_index, tuple(term_starts), tuple(collected))

    def read(self, first: int, last: int, *, bytes_max: int) -> list[bytes]:
        """See `LogStore.read`."""
        if first > last:
            return []
        blocks: list[bytes] = []
        block_bytes = 0
        recent = self._recent
        with self._environment.read("log") as transaction:
            base_index, _base_term, stored_index, sequence = self._range(transaction)
            if recent.sequence != sequence:
                recent = Recent(sequence, stored_index)
            last_index = recent.last_index
            if not base_index < first <= last_index:
                raise Missing(first, base_index=base_index, last_index=last_index)
            following = first
            records = recent.items(first)
            if first <= stored_index:
                cursor = transaction.cursor(self._records)
                _seek(cursor, first)
                records = chain(cursor.iternext(), records)
            for key, block in records:
                block_bytes += len(block)
                if blocks and block_bytes > bytes_max:
                    return blocks
                span = verify(key, block)
                if not span.first_index <= following <= span.last_index:
                    break
                blocks.append(bytes(block))
                following = span.last_index + 1
                if following > last:
                    return blocks
        if following > last_index:
            raise Missing(following, base_index=base_index, last_index=last_index)
        raise FolderDamaged(f"log record {following}", "it is missing")

    def write(self, batches: Sequence[LogBatch]) -> None:
        """See `LogStore.write`."""
        plan = plan_write(batches, base_index=self._base_index, last_index=self._last_index)
        if plan.cut_from is None and not plan.blocks and plan.hard_state is None:
            return
        blocks = [block for _first, block in plan.blocks]
        if plan.cut_from is None and plan.hard_state is None and self._journal.takes(blocks):
            with self._environment.writing(self._journal.path):
                self._environment.require_file()
                self._journal.append(blocks)
            self._recent.add(plan.blocks, plan.last_index)
        else:
            self._store(batches)
        self._last_index = plan.last_index

    def trim(self, base_index: int, base_term: int, *, blocks_max: int = TRIM_BLOCKS_MAX) -> int:
        """See `LogStore.trim`."""
        if base_index <= self._base_index or blocks_max <= 0:
            return 0
        if base_index > self._last_index:
            raise Misused(f"cannot trim up to {base_index}: the log ends at {self._last_index}")
        self._require_term(base_index, base_term)
        if self._recent.blocks:
            self._store([])
        stop, stop_term = self._base_index, self._base_term
        with self._environment.write() as transaction:
            with transaction.cursor(self._records) as cursor:
                found = cursor.first()
                for _ in range(blocks_max):
                    if stop == base_index:
                        break
                    if not found:
                        raise FolderDamaged(f"log record {stop + 1}", "it is missing")
                    span = verify(cursor.key(), cursor.value())
                    stop, stop_term = min(span.last_index, base_index), span.term
                    if span.last_index <= base_index:
                        found = cursor.delete()
            self._put_range(transaction, stop, stop_term, self._last_index)
        trimmed = stop - self._base_index
        self._base_index, self._base_term = stop, stop_term
        return trimmed

    def reset(self, base_index: int, base_term: int) -> None:
        """See `LogStore.reset`."""
        with self._environment.write() as transaction:
            transaction.drop(self._records, delete=False)
            self._put_range(transaction, base_index, base_term, base_index)
        self._base_index, self._base_term, self._last_index = base_index, base_term, base_index
        self._begin_journal()

    def get_meta(self, name: str) -> bytes | None:
        """See `LogStore.get_meta`."""
        with self._environment.read("log") as transaction:
            return self._get(transaction, FACT_PREFIX + name.encode())

    def put_meta(self, name: str, value: bytes) -> None:
        """See `LogStore.put_meta`."""
        with self._environment.write() as transaction:
            self._put(transaction, FACT_PREFIX + name.encode(), value)

    def usage(self) -> Usage:
        """What the log occupies on disk, and what it will need for the blocks that are only in the journal. From any
        thread."""
        recent = self._recent
        found = self._environment.usage()
        return replace(found, used_bytes=found.used_bytes + recent.stored_bytes)

    def close(self) -> None:
        """See `LogStore.close`. A thread that may write leaves the journal empty."""
        if self._recent.blocks and self._environment.may_write:
            # If this fails, everything is still in the journal.
            with suppress(WriteFailed):
                self._store([])
        self._journal.close()
        self._environment.close()

    def _store(self, batches: Sequence[LogBatch]) -> None:
        """Write what is recent and then `batches`, which were checked, in one transaction; the journal begins anew."""
        recent = LogBatch(blocks=self._recent.blocks)
        plan = plan_write(
            [recent, *batches], base_index=self._base_index, last_index=self._recent.stored_index
        )
        pairs = [(INDEX_KEY.pack(first), block) for first, block in plan.blocks]
        with self._environment.write() as transaction:
            if plan.cut_from is not None:
                self._cut(transaction, plan.cut_from)
            if pairs:
                with transaction.cursor(self._records) as cursor:
                    _consumed, added = cursor.putmulti(pairs, overwrite=False, append=True)
                if added != len(pairs):
                    raise FolderDamaged("log", f"{len(pairs) - added} records past its end exist already")
            if plan.hard_state is not None:
                self._put(transaction, HARD_STATE_KEY, plan.hard_state)
            self._put_range(transaction, self._base_index, self._base_term, plan.last_index)
        self._last_index = plan.last_index
        self._begin_journal()

    def _begin_journal(self) -> None:
        """LMDB has everything up to the last index."""
        self._journal.restart()
        self._recent = Recent(self._journal.sequence, self._last_index)

    def _create(self, journal: Path) -> None:
        """Make the journal, format and empty range of a new log; leave one that has them, and one that is partly
        there."""
        with self._environment.read("log") as transaction:
            entries = self._environment.entries(transaction, META) + self._environment.entries(
                transaction, RECORDS
            )
        if not entries:
            identity = os.urandom(IDENTITY_BYTES)
            create_journal(journal, identity)
            with self._environment.write() as writing:
                self._put(writing, FORMAT_KEY, FORMAT.pack(LOG_FORMAT_VERSION))
                self._put(writing, JOURNAL_KEY, identity)
                self._put(writing, RANGE_KEY, RANGE.pack(0, 0, 0, FIRST_SEQUENCE))

    def _check_format(self, transaction: "lmdb.Transaction[memoryview]") -> None:
        found = self._get(transaction, FORMAT_KEY)
        if found is None:
            raise FolderDamaged("log", "the record of its format is missing")
        if found != FORMAT.pack(LOG_FORMAT_VERSION):
            raise other_format("the log", int.from_bytes(found), LOG_FORMAT_VERSION)

    def _range(self, transaction: "lmdb.Transaction[memoryview]") -> tuple[int, int, int, int]:
        """(base index, base term, last index, first record of the journal that is missing) as `transaction` sees
        them."""
        data = self._get(transaction, RANGE_KEY)
        if data is None or len(data) != RANGE.size:
            raise FolderDamaged("log", "the record of its range is missing")
        base_index, base_term, last_index, sequence = RANGE.unpack(data)
        return base_index, base_term, last_index, sequence

    def _put_range(
        self, transaction: "lmdb.Transaction[bytes]", base: int, base_term: int, last: int
    ) -> None:
        """Store the range, in a transaction with which LMDB has everything that is in the journal."""
        self._put(transaction, RANGE_KEY, RANGE.pack(base, base_term, last, self._journal.sequence))

    def _require_term(self, index: int, term: int) -> None:
        """Check that the entry at `index` has `term`; otherwise the caller means another log."""
        found = span_of(self.read(index, index, bytes_max=0)[0]).term
        if found != term:
            raise Misused(f"record {index} has term {found}, not {term}")

    def _get(self, transaction: "lmdb.Transaction[memoryview]", key: bytes) -> bytes | None:
        sealed = transaction.get(key, db=self._meta)
        return None if sealed is None else unseal(key, sealed, what="log meta record")

    def _put(self, transaction: "lmdb.Transaction[bytes]", key: bytes, data: bytes) -> None:
        transaction.put(key, seal(key, data), db=self._meta)

    def _cut(self, transaction: "lmdb.Transaction[bytes]", index: int) -> None:
        """Delete the entries from `index` on; what is left of a block is written anew."""
        with transaction.cursor(self._records) as cursor:
            span = _seek(cursor, index)
            if span is None:
                raise FolderDamaged(f"log record {index}", "it is missing")
            kept = (
                cut_before(cursor.value(), index)
                if max(span.first_index, self._base_index + 1) < index
                else None
            )
            while cursor.delete():
                pass
        if kept is not None:
            transaction.put(INDEX_KEY.pack(span.first_index), kept, db=self._records)


def _seek(cursor: "lmdb.Cursor[Any]", index: int) -> Span | None:
    """Move the cursor to the block that has the entry at `index`, and say what is in it; None if there is none."""
    key = INDEX_KEY.pack(index)
    found = cursor.set_range(key)
    if not found or cursor.key() != key:
        found = cursor.prev() if found else cursor.last()
    if not found:
        return None
    span = verify(cursor.key(), cursor.value())
    return span if index <= span.last_index else None


def _spans(blocks: Sequence[bytes], last_index: int) -> tuple[list[tuple[int, bytes]], int]:
    """The blocks of the journal, each with its first index, and the last index then. Raises `FolderDamaged` if they do
    not go on from `last_index`."""
    found = []
    for block in blocks:
        span = verify(block[CHECKSUM_BYTES : CHECKSUM_BYTES + INDEX_KEY.size], block)
        if span.first_index != last_index + 1:
            why = f"entry {last_index + 1} is missing, {span.first_index} stands in its place"
            raise FolderDamaged("the journal of the log", why)
        found.append((span.first_index, block))
        last_index = span.last_index
    return found, last_index
