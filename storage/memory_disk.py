"""A disk in memory that a simulator can crash, fill, fail and corrupt.

`MemoryDisk` stands for the file of one LMDB environment and outlives the stores opened on it, as a folder does. A
transaction is durable when `sync` has returned, which each transaction does itself unless the disk is made with
`auto_sync=False`. A process always reads the current content; a crash leaves the durable content, plus as many of the
unsynced transactions as the simulator says.
"""

import threading
from collections.abc import Mapping

from storage.errors import Misused, WriteFailed

Transaction = Mapping[bytes, bytes | None]
"""The changes of one transaction: a value to put, None to delete."""


class MemoryDisk:
    """Key to stored bytes, in transactions that are unsynced until `sync`."""

    def __init__(
        self,
        *,
        auto_sync: bool = True,
        bytes_max: int | None = None,
        content: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """`bytes_max`: keys and values it can hold, None for no limit; may be changed at any time.

        `content`: what is on it from the start, durably.
        """
        self.auto_sync = auto_sync
        self.bytes_max = bytes_max
        self.generation = 0
        self.sync_count = 0
        self.content: dict[bytes, bytes] = dict(content or {})
        self._durable: dict[bytes, bytes] = dict(self.content)
        self._unsynced: list[Transaction] = []
        self._sync_error: OSError | None = None
        self._failure: BaseException | None = None
        self._bytes_used = sum(len(key) + len(value) for key, value in self.content.items())

    @property
    def unsynced_count(self) -> int:
        """Transactions that a crash could lose."""
        return len(self._unsynced)

    @property
    def bytes_used(self) -> int:
        """Bytes of all keys and values present."""
        return self._bytes_used

    def commit(self, transaction: Transaction) -> None:
        """Apply a transaction, and sync it if `auto_sync`. Raises `WriteFailed`, and from then on every time until a
        crash."""
        self._require_working()
        growth = sum(
            (len(key) + len(value) if value is not None else 0) - self._size(key)
            for key, value in transaction.items()
        )
        if self.bytes_max is not None and growth > 0 and self._bytes_used + growth > self.bytes_max:
            raise self._fail(OSError("no space left on the disk"))
        self._bytes_used += growth
        _apply(self.content, transaction)
        self._unsynced.append(transaction)
        if self.auto_sync:
            self.sync()

    def sync(self) -> None:
        """Make everything committed durable. Raises the injected failure as `WriteFailed`; it is then unknown what is
        durable."""
        self._require_working()
        self.sync_count += 1
        if self._sync_error is not None:
            raise self._fail(self._sync_error)
        for transaction in self._unsynced:
            _apply(self._durable, transaction)
        self._unsynced = []

    def fail_next_sync(self, error: OSError) -> None:
        """The next `sync` fails with `error`. Unsynced transactions stay unsynced: `crash` decides how many of them
        were kept."""
        self._sync_error = error

    def crash(self, *, keep: int = 0, torn: bool = False) -> None:
        """Lose the unsynced transactions but the first `keep`; every store open on this disk is dead.

        With `torn`, the next transaction leaves its later half: meta records arrive, the data before them does not.
        LMDB on an honest disk never does that. It is there to prove that a store notices when records and range
        disagree; a tear within equal keys or a hard state alone goes unnoticed.
        """
        for transaction in self._unsynced[:keep]:
            _apply(self._durable, transaction)
        if torn and keep < len(self._unsynced):
            keys = sorted(self._unsynced[keep])
            _apply(self._durable, {key: self._unsynced[keep][key] for key in keys[(len(keys) + 1) // 2 :]})
        self.content = dict(self._durable)
        self._bytes_used = sum(len(key) + len(value) for key, value in self.content.items())
        self._unsynced = []
        self._sync_error = self._failure = None
        self.generation += 1

    def durable(self) -> dict[bytes, bytes]:
        """What a crash now would leave."""
        return dict(self._durable)

    def flip_bit(self, key: bytes, *, bit: int) -> None:
        """Flip bit `bit` (modulo its length) of the stored value of `key`, durably and for readers at once."""
        for content in (self.content, self._durable):
            if key in content:
                value = bytearray(content[key])
                value[bit // 8 % len(value)] ^= 1 << bit % 8
                content[key] = bytes(value)

    def _size(self, key: bytes) -> int:
        value = self.content.get(key)
        return 0 if value is None else len(key) + len(value)

    def _require_working(self) -> None:
        if self._failure is not None:
            raise WriteFailed(f"the disk takes no write since one failed: {self._failure}")

    def _fail(self, error: OSError) -> WriteFailed:
        self._failure = error
        return WriteFailed(f"cannot write: {error}")


class Session:
    """A store's hold on a disk: ends with `close` or the disk's next crash, and writes from one thread."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self._generation = disk.generation
        self._writer = threading.get_ident()

    def claim_writes(self) -> None:
        """See `LogStore.claim_writes`."""
        self._writer = threading.get_ident()

    def content(self) -> dict[bytes, bytes]:
        """What a reader sees. Raises `Misused` on a dead session."""
        if self._generation != self.disk.generation:
            raise Misused("this store is closed, or its process has crashed")
        return self.disk.content

    def commit(self, transaction: Transaction) -> None:
        """One write transaction."""
        self.content()
        if threading.get_ident() != self._writer:
            raise Misused(f"thread {threading.current_thread().name} does not own the writes of this store")
        self.disk.commit(transaction)

    def close(self) -> None:
        """End the session. Idempotent."""
        self._generation = -1


def _apply(content: dict[bytes, bytes], transaction: Transaction) -> None:
    for key, value in transaction.items():
        if value is None:
            content.pop(key, None)
        else:
            content[key] = value
