"""Making a new cluster's first data folder from a backup, under an identity of its own.

The backup is received like a snapshot from a peer, and so verified as a whole, before anything else is made. While the
file `restoring` stands in the folder, no node starts on it, and another restore begins anew; only the identity makes
the folder a node's. So a crash at any step leaves a folder that is not restored, or one that is.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from storage.contract import LogStore, StateStore
from storage.errors import FolderForeign, SnapshotDamaged
from storage.files import NEW_SUFFIX, make_folder, open_new, remove_file, sync_folder
from storage.folder import (
    INCOMING_FOLDER,
    LOG_FOLDER,
    RESTORING_FILE,
    STATE_FOLDER,
    refuse_if_open_to_others,
)
from storage.identity import IDENTITY_FILE, LOCK_FILE, Identity, take_lock, write_identity, write_owner
from storage.log_store import LmdbLogStore
from storage.manifest import Manifest
from storage.receive import SnapshotReceiver
from storage.send import SnapshotReader
from storage.state_store import LmdbStateStore
from storage.system_failures import mapped, write_failure

PIECE_BYTES = 4 << 20
"""Copied and checked at a time."""

HARMLESS = frozenset({LOCK_FILE, "lost+found"})
"""The names that an empty folder may hold: the second is in every freshly made file system."""
HALF_FOLDERS = (INCOMING_FOLDER, LOG_FOLDER, STATE_FOLDER)
HALF_FILES = (IDENTITY_FILE + NEW_SUFFIX,)
HALF_RESTORED = frozenset({RESTORING_FILE, *HALF_FOLDERS, *HALF_FILES})
"""The names that a restore that was cut short may have left."""


def restore_folder(
    snapshot: Path,
    folder: Path,
    *,
    cluster_id: str,
    node_id: str,
    node_uuid: str,
    fill_log: Callable[[LogStore, Manifest], None],
    fill_state: Callable[[StateStore, Manifest], None] | None = None,
) -> Manifest:
    """Make the empty or missing `folder` that of node `node_id` of the new `cluster_id`, with the state of `snapshot`.

    `fill_state` may change the state and move it on, by `write`; what it wrote is flushed. The log begins after the
    state's checkpoint, and `fill_log` writes the entries that it begins with. Both run again after a crash, on a state
    and a log made anew. The identity remembers the snapshot's digest. Durable when it returns.

    Raises `FolderForeign` if the folder is not empty, `FolderLocked`; `SnapshotDamaged`, `SnapshotForeign`, and then
    the folder is as it was, but for its LOCK; `OutOfSpace`, `SystemFailure`, `WriteFailed`.
    """
    reader = SnapshotReader(snapshot)
    try:
        make_folder(folder)
        refuse_if_open_to_others(folder)
        if not (folder / LOCK_FILE).exists():
            # No node uses such a folder, and not even a lock file may be left in a folder that belongs to something
            # else.
            _require_empty(folder)
        lock = take_lock(folder, node_id)
        try:
            _require_empty(folder)
            _mark(folder)
            _clear(folder)
            identity = Identity(cluster_id, node_id, node_uuid, bootstrapped=True, origin=reader.digest.hex())
            return _restore(reader, folder, identity, fill_state, fill_log)
        finally:
            os.close(lock)
    finally:
        reader.close()


def _restore(
    reader: SnapshotReader,
    folder: Path,
    identity: Identity,
    fill_state: Callable[[StateStore, Manifest], None] | None,
    fill_log: Callable[[LogStore, Manifest], None],
) -> Manifest:
    receiver = SnapshotReceiver(folder / INCOMING_FOLDER)
    try:
        _receive(reader, receiver)
    except BaseException:
        receiver.discard()
        _clear(folder)
        remove_file(folder / RESTORING_FILE)
        raise
    make_folder(folder / STATE_FOLDER)
    manifest = receiver.adopt(folder / STATE_FOLDER)
    checkpoint = _fill_state(folder / STATE_FOLDER, manifest, fill_state)
    log = LmdbLogStore(folder / LOG_FOLDER, create=True)
    try:
        log.reset(*checkpoint)
        fill_log(log, manifest)
    finally:
        log.close()
    for name in (LOG_FOLDER, STATE_FOLDER):
        write_owner(folder / name, identity)
    write_identity(folder, identity)
    remove_file(folder / RESTORING_FILE)
    with mapped(folder, "sync"):
        sync_folder(folder)
    return manifest


def _fill_state(
    folder: Path, manifest: Manifest, fill: Callable[[StateStore, Manifest], None] | None
) -> tuple[int, int]:
    """Let `fill` change the restored state; returns (index, term) of the checkpoint then."""
    state = LmdbStateStore(folder, create=False)
    try:
        if fill is not None:
            fill(state, manifest)
        frozen = state.freeze()
        if frozen is not None:
            state.flush(frozen)
            state.thaw(frozen)
        return state.checkpoint
    finally:
        state.close()


def _receive(reader: SnapshotReader, receiver: SnapshotReceiver) -> None:
    """Copy the snapshot in, and verify it."""
    offset = receiver.begin(reader.id)
    while piece := reader.read(offset, PIECE_BYTES):
        offset = receiver.append(piece)
    if offset != reader.size_bytes:
        raise SnapshotDamaged("the snapshot", f"it ends at {offset} of {reader.size_bytes} bytes")
    receiver.finish()


def _require_empty(folder: Path) -> None:
    """Check that `folder` holds nothing but the remains of a restore that was cut short."""
    with mapped(folder, "read"):
        found = {path.name for path in folder.iterdir()} - HARMLESS
    allowed = HALF_RESTORED if RESTORING_FILE in found else frozenset()
    if found - allowed:
        raise FolderForeign(
            f"{folder} is not empty: {', '.join(sorted(found))}", hint="restore into an empty folder"
        )


def _mark(folder: Path) -> None:
    """Note durably that a restore into `folder` has begun."""
    try:
        os.close(open_new(folder / RESTORING_FILE))
        sync_folder(folder)
    except OSError as error:
        raise write_failure(folder / RESTORING_FILE, error) from error


def _clear(folder: Path) -> None:
    """Remove the remains of a restore that was cut short."""
    with mapped(folder, "clear"):
        for name in HALF_FOLDERS:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
        for name in HALF_FILES:
            remove_file(folder / name)
        sync_folder(folder)
