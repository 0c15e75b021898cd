"""Errors of the operating system and of LMDB are turned into errors of storage, with words for each reason.

A file that may not be opened, a process without addresses or descriptors, a disk that does not answer: none of these
says that anything in the folder is not what was written, and the step that is right after damage would destroy a sound
folder. So only what LMDB finds wrong in a file itself is called damage here.
"""

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from storage.errors import (
    FolderDamaged,
    FolderForeign,
    OutOfSpace,
    Reason,
    StorageError,
    SystemFailure,
    WriteFailed,
)

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
REASONS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), Reason.PERMISSION),
    errno.ENOMEM: Reason.ADDRESS_SPACE,
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), Reason.OPEN_FILES),
    **dict.fromkeys(
        (
            *(errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO),
            *(errno.ENOMEDIUM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN),
        ),
        Reason.INPUT_OUTPUT,
    ),
}
"""The reason for each error number, `Reason.OTHER` for all not named. The last ones come from disks, and from file
systems in a network or in another program."""
NO_FOLDER = frozenset({errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors that mean that a path where a folder of ours is meant to be is something else, or that nothing can be
there."""
HINTS = {
    errno.EROFS: "its file system is mounted for reading only: mount it for writing",
    errno.ENOMEM: "raise the limit on address space ('ulimit -v unlimited', or LimitAS= of the service): a file is "
    "mapped in the size that it may reach, which takes addresses and no memory",
    errno.EMFILE: "raise the limit on open files: 'ulimit -n 4160', or LimitNOFILE= of the service",
    **dict.fromkeys(
        (errno.ENOLCK, errno.EOPNOTSUPP),
        "its file system may know no locks, which a node needs: put the folder on a local disk",
    ),
    errno.ENFILE: "the whole machine has too many files open: raise fs.file-max",
}
INPUT_OUTPUT_HINT = (
    "the disk or its file system failed, which says nothing of what is stored: see the kernel's log (dmesg), mend it, "
    "and start again"
)
NUMBERED = "user "
"""Beginning of the words for a user that has a number and no name."""
DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.BadChecksumError,
)
"""The errors that LMDB raises for something wrong in the file itself."""


def system_failure(path: Path, verb: str, error: OSError | lmdb.Error) -> StorageError:
    """What to raise for an `error` of the system at `verb`ing (open, read, ...) `path`: `SystemFailure`, `OutOfSpace`.

    For what LMDB finds wrong in the file itself, `FolderDamaged`; where no folder can be, `FolderForeign`.
    """
    if isinstance(error, DAMAGE):
        return FolderDamaged(str(path), f"LMDB cannot {verb} it: {error}")
    number = _number(error)
    words = f"cannot {verb} {path}: {os.strerror(number).lower() if number else error}"
    if number in NO_SPACE:
        return OutOfSpace(words, hint="free some space on this disk")
    if number is not None and number in NO_FOLDER:
        # For a link in the place of a file of ours the system's own words say enough.
        obstacle = _in_the_way(path) if number != errno.ELOOP else None
        words = f"cannot {verb} {path}: {obstacle or os.strerror(number).lower()}"
        return FolderForeign(words, hint="name a folder, or a path at which nothing is yet")
    reason = REASONS.get(number or 0, Reason.OTHER)
    return SystemFailure(words, reason=reason, hint=_hint(path, number, reason))


def write_failure(path: Path, error: OSError) -> StorageError:
    """What to raise for an `error` of writing `path`, a file that can be made anew.

    A full disk, or a file that may not be made, spoils such a file and nothing else: `OutOfSpace`, `SystemFailure`.
    Anything else is `WriteFailed`: a disk that cannot write here cannot be trusted with the log either.
    """
    failure = system_failure(path, "write", error)
    if isinstance(failure, SystemFailure) and failure.reason in (Reason.INPUT_OUTPUT, Reason.OTHER):
        return WriteFailed(failure.message, hint=failure.hint)
    return failure


@contextmanager
def mapped(path: Path, verb: str = "use") -> Iterator[None]:
    """Turn errors of the system in the block into the errors for `verb`ing `path`."""
    try:
        yield
    except OSError as error:
        place = Path(error.filename) if isinstance(error.filename, str) else path
        raise system_failure(place, verb, error) from error


def _in_the_way(path: Path) -> str | None:
    """Words for what is in the place of a folder: a file, or a link whose target is missing, as on a disk that is not
    mounted. None if that cannot be seen."""
    for place in (path, *path.parents):
        try:
            if place.exists():
                return None if place.is_dir() else f"{place} is not a folder"
            if place.is_symlink():
                return f"{place} is a link to {place.readlink()}, where nothing is"
        except OSError:
            return None
    return None


def _number(error: OSError | lmdb.Error) -> int | None:
    """The system's number of the error; None for one of LMDB's own, which are negative."""
    number = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
    return number if isinstance(number, int) and number > 0 else None


def _hint(path: Path, number: int | None, reason: Reason) -> str | None:
    if number in HINTS:
        return HINTS[number]
    if reason is Reason.PERMISSION:
        return _permission_hint(path)
    return INPUT_OUTPUT_HINT if reason is Reason.INPUT_OUTPUT else None


def _permission_hint(path: Path) -> str:
    """Advice that names the owner of the path and the user of this process, as far as they can be seen."""
    for place in (path, *path.parents):
        try:
            owner = _user(place.stat().st_uid)
        except OSError:
            continue
        me = _user(os.geteuid())
        if owner == me:
            return f"look at the permissions of {place}, which belongs to {owner}, as this process does"
        give = f"'chown -R {me.removeprefix(NUMBERED)}' the folder"
        return f"{place} belongs to {owner}, this process to {me}: run it as {owner}, or {give}"
    return "look at the permissions of the folders above it"


def _user(uid: int) -> str:
    """The user's name, or its number where it has none, as in many containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{NUMBERED}{uid}"
