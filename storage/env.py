"""One LMDB environment with our settings: checked before it is opened, written by one thread, unusable after one
failure.

Settings, and why: `sync` on and `writemap` off always (a failed write must be an error, not a signal; hazards B77,
B84); a large sparse map of fixed size (growing it under a live reader is a crash, B87); spare read transactions, so
that a read renews one instead of making one.

LMDB trusts its file. If the file was cut short, the process ends by SIGBUS; if a bit flipped in a meta page, LMDB shows
an old or an empty tree and takes writes on it; if the file was deleted, LMDB creates an empty one (hazards B81, B82,
B89). So `check_data_file` reads the two meta pages with plain reads before anything is mapped, and the stores keep
their own counts to compare with what they find.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import Struct

import lmdb

from storage.contract import Usage
from storage.errors import MISSING_HINT, FolderDamaged, Misused, StorageError, WriteFailed
from storage.files import FILE_MODE, make_folder, open_to_write, require_in_use, sync_folder
from storage.system_failures import mapped, system_failure

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"

FILE_HEADROOM_BYTES = 8 << 20
"""How far the file is kept ahead of its last page: more than a single transaction allocates at the end and gives
back."""

SPARE_TRANSACTIONS_MAX = 4
"""Reset read transactions kept for reuse: more than the threads that read at one time."""

META_PAGE = Struct("=16x II 16x 40xQ 40xQ QQ")
"""A meta page of LMDB's data format 1, in the byte order of the machine: page header, magic, version, address and
map size, the descriptors of the free list and of the main tree, each of which ends in its root page, last page,
transaction number."""
NO_ROOT = 2**64 - 1
META_MAGIC = 0xBEEFC0DE
META_VERSION = 1
PAGE_BYTES = Struct("=40x I")
"""Where the first descriptor of a meta page keeps the page size."""
META_PAGES = 2
BLOCK_BYTES = 512
"""Unit in which the operating system counts what a file occupies."""
PAGE_BYTES_POSSIBLE = frozenset(1 << power for power in range(9, 17))

Database = lmdb._Database


class Environment:
    """An open LMDB environment: named databases, read and write transactions, one owner of writes."""

    def __init__(
        self,
        folder: Path,
        *,
        databases: Sequence[bytes],
        map_bytes: int,
        create: bool,
        read_only: bool = False,
    ) -> None:
        """Open the environment in `folder`, with exactly the named `databases`.

        With `create` the folder, the file and the databases are made where missing, durably. Without it anything
        missing is damage. With `read_only` no file is made or changed, not even LMDB's lock file; so the caller
        makes sure that nobody writes. Raises `FolderDamaged`, `SystemFailure`, `OutOfSpace`.
        """
        self.folder = folder
        self._file = folder / DATA_FILE
        self._failure: BaseException | None = None
        self._closed = False
        self._read_only = read_only
        self._writer = threading.get_ident()
        if create:
            make_folder(folder)
        if not read_only:
            self._make_files(create=create)
        # A creation that a crash cut short leaves an empty file: LMDB takes it up, and nothing was in it.
        with mapped(self._file, "open"):
            is_new = create and self._file.stat().st_size == 0
        if not is_new:
            check_data_file(self._file)
        try:
            self._environment = lmdb.Environment(
                # As bytes: a path need not be text in any encoding.
                os.fsencode(folder),
                map_size=map_bytes,
                max_dbs=len(databases),
                max_spare_txns=SPARE_TRANSACTIONS_MAX,
                create=create,
                mode=FILE_MODE,
                sync=True,
                metasync=True,
                writemap=False,
                readonly=read_only,
                lock=not read_only,
            )
        except lmdb.Error as error:
            raise system_failure(self._file, "open", error) from error
        # Readers of a process that was killed would keep their pages from ever being reused (hazard B86).
        if not read_only:
            self._environment.reader_check()
        with mapped(self._file):
            found = os.stat(self._file)
        self._inode = (found.st_dev, found.st_ino)
        try:
            self.databases = {name: self._environment.open_db(name, create=create) for name in databases}
            if create:
                self._environment.sync(True)
                sync_folder(folder)
        except lmdb.NotFoundError as error:
            self._environment.close()
            raise FolderDamaged(str(self._file), "a database in it is missing") from error
        except (lmdb.Error, OSError) as error:
            self._environment.close()
            raise system_failure(self._file, "make", error) from error
        # Bound once: `get` of the state store begins a transaction for each key.
        self.begin = self._environment.begin

    def _make_files(self, *, create: bool) -> None:
        """Make the files that LMDB would make, so that they belong to the folder's owner; the data file is left
        empty."""
        names = (DATA_FILE, LOCK_FILE) if create else (LOCK_FILE,)
        with mapped(self._file, "open"):
            if not create and not self._file.exists():
                return
            for name in names:
                os.close(open_to_write(self.folder / name, os.O_RDWR))

    def unreadable(self, what: str, error: lmdb.Error) -> StorageError:
        """The error to raise for a failed read of `what`: damage, or a failure of the system."""
        failure = system_failure(self._file, "read", error)
        if isinstance(failure, FolderDamaged):
            return FolderDamaged(f"{what} in {self._file}", failure.why)
        return failure

    def claim_writes(self) -> None:
        """Make the calling thread the only one that may write."""
        self._writer = threading.get_ident()

    @contextmanager
    def read(self, what: str) -> Iterator["lmdb.Transaction[memoryview]"]:
        """A read transaction whose views die with it. Errors of LMDB are damage to `what`."""
        self.require_open()
        try:
            with self._environment.begin(buffers=True) as transaction:
                yield transaction
        except lmdb.Error as error:
            raise self.unreadable(what, error) from error

    @contextmanager
    def read_copies(self, what: str) -> Iterator["lmdb.Transaction[bytes]"]:
        """As `read`, but giving copies: for a walk that looks at every byte, making a view costs more than a copy."""
        self.require_open()
        try:
            with self._environment.begin() as transaction:
                yield transaction
        except lmdb.Error as error:
            raise self.unreadable(what, error) from error

    @contextmanager
    def write(self) -> Iterator["lmdb.Transaction[bytes]"]:
        """A write transaction: committed and synced when the block ends, or nothing of it. Raises as `writing` does."""
        with self.writing(self._file):
            with self._environment.begin(write=True) as transaction:
                yield transaction
            self._settle_file()

    @contextmanager
    def writing(self, file: Path) -> Iterator[None]:
        """A block that writes `file`: the data file, or one that belongs to it.

        Raises `Misused` on a foreign thread. Any other error, in the block or in the commit, is remembered: it comes
        as `WriteFailed`, and so does every later call. LMDB would accept the next commit, on top of pages that the
        kernel has already dropped (hazard B83).
        """
        self.require_writer()
        if self._failure is not None:
            raise WriteFailed(f"{self.folder} takes no write since one failed: {self._failure}")
        try:
            yield
        except BaseException as error:
            self._failure = error
            if isinstance(error, StorageError) or not isinstance(error, Exception):
                raise
            hint = (
                system_failure(file, "write", error).hint if isinstance(error, OSError | lmdb.Error) else None
            )
            raise WriteFailed(f"cannot write {file}: {error}", hint=hint) from error

    @property
    def may_write(self) -> bool:
        """True if the calling thread may write, and nothing has failed yet."""
        is_open = not self._closed and not self._read_only
        return is_open and self._failure is None and threading.get_ident() == self._writer

    def require_file(self) -> os.stat_result:
        """The data file as it is now. Raises `WriteFailed` if it is no longer the one that was opened."""
        return require_in_use(self._file, self._inode)

    def entries(
        self, transaction: "lmdb.Transaction[bytes] | lmdb.Transaction[memoryview]", database: bytes
    ) -> int:
        """How many keys `database` holds."""
        return transaction.stat(self.databases[database])["entries"]

    def copy_to(self, descriptor: int, *, compact: bool) -> None:
        """Write a consistent copy of the file to a file or pipe: one call without the GIL.

        `compact` leaves its free pages out. Raises `FolderDamaged`; `SystemFailure`, also if `descriptor` cannot be
        written.
        """
        self.require_open()
        try:
            self._environment.copyfd(descriptor, compact=compact)
        except lmdb.Error as error:
            raise system_failure(self._file, "copy", error) from error

    def copied_bytes(self, *, compact: bool) -> int:
        """How much `copy_to` writes if nothing is written in between."""
        return self.usage().used_bytes if compact else self._length_of_pages()

    def _length_of_pages(self) -> int:
        """Length of all pages that are, or have been, in use."""
        return (self._environment.info()["last_pgno"] + 1) * self._environment.stat()["psize"]

    def usage(self) -> Usage:
        """How much of the file and of the map is in use now. Microseconds, from any thread."""
        with self.read("usage") as transaction:
            pages = 0
            for database in (None, *self.databases.values()):
                found = transaction.stat(database) if database is not None else self._environment.stat()
                pages += found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
        found_file = os.stat(self._file)
        return Usage(
            file_bytes=found_file.st_size,
            allocated_bytes=found_file.st_blocks * BLOCK_BYTES,
            used_bytes=(pages + META_PAGES) * self._environment.stat()["psize"],
            map_bytes=self._environment.info()["map_size"],
        )

    def close(self) -> None:
        """Unmap and close the files. Idempotent."""
        self._closed = True
        self._environment.close()

    def require_open(self) -> None:
        """Raise `Misused` after `close`."""
        if self._closed:
            raise Misused(f"{self.folder} is closed")

    def require_writer(self) -> None:
        """Raise `Misused` on a thread that does not own the writes, after `close`, and if opened to be read only."""
        if threading.get_ident() != self._writer:
            raise Misused(
                f"thread {threading.current_thread().name} does not own the writes of {self.folder}"
            )
        self.require_open()
        if self._read_only:
            raise Misused(f"{self.folder} was opened to be read only")

    def _settle_file(self) -> None:
        """Before a commit is reported: check that the file is still the one we opened, and keep it longer than its meta
        page says.

        Commits into a deleted file succeed (hazard B89). And pages that a transaction allocated last and gave back
        are never written, so the file may end before the last page that LMDB counts: harmless to LMDB, but the next
        `check_data_file` could not tell it from a file cut short. So the file is kept ahead of its pages, by a hole
        that costs no disk: then it is long enough also if a crash comes right after the next commit.
        """
        found = self.require_file()
        length = self._length_of_pages()
        if found.st_size < length + FILE_HEADROOM_BYTES // 2:
            os.truncate(self._file, length + FILE_HEADROOM_BYTES)


def check_data_file(path: Path) -> None:
    """Compare an LMDB data file with its own two meta pages, by plain reads. Raises `FolderDamaged`, `SystemFailure`.

    Each commit overwrites the older meta page with the next transaction number, even ones on page 0 and odd ones on
    page 1; so the two numbers differ by one, or are both 0 in a new file. A number that does not fit would make LMDB
    show an older tree than the last acknowledged one. The last page never goes back; if it seems to, LMDB would hand
    out pages that are in use.
    """
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            first = file.read(META_PAGE.size)
            page_bytes = _page_bytes(path, first)
            file.seek(page_bytes)
            second = file.read(META_PAGE.size)
    except FileNotFoundError:
        raise FolderDamaged(str(path), "it is missing", hint=MISSING_HINT) from None
    except OSError as error:
        raise system_failure(path, "read", error) from error
    pages = []
    for page in (first, second):
        if len(page) < META_PAGE.size:
            raise FolderDamaged(str(path), f"it is cut short to {size_bytes} bytes")
        magic, version, *roots, last_page, number = META_PAGE.unpack(page)
        if magic != META_MAGIC:
            raise FolderDamaged(str(path), "a meta page has no LMDB mark")
        if version != META_VERSION:
            raise FolderDamaged(
                str(path), f"it has LMDB data format {version}, this program reads {META_VERSION}"
            )
        if any(root != NO_ROOT and root > last_page for root in roots):
            raise FolderDamaged(str(path), "a tree in it starts past the last page")
        if number and size_bytes < (last_page + 1) * page_bytes:
            raise FolderDamaged(
                str(path), f"it is cut short: {size_bytes} bytes of {(last_page + 1) * page_bytes}"
            )
        pages.append((number, last_page))
    numbers = [number for number, _last_page in pages]
    if numbers != [0, 0] and (abs(numbers[0] - numbers[1]) != 1 or numbers[0] % 2):
        raise FolderDamaged(str(path), f"its meta pages carry transaction numbers {numbers}, not neighbours")
    older, newer = sorted(pages)
    if newer[1] < older[1]:
        raise FolderDamaged(str(path), f"its last page went back from {older[1]} to {newer[1]}")


def _page_bytes(path: Path, page: bytes) -> int:
    """The page size of the file, from the start of its first meta page."""
    if len(page) < META_PAGE.size:
        raise FolderDamaged(str(path), f"it is cut short to {len(page)} bytes")
    page_bytes: int = PAGE_BYTES.unpack_from(page)[0]
    if page_bytes not in PAGE_BYTES_POSSIBLE:
        raise FolderDamaged(str(path), f"its first meta page gives a page size of {page_bytes} bytes")
    return page_bytes
