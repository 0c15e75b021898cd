"""The identity of a folder, a record with a checksum; and the lock that one process at a time holds.

Considered and rejected: deleting LOCK at the end. A process that waits for the old file would then hold a lock that
nobody else can see.
"""

import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.errors import (
    DAMAGE_HINT,
    MISSING_HINT,
    FolderDamaged,
    FolderForeign,
    FolderLocked,
    other_format,
)
from storage.files import open_to_write, read_record, write_record
from storage.system_failures import mapped, system_failure

FORMAT_VERSION = 1
"""Version of everything in the folder. A folder with a higher one is refused, never converted back."""

LOCK_FILE = "LOCK"
IDENTITY_FILE = "identity.cbor"
OWNER_FILE = "owner.cbor"
"""In the folders of log and state: which data folder they belong to."""

LOCK_BYTES_MAX = 1024
IDENTITY_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """The node and cluster that a folder belongs to. `node_uuid` differs for every folder ever made, also under one
    node id (hazard B36).

    `bootstrapped`: log and state exist, and may hold what this node has promised. `origin`: what the first members of
    this cluster began with, as the caller names it: a backup, by its hexadecimal digest, or what was left of another
    cluster; None for a cluster that began empty, and for a node that joined one later.
    """

    cluster_id: str
    node_id: str
    node_uuid: str
    format_version: int = FORMAT_VERSION
    bootstrapped: bool = False
    origin: str | None = None


def read_identity(folder: Path) -> Identity | None:
    """The identity of `folder`, None if it has none. Raises `FolderDamaged`, `FolderForeign` for a later format."""
    path = folder / IDENTITY_FILE
    fields = read_record(path, bytes_max=IDENTITY_BYTES_MAX)
    if fields is None:
        return None
    # The checksum says that raftdb wrote it: a record that cannot be read now has a later format and is not damaged.
    version = fields.get("format_version")
    if version != FORMAT_VERSION:
        raise other_format(str(folder), version, FORMAT_VERSION)
    try:
        return Identity(**fields)  # type: ignore[arg-type]  # checked by the checksum
    except TypeError as error:
        raise FolderDamaged(str(path), f"it cannot be decoded: {error}") from error


def write_identity(folder: Path, identity: Identity) -> None:
    """Replace the identity so that a crash at any step leaves the old one or the new one (hazard B78)."""
    write_record(folder / IDENTITY_FILE, asdict(identity))


def write_owner(part: Path, identity: Identity) -> None:
    """Mark `part`, the folder of the log or of the state, as one of the folder with this identity. Durable.

    Log and state may be on disks of their own, and a disk may be mounted at the wrong place.
    """
    write_record(part / OWNER_FILE, {"node_id": identity.node_id, "node_uuid": identity.node_uuid})


def check_owner(part: Path, identity: Identity) -> None:
    """Raises `FolderForeign` if `part` is of another data folder, `FolderDamaged` if nothing says whose it is."""
    path = part / OWNER_FILE
    fields = read_record(path, bytes_max=IDENTITY_BYTES_MAX)
    if fields is None:
        raise FolderDamaged(str(path), f"it is missing, but {part.name} is there", hint=MISSING_HINT)
    if fields.get("node_uuid") != identity.node_uuid:
        raise FolderForeign(
            f"{part} belongs to another data folder, one of node {fields.get('node_id')}",
            hint=f"bring back the {part.name} that belongs here, or mount its disk; if it is gone, {DAMAGE_HINT}",
        )


def take_lock(folder: Path, node_id: str) -> int:
    """Lock `folder` and write who we are into LOCK; returns the descriptor that holds the lock until it is closed.

    Raises `FolderLocked` (hazard B88), `SystemFailure`.
    """
    path = folder / LOCK_FILE
    with mapped(path, "open"):
        descriptor = open_to_write(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {node_id}\n".encode(), 0)
    except BlockingIOError:
        pid, node = _holder(descriptor)
        os.close(descriptor)
        raise FolderLocked(str(folder), pid=pid, node=node) from None
    except OSError as error:
        os.close(descriptor)
        raise system_failure(path, "lock", error) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def share_lock(folder: Path) -> int | None:
    """Keep every process from taking `folder` while the descriptor is open, without writing anything.

    None if there is no LOCK: no process ever used the folder. Raises `FolderLocked`, `SystemFailure`.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise system_failure(folder / LOCK_FILE, "open", error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, node = _holder(descriptor)
        os.close(descriptor)
        raise FolderLocked(str(folder), pid=pid, node=node) from None
    return descriptor


def _holder(descriptor: int) -> tuple[int | None, str | None]:
    """(pid, node id) that LOCK names, None where it is unreadable."""
    words = os.pread(descriptor, LOCK_BYTES_MAX, 0).decode(errors="replace").split()
    return (
        int(words[0]) if words and words[0].isdecimal() else None,
        words[1] if len(words) > 1 else None,
    )
