"""The errors of storage: what went wrong with the folder, the file or the caller, and the next step.

This package imports nothing of raftdb, so it has a tree of its own; the composition root maps it once. Whoever
catches `StorageError` has caught everything that storage raises on purpose: errors of LMDB and of the operating
system are mapped here and never leave the package raw.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why the operating system did not do what it was asked to."""

    PERMISSION = "permission"
    ADDRESS_SPACE = "address space"
    OPEN_FILES = "open files"
    INPUT_OUTPUT = "input/output"
    OTHER = "other"


class StorageError(Exception):
    """Base of all errors of storage: `message` says what and why, `hint` the next step where there is one."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} ({hint})")
        self.message = message
        self.hint = hint


class SystemFailure(StorageError):
    """The operating system refused what storage asked of it: `reason` says why. That is no sign that anything is
    damaged.

    Nothing was changed. Once the reason is gone the folder is used as before.
    """

    def __init__(self, message: str, *, reason: Reason, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class FolderLocked(StorageError):
    """Another process holds the folder (hazard B88). `pid` and `node` are what its LOCK says, None if unreadable."""

    def __init__(self, folder: str, *, pid: int | None, node: str | None) -> None:
        super().__init__(
            f"{folder} is in use by process {pid if pid is not None else 'unknown'}, node {node or 'unknown'}",
            hint="stop that process first, or choose another folder",
        )
        self.pid = pid
        self.node = node


class FolderForeign(StorageError):
    """The folder is not ours to use: another node's, another cluster's, a newer format's, or writable by others."""


class FolderUnfinished(StorageError):
    """A restore into the folder, or a recovery of it, was cut short; the hint says how to go on with it."""


class FolderDamaged(StorageError):
    """Something in the folder is surely not what was written. Nothing was changed or deleted (hazards B79, B91).

    `what` names the damaged thing, `why` says how that was seen.
    """

    def __init__(self, what: str, why: str, *, hint: str | None = None) -> None:
        super().__init__(f"{what} is damaged: {why}", hint=hint or DAMAGE_HINT)
        self.what = what
        self.why = why


def other_format(what: str, found: object, known: int) -> FolderForeign:
    """The error for `what`, sound by its checksum, in a format that this program does not know."""
    return FolderForeign(
        f"{what} has format version {found}, this program reads {known}",
        hint="start it with the version of raftdb that wrote it",
    )


DAMAGE_HINT = (
    "keep the folder for inspection, and let this node join again under a new id with an empty folder"
)
"""The next step that is right for nearly every damage: a node that may have forgotten promises must not vote."""


MISSING_HINT = f"if a disk of its own belongs there, mount it; if not, {DAMAGE_HINT}"
"""The next step where a file is missing: a folder whose disk is not mounted looks as if somebody had emptied it."""


class WriteFailed(StorageError):
    """A write, commit or fsync failed. It is unknown how much of it is on the disk, so the process must stop (hazard
    B83).

    The store that raised it refuses every later write: LMDB itself would let the next commit succeed.
    """


class OutOfSpace(StorageError):
    """A growing write was refused before the disk or the map was full (hazard B84). Nothing was written."""


class Missing(StorageError, IndexError):
    """No record stands at `index`: it was compacted away or was never written. Never answered by a guess (B19)."""

    def __init__(self, index: int, *, base_index: int, last_index: int) -> None:
        super().__init__(f"no record at index {index}: the log holds {base_index + 1} to {last_index}")
        self.index = index


class SnapshotDamaged(StorageError):
    """A snapshot, or a piece of one, is not what was written. Nothing of it is used, and no good data is touched (B91).

    `what` names the damaged thing, `why` says how that was seen.
    """

    def __init__(self, what: str, why: str, *, hint: str | None = None) -> None:
        super().__init__(f"{what} is damaged: {why}", hint=hint or "take another copy of it")
        self.what = what
        self.why = why


class SnapshotForeign(StorageError):
    """A sound snapshot that cannot be used here: another format, another kind of machine, another cluster."""


class Misused(StorageError):
    """The caller broke the contract: wrong thread, a gap in the log, a key of no possible length. A bug.

    Raised before anything was written.
    """
