"""Fences: writes that are refused once a lock is over. No I/O.

A holder that was paused, for longer than its lease, does not know it. So every write through `held.db` names the lock
and its token, and the cluster executes it only while that token holds the lock, at the moment of the write in the log.
What this process can see for itself, by its own clock, is refused before it is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raftdb.client.given import as_text
from raftdb.client.leases import Lease, LockLost
from raftdb.client.protocol import Kind, Request


@dataclass(frozen=True, slots=True)
class Fence:
    """A lock under whose `token` something is written. `is_shared`: others may hold it at the same time."""

    name: bytes
    token: int
    is_shared: bool
    lease: Lease


def fenced(request: Request, fences: Sequence[Fence]) -> Request:
    """The same request, which is refused with `Fenced` if one of the locks is over. Reads, and changes of the cluster
    itself, are left as they are. Raises `LockLost` if a lock is over by the clock of this process."""
    if request.kind is not Kind.WRITE:
        return request
    for fence in fences:
        if fence.lease.is_lost:
            raise LockLost(
                f"the lock {as_text(fence.name)!r} was lost, and nothing is written under it any more"
            )
    named = {as_text(fence.name): fence.token for fence in fences}
    return replace(request, content={**(request.content or {}), "fences": named})
