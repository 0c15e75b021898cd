"""Writing a snapshot: a copy of the state as LMDB holds it, framed, hashed, synced, and there as a whole or not at all.

LMDB copies into a pipe, in one call that does not hold the interpreter lock; another thread takes the copy out, hashes
and writes it and syncs it in steps. A gigabyte of dirty pages at once would hold up the log, whose fsync shares the
disk.
"""

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from storage.errors import StorageError
from storage.files import NEW_SUFFIX, open_new, publish, write_all
from storage.manifest import HEADER_BYTES, Manifest, encode_header
from storage.system_failures import write_failure

SYNC_BYTES = 8 << 20
"""Written between two syncs."""
BUFFER_BYTES = 1 << 20
"""Size of the pipe, if the system grants it, and of what is read, written and hashed at a time."""


class Hash(Protocol):
    """A hash object of `hashlib`, as far as it is used here."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in what comes next."""

    def digest(self) -> bytes:
        """The digest of all taken in so far."""
        ...


def write_container(
    path: Path,
    manifest: Manifest,
    *,
    copy: Callable[[int], None],
) -> Manifest:
    """Make the snapshot `path` of the data that `copy` writes to the descriptor it is given.

    `manifest` says how much that is expected to be: the digest covers the header first, so with the right number the
    data is hashed as it passes by, and otherwise it is read again. Returns `manifest` with the size of the data. A
    crash leaves no `path`, or the one that was there, and perhaps a file of that name followed by `.new`. Raises
    what `copy` raises, `OutOfSpace`, `WriteFailed`.
    """
    temporary = path.with_name(path.name + NEW_SUFFIX)
    try:
        descriptor = open_new(temporary)
        try:
            hashed = sha256(encode_header(manifest))
            data_bytes = _pump(copy, descriptor, hashed)
            is_expected = data_bytes == manifest.data_bytes
            manifest = replace(manifest, data_bytes=data_bytes)
            content_bytes = HEADER_BYTES + data_bytes
            write_all(descriptor, encode_header(manifest), 0)
            digest = hashed.digest() if is_expected else hash_file(descriptor, content_bytes)
            write_all(descriptor, digest, content_bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        publish(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_failure(path, error) from error
    except StorageError:
        temporary.unlink(missing_ok=True)
        raise
    return manifest


def hash_file(descriptor: int, size_bytes: int, *, start: bytes = b"") -> bytes:
    """SHA-256 of `start` and the first `size_bytes` of an open file, in large steps without the interpreter lock.

    A shorter file gives the digest of what it has. Raises `OSError`.
    """
    hashed = sha256(start)
    buffer = memoryview(bytearray(BUFFER_BYTES))
    offset = 0
    while offset < size_bytes:
        count = os.preadv(descriptor, [buffer[: size_bytes - offset]], offset)
        if not count:
            break
        hashed.update(buffer[:count])
        offset += count
    return hashed.digest()


def _pump(copy: Callable[[int], None], descriptor: int, hashed: Hash) -> int:
    """Run `copy` into a pipe, hash and write what comes out of it; returns how many bytes it was."""
    source, sink = os.pipe2(os.O_CLOEXEC)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        # A small pipe works too, if the user has used up what the system grants.
        with suppress(OSError):
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, BUFFER_BYTES)
    results: list[int | BaseException] = []

    def drain() -> None:
        try:
            results.append(_drain(source, descriptor, hashed))
        except BaseException as error:  # noqa: BLE001 - raised again below, where somebody can catch it
            results.append(error)
        finally:
            # With no reader left, a copy that still goes on ends with an error instead of waiting for ever.
            os.close(source)

    drainer = threading.Thread(target=drain, name="snapshot-drain", daemon=True)
    drainer.start()
    failure: BaseException | None = None
    try:
        copy(sink)
    except StorageError as error:
        failure = error
    finally:
        os.close(sink)
        drainer.join()
    # If both failed, the disk is the cause and the broken pipe its consequence.
    outcome = results[0]
    if isinstance(outcome, BaseException):
        raise outcome
    if failure is not None:
        raise failure
    return outcome


def _drain(source: int, descriptor: int, hashed: Hash) -> int:
    """Hash everything that comes from `source`, and write it after the header. Raises `OSError`."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    total = unsynced = 0
    while count := os.readv(source, [buffer]):
        hashed.update(buffer[:count])
        write_all(descriptor, buffer[:count], HEADER_BYTES + total)
        total += count
        unsynced += count
        if unsynced >= SYNC_BYTES:
            os.fdatasync(descriptor)
            unsynced = 0
    return total
