"""Fences: whether a lock is still held under the token of whoever did something under it.

A lease may end while its owner believes that it goes on: its process was paused, or its clock is slow. What it does
then is refused, because the token that it shows is not that of the present holder.
"""

from dataclasses import dataclass

from raftdb.errors import Fenced, RequestRefused
from raftdb.limits import LOCK_NAME_BYTES_MAX
from raftdb.machine.integers import NotNegative
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.holding import Renew, Unlock, check_name, live_hold
from raftdb.machine.locks.records import Claim, LockMode
from raftdb.machine.reply import Result, shown_key
from raftdb.machine.service import Command


@dataclass(frozen=True, slots=True)
class Fence(Command):
    """Whether a lock is held under this token: by one owner alone, or with the mode `SHARED` in any way."""

    name: bytes
    token: NotNegative
    mode: LockMode = LockMode.EXCLUSIVE


def fence(view: KeyValueView, command: Fence) -> Result:
    """Answer whether the lock is held under this token, in the way that is asked for."""
    check_name(command.name)
    claim = live_hold(view, command.name, command.token)
    return Result(claim is not None and _suffices(claim, command.mode), None)


def _suffices(claim: Claim, mode: LockMode) -> bool:
    return claim.mode == LockMode.EXCLUSIVE or mode != LockMode.EXCLUSIVE


def checked_fence(fence: Fence) -> Fence:
    """Return the fence; raises `RequestRefused` for one that names no lock or no token."""
    if not 0 < len(fence.name) <= LOCK_NAME_BYTES_MAX:
        raise RequestRefused("bad_key", f"the name of a lock has 1 to {LOCK_NAME_BYTES_MAX} bytes")
    if fence.token <= 0:
        raise RequestRefused("bad_request", "a fence has a lock and the token that 'lock' answered")
    return fence


def fence_guard(view: KeyValueView, command: Fence) -> None:
    """Raise `Fenced` if the lock is not held under this token any more."""
    claim = live_hold(view, command.name, command.token)
    if claim is None or not _suffices(claim, command.mode):
        raise fenced(command.name, command.token)


def token_guard(view: KeyValueView, command: Renew | Unlock) -> None:
    """Raise `Fenced` if the lock is not held under this token any more."""
    if live_hold(view, command.name, command.token) is None:
        raise fenced(command.name, command.token)


def fenced(name: bytes, token: int) -> Fenced:
    """Return the error for a token that is over."""
    return Fenced(
        f"the lock {shown_key(name)} is not held under the token {token} any more",
        hint="somebody else may hold it: give up what was done under it",
    )
