"""The data folder of one node: held by one process, and sure of whose it is.

    LOCK            flock while a process uses the folder; holds its pid and node id
    identity.cbor   whose folder this is; written twice in its life, each time temp, fsync, rename, fsync folder
    log/  state/    the two LMDB environments

A new folder gets its identity first, with `bootstrapped` false, then log and state, then `bootstrapped` true. So a
crash in between is taken up where it stopped, and from then on a missing log is a lost log, never a new one: LMDB
itself would create an empty one, that is, a voter without memory (hazard B89).

Considered and rejected: deleting LOCK at the end. A process that waits for the old file would then hold a lock that
nobody else can see.
"""

import fcntl
import os
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import cbor2

from storage.contract import LogStore
from storage.env import DATA_FILE, FILE_MODE, is_open_to_others, make_folder, sync_folder
from storage.errors import FolderDamaged, FolderForeign, FolderLocked, Misused, WriteFailed
from storage.log_store import LmdbLogStore
from storage.state_store import LmdbStateStore

FORMAT_VERSION = 1
"""Version of everything in the folder. A folder with a higher one is refused, never converted back."""

LOCK_FILE = "LOCK"
IDENTITY_FILE = "identity.cbor"
LOG_FOLDER = "log"
STATE_FOLDER = "state"

CHECKSUM_BYTES = 4
LOCK_BYTES_MAX = 1024
IDENTITY_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose folder this is. `node_uuid` differs for every folder ever made, also under one node id (hazard B36).

    `bootstrapped`: log and state exist, and may hold what this node has promised.
    """

    cluster_id: str
    node_id: str
    node_uuid: str
    format_version: int = FORMAT_VERSION
    bootstrapped: bool = False


class DataFolder:
    """A locked data folder. `identity` is None until `create` gave it one."""

    def __init__(self, path: Path, *, node_id: str, cluster_id: str | None = None) -> None:
        """Lock `path`, made if missing, and check that it is node `node_id`'s, and of `cluster_id` if given.

        Raises `FolderLocked`, `FolderForeign`, `FolderDamaged`; `WriteFailed` if it cannot be made. Changes nothing
        but LOCK.
        """
        self.path = path
        self.identity: Identity | None = None
        make_folder(path)
        if is_open_to_others(path):
            raise FolderForeign(f"{path} can be written by other users", hint=f"chmod 700 {path}")
        self._lock = self._take_lock(node_id)
        try:
            self.identity = self._read_identity()
            self._check_identity(node_id, cluster_id)
            self._check_files()
        except BaseException:
            self.close()
            raise

    def create(
        self,
        *,
        cluster_id: str,
        node_id: str,
        node_uuid: str,
        fill_log: Callable[[LogStore], None] | None = None,
    ) -> Identity:
        """Make an empty folder this node's, with empty log and state; durable when it returns.

        `fill_log` writes what a log begins with. It may run again after a crash, so it sees what is there.

        Takes up a creation that a crash cut short, under the identity given then if it differs in the uuid only.
        Raises `Misused` if the folder is complete already, `FolderForeign`, `WriteFailed`.
        """
        if self.identity is not None and self.identity.bootstrapped:
            raise Misused(f"{self.path} has an identity already")
        if self.identity is None:
            self.identity = Identity(cluster_id, node_id, node_uuid)
            self._write_identity(self.identity)
        self._check_identity(node_id, cluster_id)
        log = LmdbLogStore(self.path / LOG_FOLDER, create=True)
        try:
            if fill_log is not None:
                fill_log(log)
        finally:
            log.close()
        LmdbStateStore(self.path / STATE_FOLDER, create=True).close()
        complete = replace(self.identity, bootstrapped=True)
        self._write_identity(complete)
        self.identity = complete
        return complete

    def open_log(self) -> LmdbLogStore:
        """The log of this folder. Raises `FolderDamaged`; `Misused` before `create`."""
        self._require_bootstrapped()
        return LmdbLogStore(self.path / LOG_FOLDER, create=False)

    def open_state(self) -> LmdbStateStore:
        """The state of this folder. Raises `FolderDamaged`; `Misused` before `create`."""
        self._require_bootstrapped()
        return LmdbStateStore(self.path / STATE_FOLDER, create=False)

    def close(self) -> None:
        """Give the lock back. Idempotent; close the stores first."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _take_lock(self, node_id: str) -> int:
        """Lock LOCK and write who we are into it; returns the descriptor that holds the lock."""
        try:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise WriteFailed(f"cannot open {self.path / LOCK_FILE}: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {node_id}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, LOCK_BYTES_MAX, 0).decode(errors="replace").split()
            os.close(descriptor)
            pid = int(holder[0]) if holder and holder[0].isdecimal() else None
            node = holder[1] if len(holder) > 1 else None
            raise FolderLocked(str(self.path), pid=pid, node=node) from None
        except OSError as error:
            os.close(descriptor)
            raise WriteFailed(f"cannot lock {self.path / LOCK_FILE}: {error}") from error
        return descriptor

    def _read_identity(self) -> Identity | None:
        path = self.path / IDENTITY_FILE
        try:
            with path.open("rb") as file:
                content = file.read(IDENTITY_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FolderDamaged(str(path), f"it cannot be read: {error}") from error
        checksum, data = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
        if not data or zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big") != checksum:
            raise FolderDamaged(str(path), "its checksum does not match")
        # The checksum says that we wrote it: what cannot be read now is a later format, not an accident.
        try:
            fields = cbor2.loads(data)
            version = fields["format_version"]
            identity = Identity(**fields) if version == FORMAT_VERSION else None
        except (cbor2.CBORDecodeError, TypeError, KeyError) as error:
            raise FolderDamaged(str(path), f"it cannot be decoded: {error}") from error
        if identity is None:
            raise FolderForeign(
                f"{self.path} has format version {version}, this program reads {FORMAT_VERSION}",
                hint="start it with the version of raftdb that wrote it",
            )
        return identity

    def _write_identity(self, identity: Identity) -> None:
        """Replace the identity so that a crash at any step leaves the old one or the new one (hazard B78)."""
        data = cbor2.dumps(asdict(identity), canonical=True)
        temporary = self.path / f"{IDENTITY_FILE}.new"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big") + data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.path / IDENTITY_FILE)
            sync_folder(self.path)
        except OSError as error:
            raise WriteFailed(f"cannot write {self.path / IDENTITY_FILE}: {error}") from error

    def _check_identity(self, node_id: str, cluster_id: str | None) -> None:
        """The identity, if there is one, is the expected one (hazard B90)."""
        found = self.identity
        if found is None:
            return
        if found.node_id != node_id:
            raise FolderForeign(f"{self.path} belongs to node {found.node_id}, not to {node_id}")
        if cluster_id is not None and found.cluster_id != cluster_id:
            raise FolderForeign(f"{self.path} belongs to cluster {found.cluster_id}, not to {cluster_id}")

    def _check_files(self) -> None:
        """Identity and data files are both there or both not (hazard B89)."""
        for name in (LOG_FOLDER, STATE_FOLDER):
            path = self.path / name / DATA_FILE
            if self.identity is None and path.exists():
                raise FolderDamaged(str(self.path / IDENTITY_FILE), f"it is missing, but {path} exists")
            if self.identity is not None and self.identity.bootstrapped and not path.exists():
                raise FolderDamaged(str(path), "it is missing, but this node has been running on it")

    def _require_bootstrapped(self) -> None:
        if self.identity is None or not self.identity.bootstrapped:
            raise Misused(f"{self.path} has no identity yet: create it first")
