"""New files and folders that root makes are given to the owner of the folder that they are made in.

A command that is run as root in the folder of a service user, or with another user's home, would otherwise leave files
there that the user cannot use. Only files that are surely new are given away: a user who had put a link there could
otherwise get any file. `storage`, which does not import this package, has its own functions for it.
"""

import errno
import os
from pathlib import Path

NO_OWNERS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP})
"""The errors of a system on which root cannot give files away, which are ignored: a container without that right has
one user only, and a file system without owners (on a memory stick or a share) has no one to give them to."""


def give_to_owner_of(descriptor: int, path: Path) -> None:
    """Give the new file that `descriptor` refers to to the owner of `path`, if this process is root's. Raises
    `OSError`."""
    if os.geteuid() != 0:
        return
    owner = path.stat()
    try:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError as error:
        if error.errno not in NO_OWNERS:
            raise


def open_for_owner(path: Path, flags: int, mode: int) -> int:
    """Open `path`, which is made for the owner of its folder if it does not exist; the descriptor. Raises `OSError`."""
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
    """Make the folder `path`, and those above it that do not exist, each for the owner of the one above. Raises
    `OSError`."""
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
