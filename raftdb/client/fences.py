"""Fences: writes that are refused once a lock is over. No I/O.

A holder that was paused, for longer than its lease, does not know it. So every write through `held.db` names the lock
and its token, and the cluster executes it only while that token holds the lock, at the moment of the write in the log.
What this process can see for itself, by its own clock, is refused before it is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from raftdb.client.flow import Method
from raftdb.client.given import as_text
from raftdb.client.json_body import bytes_to_json
from raftdb.client.leases import Lease, LockLost
from raftdb.client.protocol import Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fence:
    """A lock under whose `token` something is written. `is_shared`: others may hold it at the same time."""

    name: bytes
    token: int
    is_shared: bool
    lease: Lease


def fenced(method: Method[T], fences: Sequence[Fence]) -> Method[T]:
    """The same write, which is refused with `Fenced` if one of the locks is over. Reads, and changes of the cluster
    itself, are left as they are. Raises `LockLost` if a lock is over by the clock of this process."""
    request = method.request
    if not fences or request is None or request.kind is not Kind.WRITE:
        return method
    for fence in fences:
        if fence.lease.is_lost:
            raise LockLost(
                f"the lock {as_text(fence.name)!r} was lost, and nothing is written under it any more"
            )
    named = [
        [bytes_to_json(fence.name), {"token": fence.token, "shared": fence.is_shared}] for fence in fences
    ]
    return replace(method, request=replace(request, content={**(request.content or {}), "fences": named}))
