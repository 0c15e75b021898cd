"""Files and folders that root makes for somebody else: they belong to the owner of the folder that they are made in.

Who runs one command as root in a service user's folder, or with the home of another user, would else leave a file
there that keeps that user from going on. Only what is surely new is given away: to give away what somebody has put
there before would be a way to get hold of any file. `storage`, which knows nothing of this package, has its own.
"""

import errno
import os
from pathlib import Path

NO_OWNERS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a system answers that does not let root give a file away: a container without that right has one user only, and
a file system without owners (of a memory stick, or of a share) has nobody to give it to."""


def give_to_owner_of(descriptor: int, path: Path) -> None:
    """Give the new file behind `descriptor` to the owner of `path`, if we are root. Raises `OSError`."""
    if os.geteuid() != 0:
        return
    owner = path.stat()
    try:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError as error:
        if error.errno not in NO_OWNERS:
            raise


def open_for_owner(path: Path, flags: int, mode: int) -> int:
    """A descriptor of `path`, which is made if nothing is there, for the owner of its folder. Raises `OSError`."""
    flags |= os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags, mode)
    try:
        give_to_owner_of(descriptor, path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_folder_for_owner(path: Path, mode: int = 0o777) -> None:
    """Make `path`, and what is missing above it, for the owner of what they are made in. Raises `OSError`."""
    if path.is_dir():
        return
    make_folder_for_owner(path.parent)
    try:
        path.mkdir(mode)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        give_to_owner_of(descriptor, path.parent)
    finally:
        os.close(descriptor)
