"""The data folder of one node: locked by one process, and checked to belong to this node.

    LOCK            flock while a process uses the folder; holds its pid and node id
    identity.cbor   whose folder this is; written twice in its life, each time temp, fsync, rename, fsync folder
    log/  state/    the two LMDB environments, and the log's journal; `owner.cbor` in each says which folder it is of
    incoming/       a snapshot that is being received; see `storage.receive`
    outgoing/       snapshots made to be sent; emptied at each start
    restoring       there while the folder is restored from a backup; see `storage.restore`
    recovering      there while the folder is given to another cluster; see `storage.recover`

A new folder gets its identity first, with `bootstrapped` false, then log and state, then `bootstrapped` true. So a
creation that a crash interrupts goes on where it stopped, and once it is complete a missing log is a lost log, never a
new one: LMDB itself would create an empty log, and the node would vote without memory of its promises (hazard B89).

A received snapshot becomes the state by one rename of its data file onto the state's. Considered and rejected: moving
folders, which takes two renames, and a journal to finish or undo the first one after a crash.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

from storage.contract import LogStore
from storage.env import DATA_FILE
from storage.errors import (
    MISSING_HINT,
    FolderDamaged,
    FolderForeign,
    FolderUnfinished,
    Misused,
    SnapshotForeign,
)
from storage.files import Openness, make_folder, openness, remove_file
from storage.identity import (
    IDENTITY_FILE,
    Identity,
    check_owner,
    read_identity,
    take_lock,
    write_identity,
    write_owner,
)
from storage.log_store import LmdbLogStore
from storage.manifest import Manifest
from storage.receive import SnapshotReceiver
from storage.state_store import LmdbStateStore
from storage.system_failures import mapped

__all__ = ["DataFolder", "Identity"]

LOG_FOLDER = "log"
STATE_FOLDER = "state"
INCOMING_FOLDER = "incoming"
OUTGOING_FOLDER = "outgoing"
RESTORING_FILE = "restoring"
"""There while a folder is being restored from a backup: until it is gone, the folder is nobody's yet."""
RECOVERING_FILE = "recovering"
"""There while a folder is being given to another cluster: until it is gone, it belongs to neither."""


class DataFolder:
    """A locked data folder. `identity` is None until `create` gave it one."""

    def __init__(
        self, path: Path, *, node_id: str, cluster_id: str | None = None, recovering: bool = False
    ) -> None:
        """Lock `path`, made if missing, and check that it is node `node_id`'s, and of `cluster_id` if given.

        `recovering`: to recover it, perhaps once more because the last time was cut short.
        Raises `FolderLocked`, `FolderForeign`, `FolderUnfinished`, `FolderDamaged`; `SystemFailure` if it may not be
        used or cannot be made. Changes nothing but LOCK and the remains of snapshots that a crash left.
        """
        self.path = path
        self.identity: Identity | None = None
        make_folder(path)
        self.openness = refuse_if_open_to_others(path)
        self._receiver: SnapshotReceiver | None = None
        self._recovering = recovering
        self._lock = take_lock(path, node_id)
        try:
            self.identity = read_identity(path)
            self._check_identity(node_id, cluster_id)
            with mapped(path):
                self._check_files()
                self._remove_leftovers()
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
            write_identity(self.path, self.identity)
        self._check_identity(node_id, cluster_id)
        log = LmdbLogStore(self.path / LOG_FOLDER, create=True)
        try:
            if fill_log is not None:
                fill_log(log)
        finally:
            log.close()
        LmdbStateStore(self.path / STATE_FOLDER, create=True).close()
        for name in (LOG_FOLDER, STATE_FOLDER):
            write_owner(self.path / name, self.identity)
        complete = replace(self.identity, bootstrapped=True)
        write_identity(self.path, complete)
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

    @property
    def receiver(self) -> SnapshotReceiver:
        """Where this node receives snapshots; the same object each time. Used by one thread at a time."""
        if self._receiver is None:
            self._receiver = SnapshotReceiver(self.path / INCOMING_FOLDER)
        return self._receiver

    def outgoing(self, name: str) -> Path:
        """Where to put the snapshot file `name` to send it; the folder is made. Raises `WriteFailed`."""
        make_folder(self.path / OUTGOING_FOLDER)
        return self.path / OUTGOING_FOLDER / name

    def swap_in_snapshot(self) -> Manifest:
        """Make the complete snapshot of `receiver` the state. A crash at any step leaves the old state or the new.

        The state must be closed, and is opened again afterwards. Its checkpoint may then be past the end of the log,
        or the log may disagree with it: the caller resets the log next, and does so at a start that finds it like
        that (hazards B25, B34). Raises `Misused` if no snapshot is complete, `SnapshotForeign` if it is another
        cluster's, `WriteFailed`.
        """
        self._require_bootstrapped()
        snapshot = self.receiver.snapshot
        if snapshot is None or not self.receiver.complete:
            raise Misused("there is no complete snapshot")
        if self.identity is None or snapshot.cluster_id != self.identity.cluster_id:
            raise SnapshotForeign(f"the snapshot belongs to cluster {snapshot.cluster_id}")
        return self.receiver.adopt(self.path / STATE_FOLDER)

    def close(self) -> None:
        """Give the lock back. Idempotent; close the stores first."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _check_identity(self, node_id: str, cluster_id: str | None) -> None:
        """The identity, if there is one, is the expected one (hazard B90)."""
        found = self.identity
        if found is None:
            return
        if found.node_id != node_id:
            raise FolderForeign(
                f"{self.path} belongs to node {found.node_id}, not to {node_id}",
                hint="each node has one id and one folder, for good: name the two that belong together",
            )
        if cluster_id is not None and found.cluster_id != cluster_id:
            raise FolderForeign(f"{self.path} belongs to cluster {found.cluster_id}, not to {cluster_id}")

    def _check_files(self) -> None:
        """Identity and data files are both there or both not (hazard B89)."""
        if (self.path / RESTORING_FILE).exists() and self.identity is None:
            raise FolderUnfinished(
                f"restoring {self.path} was cut short", hint="restore again into the same folder"
            )
        if (self.path / RECOVERING_FILE).exists() and not self._recovering:
            raise FolderUnfinished(
                f"recovering {self.path} was cut short", hint="recover it again: 'raftdb recover'"
            )
        for name in (LOG_FOLDER, STATE_FOLDER):
            path = self.path / name / DATA_FILE
            if self.identity is None and path.exists():
                raise FolderDamaged(str(self.path / IDENTITY_FILE), f"it is missing, but {path} exists")
            if self.identity is not None and self.identity.bootstrapped and not path.exists():
                why = "it is missing, but this node has been running on it"
                raise FolderDamaged(str(path), why, hint=MISSING_HINT)
            if self.identity is not None and self.identity.bootstrapped:
                check_owner(path.parent, self.identity)

    def _remove_leftovers(self) -> None:
        """Drop the useless remains of snapshots sent and received before a crash. A download that can be resumed is
        kept."""
        for name in (INCOMING_FOLDER, OUTGOING_FOLDER):
            if (self.path / name).is_dir() and self.identity is None:
                raise FolderDamaged(str(self.path / IDENTITY_FILE), f"it is missing, but {name} exists")
        if self.identity is None:
            return
        remove_file(self.path / RESTORING_FILE)
        outgoing = self.path / OUTGOING_FOLDER
        for path in sorted(outgoing.iterdir()) if outgoing.is_dir() else ():
            remove_file(path)
        if (self.path / INCOMING_FOLDER).is_dir():
            self._receiver = SnapshotReceiver(self.path / INCOMING_FOLDER)

    def _require_bootstrapped(self) -> None:
        if self.identity is None or not self.identity.bootstrapped:
            raise Misused(f"{self.path} has no identity yet: create it first")


def refuse_if_open_to_others(folder: Path) -> Openness:
    """Who beside the owner may write in `folder`. Raises `FolderForeign` if all can; a group may be meant to."""
    found = openness(folder)
    if found.others:
        raise FolderForeign(f"{folder} can be written by every user", hint=f"chmod o-w {folder}")
    return found
