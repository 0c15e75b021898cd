"""Files besides those of LMDB: made, replaced and removed so that a power cut leaves the old or the new.

A new file is written under another name, synced, renamed, and its folder synced: each of the four is needed
(hazard B78). Small records are CBOR maps after a checksum. Errors of the operating system leave here mapped.
"""

import errno
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cbor2

from storage.errors import MISSING_HINT, FolderDamaged, WriteFailed
from storage.system_failures import mapped, system_failure, write_failure

FOLDER_MODE = 0o700
FILE_MODE = 0o600

CHECKSUM_BYTES = 4
NO_OWNERS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP})
"""The errors of a system that does not let root change a file's owner: a container without that right has one user
only, and a file system without owners (on a memory stick, or a share) has no owner to give it to."""
NEW_SUFFIX = ".new"
"""Ending of the name under which a file is written before it takes its own."""


def make_folder(folder: Path) -> None:
    """Make `folder` and missing parents, for the owner of what they are made in, and make that durable (hazard B78).

    Raises `SystemFailure`, `OutOfSpace`.
    """
    with mapped(folder, "make"):
        if folder.is_dir():
            return
        make_folder(folder.parent)
        try:
            folder.mkdir(mode=FOLDER_MODE)
        except FileExistsError:
            if not folder.is_dir():
                raise
        else:
            give_to_owner(folder, folder.parent)
        sync_folder(folder.parent)


def give_to_owner(made: Path | int, folder: Path) -> None:
    """Give what was just made in `folder`, a path or a descriptor, to the folder's owner, if we are root.

    A file of root in the folder of a service user would make that service's next start fail. Use this only for files
    that are surely new: giving away a file that another user has put there would be a way for that user to get hold of
    any file.
    """
    if os.geteuid() != 0:
        return
    owner = folder.stat()
    try:
        if isinstance(made, int):
            os.fchown(made, owner.st_uid, owner.st_gid)
        else:
            os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_OWNERS:
            raise


def sync_folder(folder: Path) -> None:
    """fsync a folder: names created, renamed or removed in it survive a power cut from here on (hazard B78)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Openness(NamedTuple):
    """Who beside its owner may write in a folder."""

    group: bool
    others: bool


def openness(folder: Path) -> Openness:
    """Who beside its owner may write in `folder`. Raises `SystemFailure`."""
    with mapped(folder):
        mode = folder.stat().st_mode
    return Openness(bool(mode & stat.S_IWGRP), bool(mode & stat.S_IWOTH))


def open_to_write(path: Path, flags: int) -> int:
    """A descriptor of `path`, made for the owner of its folder if it is missing. Raises `OSError`, also for a link:
    storage makes no links, and root would write wherever one leads."""
    flags |= os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return os.open(path, flags, FILE_MODE)
    try:
        give_to_owner(descriptor, path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_new(path: Path) -> int:
    """A descriptor to write and read `path`, made or emptied, for the owner only. Raises `OSError`."""
    return open_to_write(path, os.O_RDWR | os.O_TRUNC)


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`. Raises `OSError`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def require_in_use(path: Path, inode: tuple[int, int]) -> os.stat_result:
    """What is at `path`. Raises `WriteFailed` if that is not the file (device, inode) which is open: writes to a file
    that was deleted succeed (hazard B89)."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise WriteFailed(f"{path} was deleted while in use", hint=MISSING_HINT) from None
    if (found.st_dev, found.st_ino) != inode:
        raise WriteFailed(f"{path} was replaced while in use", hint=MISSING_HINT)
    return found


def publish(temporary: Path, path: Path) -> None:
    """Give the synced file `temporary` the name `path`, durably. Raises `OSError`."""
    os.rename(temporary, path)
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a crash at any step leaves the old file or the new one.

    Raises `OutOfSpace`, `SystemFailure`, `WriteFailed`.
    """
    temporary = path.with_name(path.name + NEW_SUFFIX)
    try:
        descriptor = open_new(temporary)
        try:
            write_all(descriptor, content, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        publish(temporary, path)
    except OSError as error:
        raise write_failure(path, error) from error


def remove_file(path: Path) -> None:
    """Remove `path` if it is there; the removal is durable once its folder is synced. Raises `SystemFailure`."""
    with mapped(path, "remove"):
        path.unlink(missing_ok=True)


def write_record(path: Path, fields: Mapping[str, object]) -> None:
    """Replace the small record at `path`. Raises `OutOfSpace`, `SystemFailure`, `WriteFailed`."""
    data = cbor2.dumps(dict(fields), canonical=True)
    replace_file(path, zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big") + data)


def read_record(path: Path, *, bytes_max: int) -> dict[str, object] | None:
    """The fields of the record at `path`, None if there is no such file. Raises `FolderDamaged`, `SystemFailure`."""
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise system_failure(path, "read", error) from error
    checksum, data = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
    if not data or zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big") != checksum:
        raise FolderDamaged(str(path), "its checksum does not match")
    try:
        fields: object = cbor2.loads(data)
    except cbor2.CBORDecodeError as error:
        raise FolderDamaged(str(path), f"it cannot be decoded: {error}") from error
    if not isinstance(fields, dict):
        raise FolderDamaged(str(path), "it is not a record")
    return fields
