"""Tests of what a user may do: as root, to whom nothing is forbidden, they act as another one for a while.

Any other user goes on as it is, and takes rights away from itself instead.
"""

import importlib
import os
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import cli
import raftdb
import storage

SERVICE_USER = 65534


@cache
def import_everything() -> None:
    """Load all of the product: the other user may not be allowed to read the interpreter's own modules."""
    for package in (raftdb, storage, cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


@contextmanager
def as_service_user() -> Iterator[None]:
    """Root acts as the service user, in all threads."""
    import_everything()
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(SERVICE_USER)
    try:
        yield
    finally:
        os.seteuid(0)
