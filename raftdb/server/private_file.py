"""Which files keep a secret: those that nobody but their owner may read or change."""

import os
import stat


def is_private(found: os.stat_result) -> bool:
    """Whether others than the owner may neither read nor change a file. A group may read a file of root's, which is how
    service managers and Kubernetes hand secrets over."""
    forbidden = stat.S_IRWXO | (stat.S_IWGRP if found.st_uid == 0 else stat.S_IRWXG)
    return not found.st_mode & forbidden


def mode_of(found: os.stat_result) -> str:
    """The permissions of a file, as `chmod` takes them."""
    return f"{stat.S_IMODE(found.st_mode):04o}"
