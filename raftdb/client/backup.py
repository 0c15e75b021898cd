"""Backups into files and streams. A file is written under another name, verified and synced before it gets its name.

Only a regular file is ever replaced, or the one that a link leads to: never a device, a pipe, or the link itself. Bytes
that were written to a stream cannot be taken back, so they are written as they arrive, and an error says that they are
not a backup.

A backup begins with a mark and ends with the SHA-256 of all bytes before that; the node gives its length beforehand.
Only these are checked here; `raftdb restore` and `raftdb doctor` check the content.
"""

import os
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from raftdb.client.http1 import Response
from raftdb.errors import RaftdbError, required
from raftdb.ownership import give_to_owner_of

if TYPE_CHECKING:
    from raftdb.client.sync_client import Client

MARK = b"raftdb snapshot\n"
"""Every backup begins with this."""
DIGEST_BYTES = 32
FILE_MODE = 0o600
"""A backup has all data, so only its owner may read it."""
DAMAGED_HINT = "nothing was kept: take the backup again"


class BackupDamaged(RaftdbError):
    """The bytes that arrived are not those that the node sent, or not a backup. A file of them was removed."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__("internal", message, hint=hint)


class BackupTaken(NamedTuple):
    """A finished backup: the index of its last entry, its length in bytes, and its SHA-256 in hexadecimal digits."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    bytes: int
    digest: str


def stream_backup(client: "Client[Any]", descriptor: int) -> BackupTaken:
    """Stream a backup of the cluster to an open file, pipe or socket, and verify it.

    Raises `BackupDamaged`, also if the connection breaks after a part was written; `OSError`, and the errors of
    `Client.backup`.
    """
    stream = _BackupStream(descriptor)
    index = client.backup(stream)
    digest = stream.verify()
    return BackupTaken(index, stream.size_bytes, digest.hex())


class NotRegular(OSError):
    """The path of a backup is a device, a pipe, or the file that is this process' standard output."""


def _place(path: Path, *, replace: bool) -> Path:
    """The path of the file to make, with links resolved. Raises `NotRegular`, `FileExistsError`, `OSError`."""
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    if found is not None and not stat.S_ISDIR(found.st_mode) and not _may_be_replaced(found):
        raise NotRegular(f"{path} is not a regular file")
    if not replace and os.path.lexists(path):
        raise FileExistsError(f"{path} exists")
    return Path(os.path.realpath(path))


def _may_be_replaced(found: os.stat_result) -> bool:
    """Whether it is a regular file, and not the one that is standard output, as which `/dev/stdout` may lead to it."""
    try:
        is_output = os.path.samestat(found, os.fstat(1))
    except OSError:
        is_output = False
    return stat.S_ISREG(found.st_mode) and not is_output


class _BackupStream:
    """A sink that writes the stream to an open file, and keeps what is needed to verify it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._expected_bytes: int | None = None
        self.size_bytes = 0
        self._start = self._end = b""
        self._hash = sha256()

    def begin(self, head: Response) -> None:
        """See `raftdb.client.http1.Sink`."""
        self._start_over()
        length = head.headers.get("content-length")
        self._expected_bytes = None if length is None else int(length)

    def write(self, piece: bytes) -> None:
        """See `raftdb.client.http1.Sink`."""
        view = memoryview(piece)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.size_bytes += len(piece)
        self._start = (self._start + piece[: len(MARK)])[: len(MARK)]
        # The last bytes are the digest of the others, so as many are held until more arrive.
        held = self._end + piece
        self._hash.update(memoryview(held)[:-DIGEST_BYTES])
        self._end = held[-DIGEST_BYTES:]

    def verify(self) -> bytes:
        """The digest of the backup, if it arrived undamaged. Raises `BackupDamaged`."""
        if self._expected_bytes is not None and self.size_bytes != self._expected_bytes:
            why = f"{self.size_bytes} bytes of {self._expected_bytes} arrived"
            raise BackupDamaged(f"the backup is damaged: {why}", hint=DAMAGED_HINT)
        if self._start != MARK:
            raise BackupDamaged("what arrived is not a backup", hint="is that address a raftdb node?")
        if self._hash.digest() != self._end:
            raise BackupDamaged("the backup is damaged: its digest does not match", hint=DAMAGED_HINT)
        return self._end

    def _start_over(self) -> None:
        """Begin anew with another answer, because the first one broke off. Raises `BackupDamaged` if bytes were
        written."""
        if self.size_bytes:
            why = f"it broke off after {self.size_bytes} bytes, which are written"
            raise BackupDamaged(f"the backup is damaged: {why}", hint="discard it, and take the backup again")


class BackupFile(_BackupStream):
    """The sink of a backup into a file, which is written beside `path`, and removed by `close` unless it was
    published."""

    def __init__(self, path: Path, *, replace: bool) -> None:
        """With `replace` it replaces a regular file of that name, or the one that a link of that name leads to. Nothing
        is done on the disk before `open`."""
        super().__init__(-1)
        self._path = path
        self._replace = replace
        self._temporary: Path | None = None

    def open(self) -> None:
        """Make the file. Raises `NotRegular`, `FileExistsError`, `OSError`."""
        path = self._path = _place(self._path, replace=self._replace)
        # The name does not contain that of `path`, which may be as long as a name can be.
        temporary = path.with_name(f".raftdb-backup.{os.getpid()}.part")
        with suppress(FileNotFoundError):
            temporary.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(temporary, flags, FILE_MODE)
        self._temporary = temporary
        # The owner is that of the file that is replaced, if there is one.
        give_to_owner_of(self._descriptor, path if path.exists() else path.parent)

    def close(self) -> None:
        """Close the file, and remove it unless it was published."""
        if self._temporary is not None:
            os.close(self._descriptor)
            with suppress(FileNotFoundError):
                self._temporary.unlink()

    def publish(self) -> None:
        """Make the file durable, and give it its name. Raises `OSError`, and `FileExistsError` unless it may replace
        one."""
        temporary = required(self._temporary, "file of a backup that is open")
        os.fsync(self._descriptor)
        if self._replace:
            os.rename(temporary, self._path)
        else:
            # Unlike a rename, a link never replaces a file that was made meanwhile.
            try:
                os.link(temporary, self._path)
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                if os.path.lexists(self._path):
                    raise FileExistsError(f"{self._path} exists") from None
                os.rename(temporary, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _start_over(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size_bytes = 0
        self._start = self._end = b""
        self._hash = sha256()
