"""Files besides those of LMDB: made, replaced and removed so that a power cut leaves the old or the new.

A new file is written under another name, synced, renamed, and its folder synced: each of the four is needed
(hazard B78). Small records are CBOR maps behind a checksum. Errors of the operating system leave here mapped.
"""

import errno
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path

import cbor2

from storage.errors import FolderDamaged, OutOfSpace, StorageError, WriteFailed

FOLDER_MODE = 0o700
FILE_MODE = 0o600

CHECKSUM_BYTES = 4
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
NEW_SUFFIX = ".new"
"""Ending of the name under which a file is written before it takes its own."""


def make_folder(folder: Path) -> None:
    """Make `folder` and missing parents, readable by the owner only, and make that durable (hazard B78)."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise WriteFailed(f"cannot create {folder}: {error}") from error


def sync_folder(folder: Path) -> None:
    """fsync a folder: names created, renamed or removed in it survive a power cut from here on (hazard B78)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_open_to_others(folder: Path) -> bool:
    """Whether group or others may write in `folder`."""
    return bool(os.stat(folder).st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def write_failure(path: Path, error: OSError) -> StorageError:
    """What to raise for an `error` of writing `path`, a file that can be made anew.

    A full disk spoils such a file and nothing else, so it is `OutOfSpace`. Anything else is `WriteFailed`: a disk
    that cannot write here cannot be trusted with the log either.
    """
    if error.errno in NO_SPACE:
        return OutOfSpace(f"no space left to write {path}", hint="free some space on this disk")
    return WriteFailed(f"cannot write {path}: {error}")


def open_new(path: Path) -> int:
    """A descriptor to write and read `path`, made or emptied, for the owner only. Raises `OSError`."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`. Raises `OSError`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def publish(temporary: Path, path: Path) -> None:
    """Give the synced file `temporary` the name `path`, durably. Raises `OSError`."""
    os.rename(temporary, path)
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a crash at any step leaves the old file or the new one.

    Raises `OutOfSpace`, `WriteFailed`.
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
    """Remove `path` if it is there; the removal is durable once its folder is synced. Raises `WriteFailed`."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteFailed(f"cannot remove {path}: {error}") from error


def write_record(path: Path, fields: Mapping[str, object]) -> None:
    """Replace the small record at `path`. Raises `OutOfSpace`, `WriteFailed`."""
    data = cbor2.dumps(dict(fields), canonical=True)
    replace_file(path, zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big") + data)


def read_record(path: Path, *, bytes_max: int) -> dict[str, object] | None:
    """The fields of the record at `path`, None if there is no such file. Raises `FolderDamaged`."""
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderDamaged(str(path), f"it cannot be read: {error}") from error
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
