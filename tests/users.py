"""Tests of what a user may do: as root, to whom nothing is forbidden, they act as another one for a while.

Any other user goes on as it is, and takes rights away from itself instead.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

SERVICE_USER = 65534


@contextmanager
def as_service_user() -> Iterator[None]:
    """Root acts as the service user, in all threads."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(SERVICE_USER)
    try:
        yield
    finally:
        os.seteuid(0)
