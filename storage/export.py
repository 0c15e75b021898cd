"""Writing a snapshot: a copy of the state as LMDB holds it, framed, hashed, synced, and there as a whole or not at all.

LMDB copies into a pipe, in one call that does not hold the interpreter lock; another thread takes the copy out, writes
it and syncs it in steps. A gigabyte of dirty pages at once would hold up the log, whose fsync shares the disk.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from storage.errors import StorageError
from storage.files import NEW_SUFFIX, open_new, publish, write_all, write_failure
from storage.manifest import HEADER_BYTES, Manifest, encode_header

SYNC_BYTES = 8 << 20
"""Written between two syncs."""
BUFFER_BYTES = 1 << 20
"""Size of the pipe, if the system grants it, and of what is read, written and hashed at a time."""


def write_container(
    path: Path,
    manifest: Manifest,
    *,
    copy: Callable[[int], None],
    bytes_per_second: int | None = None,
) -> Manifest:
    """Make the snapshot `path` of the data that `copy` writes to the descriptor it is given.

    Returns `manifest` with the size of the data. A crash leaves no `path`, or the one that was there, and perhaps a
    file of that name with `.new` behind it. Raises what `copy` raises, `OutOfSpace`, `WriteFailed`.
    """
    temporary = path.with_name(path.name + NEW_SUFFIX)
    try:
        descriptor = open_new(temporary)
        try:
            data_bytes = _pump(copy, descriptor, bytes_per_second)
            manifest = replace(manifest, data_bytes=data_bytes)
            write_all(descriptor, encode_header(manifest), 0)
            digest = hash_file(descriptor, HEADER_BYTES + data_bytes)
            write_all(descriptor, digest, HEADER_BYTES + data_bytes)
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


def _pump(copy: Callable[[int], None], descriptor: int, bytes_per_second: int | None) -> int:
    """Run `copy` into a pipe and write what comes out of it behind the header; returns how many bytes it was."""
    source, sink = os.pipe2(os.O_CLOEXEC)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        # A small pipe works too, if the user has used up what the system grants.
        with suppress(OSError):
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, BUFFER_BYTES)
    results: list[int | BaseException] = []

    def drain() -> None:
        try:
            results.append(_drain(source, descriptor, bytes_per_second))
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


def _drain(source: int, descriptor: int, bytes_per_second: int | None) -> int:
    """Write everything that comes from `source` behind the header, at a limited rate. Raises `OSError`."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    started = time.monotonic()
    total = unsynced = 0
    while count := os.readv(source, [buffer]):
        write_all(descriptor, buffer[:count], HEADER_BYTES + total)
        total += count
        unsynced += count
        if unsynced >= SYNC_BYTES:
            os.fdatasync(descriptor)
            unsynced = 0
        if bytes_per_second is not None:
            time.sleep(max(0.0, started + total / bytes_per_second - time.monotonic()))
    return total
