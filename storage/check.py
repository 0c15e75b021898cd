"""Examining a data folder without changing anything in it: whose it is, what it holds, and every checksum.

Findings come one by one, in the order of what they depend on: a page damaged within LMDB's own tree may end the
process by a signal (hazard B82), and what was found before is then already known.
"""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

from storage.env import DATA_FILE
from storage.errors import (
    DAMAGE_HINT,
    FolderDamaged,
    FolderForeign,
    FolderLocked,
    SnapshotDamaged,
    SnapshotForeign,
    StorageError,
    SystemFailure,
)
from storage.folder import (
    INCOMING_FOLDER,
    LOG_FOLDER,
    RECOVERING_FILE,
    RESTORING_FILE,
    STATE_FOLDER,
)
from storage.identity import (
    IDENTITY_FILE,
    LOCK_FILE,
    Identity,
    check_owner,
    read_identity,
    share_lock,
)
from storage.log_store import LmdbLogStore
from storage.receive import COMPLETE_FILE, SNAPSHOT_FILE
from storage.send import SnapshotReader
from storage.state_store import LmdbStateStore
from storage.system_failures import mapped


class Finding(NamedTuple):
    """One thing examined: a name, what was found, whether that is as it should be, and what to do if not.

    `reason`: why the operating system did not let it be examined; the finding then says nothing about its soundness.
    """

    name: str
    value: str | int | bytes | None
    ok: bool = True
    advice: str | None = None
    reason: str | None = None


def finding_of(name: str, error: StorageError) -> Finding:
    """The finding `name` for an error that was met while examining it."""
    return Finding(
        name, error.message, False, error.hint, error.reason if isinstance(error, SystemFailure) else None
    )


LookAtState = Callable[[LmdbStateStore], Iterator[Finding]]
"""Findings about what a sound state holds, which only the caller understands."""


def examine(folder: Path, look: LookAtState = lambda state: iter(())) -> Iterator[Finding]:
    """Examine the data folder `folder`; it is kept from being used meanwhile, and nothing is written.

    Names, in this order as far as it comes: lock, restore, identity (cluster, node, folder, origin), recovery, owner of
    log or state if that is not right, log (range, base term, last term, hard state as the caller wrote it, size), state
    (checkpoint, keys, size, and what `look` finds in it), incoming, consistency.
    """
    if not folder.is_dir():
        yield Finding("folder", str(folder), False, "there is no such folder")
        return
    try:
        lock = share_lock(folder)
    except FolderLocked as error:
        yield Finding("lock", error.message, False, "stop that process, and examine the folder then")
        return
    except SystemFailure as error:
        yield finding_of("lock", error)
        return
    try:
        yield Finding("lock", "free" if lock is not None else "was never taken")
        with mapped(folder, "examine"):
            yield from _examine_files(folder, look)
    finally:
        if lock is not None:
            os.close(lock)


def examine_snapshot(path: Path) -> Iterator[Finding]:
    """Examine a snapshot or backup file: header and digest."""
    try:
        reader = SnapshotReader(path)
    except (SnapshotDamaged, SnapshotForeign, SystemFailure) as error:
        yield finding_of("snapshot", error)
        return
    try:
        manifest = reader.manifest
        yield Finding("cluster", manifest.cluster_id)
        yield Finding("index", manifest.index)
        yield Finding("term", manifest.term)
        yield Finding("configuration", manifest.configuration)
        yield Finding("size", reader.size_bytes)
        reader.verify()
        yield Finding("digest", reader.digest.hex())
    except (SnapshotDamaged, SystemFailure) as error:
        yield finding_of("digest", error)
    finally:
        reader.close()


def _examine_files(folder: Path, look: LookAtState) -> Iterator[Finding]:
    restoring = (folder / RESTORING_FILE).exists()
    try:
        identity = read_identity(folder)
    except (FolderDamaged, FolderForeign, SystemFailure) as error:
        yield finding_of("identity", error)
        identity = None
    else:
        if identity is None and restoring:
            advice = "restore again into the same folder"
            yield Finding("restore", "it was cut short", False, advice)
            return
        if identity is None:
            found = {path.name for path in folder.iterdir()} - {LOCK_FILE}
            yield Finding("identity", "none", not found, f"{IDENTITY_FILE} is missing" if found else None)
        else:
            yield Finding("cluster", identity.cluster_id)
            yield Finding("node", identity.node_id)
            yield Finding("folder", identity.node_uuid)
            if identity.origin is not None:
                yield Finding("origin", identity.origin)
            if not identity.bootstrapped:
                yield Finding("creation", "it was cut short", True, "starting the node goes on with it")
    if (folder / RECOVERING_FILE).exists():
        yield Finding("recovery", "it was cut short", False, "recover it again: 'raftdb recover'")
    if identity is not None and identity.bootstrapped:
        yield from _examine_owners(folder, identity)
    missing_ok = identity is None or not identity.bootstrapped
    log = yield from _examine_log(folder, missing_ok=missing_ok)
    state = yield from _examine_state(folder, look, missing_ok=missing_ok)
    yield from _examine_incoming(folder / INCOMING_FOLDER)
    if log is not None and state is not None:
        yield _compare(log, state)


def _examine_owners(folder: Path, identity: Identity) -> Iterator[Finding]:
    """Findings about log or state that belong to another folder, or that have no record of their owner."""
    for name in (LOG_FOLDER, STATE_FOLDER):
        if not (folder / name / DATA_FILE).exists():
            # The examination of the log or the state says so itself.
            continue
        try:
            check_owner(folder / name, identity)
        except (FolderDamaged, FolderForeign, SystemFailure) as error:
            yield finding_of(f"owner of {name}", error)


class _Log(NamedTuple):
    base_index: int
    base_term: int
    last_index: int
    term_starts: tuple[tuple[int, int], ...]

    def term_at(self, index: int) -> int | None:
        """The term of an index that the log knows, None for others."""
        if index == self.base_index:
            return self.base_term
        if not self.base_index < index <= self.last_index:
            return None
        return max(start for start in self.term_starts if start[0] <= index)[1]


def _examine_log(folder: Path, *, missing_ok: bool) -> Generator[Finding, None, _Log | None]:
    """Findings about the log; returns its range, None if it is damaged or missing."""
    if missing_ok and not (folder / LOG_FOLDER / DATA_FILE).exists():
        return None
    try:
        log = LmdbLogStore(folder / LOG_FOLDER, create=False, read_only=True)
    except (FolderDamaged, FolderForeign, SystemFailure) as error:
        yield finding_of("log", error)
        return None
    try:
        usage = log.usage()
        yield Finding("log size", usage.file_bytes)
        yield Finding("log reusable", usage.reusable_bytes)
        found = log.load()
    except (FolderDamaged, FolderForeign, SystemFailure) as error:
        yield finding_of("log", error)
        return None
    finally:
        log.close()
    yield Finding("hard state", found.hard_state)
    yield Finding("log first", found.base_index + 1)
    yield Finding("log last", found.last_index)
    last_term = found.term_starts[-1][1] if found.term_starts else found.base_term
    yield Finding("log last term", last_term)
    yield Finding("log checksums", f"{found.last_index - found.base_index} entries verified")
    return _Log(found.base_index, found.base_term, found.last_index, found.term_starts)


def _examine_state(
    folder: Path, look: LookAtState, *, missing_ok: bool
) -> Generator[Finding, None, tuple[int, int] | None]:
    """Findings about the state; returns its checkpoint, None if it is damaged or missing."""
    if missing_ok and not (folder / STATE_FOLDER / DATA_FILE).exists():
        return None
    try:
        state = LmdbStateStore(folder / STATE_FOLDER, create=False, read_only=True)
    except (FolderDamaged, FolderForeign, SystemFailure) as error:
        yield finding_of("state", error)
        return None
    try:
        usage = state.usage()
        yield Finding("state size", usage.file_bytes)
        yield Finding("state reusable", usage.reusable_bytes)
        yield Finding("checkpoint", state.checkpoint[0])
        yield Finding("checkpoint term", state.checkpoint[1])
        yield Finding("state checksums", f"{state.verify()} keys verified")
        yield from look(state)
        return state.checkpoint
    except (FolderDamaged, FolderForeign, SystemFailure) as error:
        yield finding_of("state", error)
        return None
    finally:
        state.close()


def _examine_incoming(folder: Path) -> Iterator[Finding]:
    """Findings about a snapshot that is being received: it is only a copy, so nothing here is damage."""
    if (folder / COMPLETE_FILE).exists():
        yield Finding("incoming", "a snapshot is complete, and not installed yet")
    elif (folder / SNAPSHOT_FILE).exists():
        data = folder / DATA_FILE
        received = data.stat().st_size if data.exists() else 0
        yield Finding("incoming", f"a snapshot is being received, {received} bytes of it are there")


def _compare(log: _Log, state: tuple[int, int]) -> Finding:
    """Whether log and state belong together (hazards B31, B34)."""
    index, term = state
    if index < log.base_index:
        why = (
            f"the state ends at {index}, the log begins at {log.base_index + 1}: the entries between are lost"
        )
        return Finding("log and state", why, False, DAMAGE_HINT)
    if log.term_at(index) == term:
        return Finding("log and state", f"{log.last_index - index} entries after the checkpoint")
    return Finding(
        "log and state",
        "the state is ahead of the log, or another one",
        True,
        "a snapshot was installed and the log not yet reset: the next start does that",
    )
