"""Taking a lock, holding it longer, and giving it back.

Who asks is named by OWNER, else by the session of the request; owners of different users are different, whatever they
are called. An owner has at most one hold of a lock and one place in its line: who asks again finds what it has, so that
a retry is safe. Only an upgrade has both: it shares the lock, and waits at the front of the line until it is alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

from raftdb.errors import Conflict, Deadlock, ReplyError
from raftdb.limits import (
    LOCK_LIMIT_MAX,
    LOCK_LINE_MAX,
    LOCK_NAME_BYTES_MAX,
    LOCK_TTL_MS_DEFAULT,
    LOCK_TTL_MS_MAX,
    LOCK_TTL_MS_MIN,
    OWNER_BYTES_MAX,
    OWNER_PLACES_MAX,
    SESSION_BOUND_MAX,
    USER_NAME_BYTES_MAX,
)
from raftdb.machine.clock import read_clock
from raftdb.machine.happenings import Happening
from raftdb.machine.integers import NotNegative
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.locks.deadlocks import check_wait
from raftdb.machine.locks.line import OpenLock
from raftdb.machine.locks.over import is_gone, is_over
from raftdb.machine.locks.records import (
    MODE_NAMES,
    Claim,
    LockMode,
    Wait,
    load_hold,
    load_place,
    load_waits,
    owner_in,
    place_number,
    place_of,
    token_of,
)
from raftdb.machine.reply import Result, shown_key
from raftdb.machine.service import Command
from raftdb.machine.session_records import binding_of, bound_count, shown_session
from raftdb.machine.waiting import Asker

AS_BEFORE = 0
"""The time to live of `Renew` that says: as long as it was taken for."""


@dataclass(frozen=True, slots=True)
class Lock(Command):
    """Take a lock for `ttl_ms`, or find that one has it. If its sender waits it takes a place in the line, or finds the
    one it has. Without `owner` it is the session's. `limit` is above 0 for the mode `LIMITED` alone."""

    name: bytes
    mode: LockMode = LockMode.EXCLUSIVE
    limit: NotNegative = 0
    ttl_ms: NotNegative = LOCK_TTL_MS_DEFAULT
    owner: bytes = b""


@dataclass(frozen=True, slots=True)
class Renew(Command):
    """Hold a lock under this token for `ttl_ms` from now, or `AS_BEFORE`."""

    name: bytes
    token: NotNegative
    ttl_ms: NotNegative = AS_BEFORE


@dataclass(frozen=True, slots=True)
class Unlock(Command):
    """Give a lock back that is held under this token."""

    name: bytes
    token: NotNegative


@dataclass(frozen=True, slots=True)
class UnlockOwned(Command):
    """Give a lock back that `owner` holds, and its place in the line."""

    name: bytes
    owner: bytes


@dataclass(frozen=True, slots=True)
class LeaveLine(Command):
    """Give up the place of an owner, as it stands in the state (`owner_in`), in the line of a lock."""

    name: bytes
    owner: bytes


class _Request(NamedTuple):
    """What is asked of a lock, and by whom. `session` binds it to a session, empty for none."""

    owner: bytes
    mode: LockMode
    limit: int
    ttl_ms: int
    session: bytes
    waits: bool


def lock(layer: Layer, command: Lock, revision: int) -> Result:
    """Take the lock, or a place in its line. Answers the token, the name of the mode, the time of the cluster clock at
    which the lease ends, and the milliseconds until then; None if somebody else has it."""
    _check(command)
    session = b"" if layer.session is None else binding_of(layer, layer.session) or b""
    owner = owner_of(command, Asker(layer.user, layer.session))
    request = _Request(owner, command.mode, command.limit, command.ttl_ms, session, layer.waits)
    # What is over is ended on the way, but not if the request is refused in the end.
    upper = Layer(layer)
    try:
        opened = OpenLock(upper, command.name, revision)
        grant = _acquire(opened, request)
        opened.save()
    except Deadlock:
        layer.note_happened(Happening.DEADLOCK)
        raise
    finally:
        layer.count(upper)
    layer.merge(upper)
    return Result(None if grant is None else shown_grant(*grant, opened.clock_ms), None)


def shown_grant(token: int, claim: Claim, clock_ms: int) -> list[object]:
    """Return what is answered to somebody who holds a lock."""
    return [token, MODE_NAMES[LockMode(claim.mode)], claim.ends_ms, claim.ends_ms - clock_ms]


def owner_of(command: Lock, asker: Asker) -> bytes:
    """Return who asks, as it stands in the state. Raises `ReplyError` if that is nobody."""
    owner = command.owner
    if not owner:
        if asker.session is None:
            raise ReplyError("a lock needs an owner", hint="say OWNER and a name, or ask in a session")
        owner = shown_session(asker.session).encode()
    return owner_in(asker.user, owner)


def _check(command: Lock) -> None:
    check_name(command.name)
    if len(command.owner) > OWNER_BYTES_MAX:
        raise ReplyError("the owner is too long", hint=f"the limit is {OWNER_BYTES_MAX} bytes")
    _check_ttl(command.ttl_ms)
    is_limited = command.mode == LockMode.LIMITED
    if is_limited != (command.limit > 0) or command.limit > LOCK_LIMIT_MAX:
        raise ReplyError("the limit of a lock is wrong", hint=f"from 1 to {LOCK_LIMIT_MAX} holders")


def check_name(name: bytes) -> None:
    """Raise `ReplyError` for what cannot be the name of a lock."""
    if not 0 < len(name) <= LOCK_NAME_BYTES_MAX:
        raise ReplyError(
            "the name of the lock is empty or too long",
            hint=f"from 1 to {LOCK_NAME_BYTES_MAX} bytes",
            code="bad_key",
        )


def _check_owned(command: UnlockOwned | LeaveLine, bytes_max: int) -> None:
    check_name(command.name)
    if not 0 < len(command.owner) <= bytes_max:
        raise ReplyError("the owner is empty or too long", hint=f"from 1 to {bytes_max} bytes")


def _check_ttl(ttl_ms: int) -> None:
    if not LOCK_TTL_MS_MIN <= ttl_ms <= LOCK_TTL_MS_MAX:
        raise ReplyError(
            "invalid time to live", hint=f"from {LOCK_TTL_MS_MIN} to {LOCK_TTL_MS_MAX} milliseconds"
        )


def _acquire(opened: OpenLock, request: _Request) -> tuple[int, Claim] | None:
    """What the request holds after it; None if somebody else is in the way, and it may have a place now."""
    _agree_on_limit(opened, request)
    held = opened.hold_of(request.owner)
    if held is not None and is_over(opened.layer, held[1], opened.clock_ms):
        opened.release(*held)
        opened.hand_on()
        held = None
    if held is not None and _holds_enough(held[1], request):
        return _renewed(opened, request, *held)
    if _has_its_place(opened, request):
        return None
    # It may have been served a moment ago, or shares the lock and asks for more.
    held = opened.hold_of(request.owner)
    if held is not None and _holds_enough(held[1], request):
        return _renewed(opened, request, *held)
    if _is_free(opened, request) or (opened.settle() and _is_free_after(opened, request)):
        return _grant_at_once(opened, request, held)
    if request.waits:
        _take_place(opened, request, at_front=held is not None)
    return None


def _renewed(opened: OpenLock, request: _Request, token: int, claim: Claim) -> tuple[int, Claim]:
    _check_session(opened.layer, request.session, claim.session)
    return opened.renew(token, claim, request.ttl_ms, request.session)


def _holds_enough(claim: Claim, request: _Request) -> bool:
    """Whether a hold is what is asked for, or more."""
    return claim.mode in (request.mode, LockMode.EXCLUSIVE)


def _agree_on_limit(opened: OpenLock, request: _Request) -> None:
    """Raise `Conflict` if the lock is of another kind while somebody holds or waits."""
    if opened.limit != request.limit and (opened.holders or opened.waiting):
        opened.settle()
        opened.hand_on()
        if opened.holders or opened.waiting:
            kind = f"has a limit of {opened.limit}" if opened.limit else "is exclusive or shared"
            raise Conflict(f"the lock {shown_key(opened.name)} {kind} while somebody holds it or waits")
    opened.limit = request.limit


def _has_its_place(opened: OpenLock, request: _Request) -> bool:
    """Whether the request finds its place in the line. One that asks for more than before gives its place up."""
    number = place_of(opened.layer, request.owner, opened.name)
    claim = load_place(opened.layer, opened.name, number)
    if number is None or claim is None:
        return False
    if is_gone(opened.layer, claim) or claim.mode not in (request.mode, LockMode.EXCLUSIVE):
        opened.leave(number, claim)
        opened.hand_on()
        return False
    _check_session(opened.layer, request.session, claim.session)
    opened.stay(number, claim, request.ttl_ms, request.session)
    opened.hand_on()
    return place_of(opened.layer, request.owner, opened.name) is not None


def _is_free(opened: OpenLock, request: _Request) -> bool:
    """Whether the request may hold the lock at once: nobody waits, or it is the only one that shares it already."""
    has_precedence = opened.waiting == 0 or token_of(opened.layer, request.owner, opened.name) > 0
    return has_precedence and opened.admits(request.mode, request.owner)


def _is_free_after(opened: OpenLock, request: _Request) -> bool:
    """The same, after holders have ended: those that wait come first."""
    if token_of(opened.layer, request.owner, opened.name) == 0:
        opened.hand_on()
    return _is_free(opened, request)


def _grant_at_once(opened: OpenLock, request: _Request, held: tuple[int, Claim] | None) -> tuple[int, Claim]:
    """Let the request hold the lock, instead of what it held."""
    if held is not None:
        opened.release(*held)
    _check_session(opened.layer, request.session)
    lease_ms = request.ttl_ms
    return opened.grant(request.owner, request.mode, request.ttl_ms, request.session, lease_ms=lease_ms)


def _take_place(opened: OpenLock, request: _Request, *, at_front: bool) -> None:
    """Give the request a place. Raises `Deadlock` if it would wait for ever."""
    layer = opened.layer
    if opened.waiting >= LOCK_LINE_MAX:
        raise _too_many(f"{LOCK_LINE_MAX} wait for the lock already")
    _check_session(layer, request.session)
    if len(load_waits(layer, request.owner)) >= OWNER_PLACES_MAX:
        raise _too_many(f"the owner waits for {OWNER_PLACES_MAX} locks already")
    if request.mode != LockMode.LIMITED:
        opened.save()
        number = place_number(opened.index, 0, at_front=at_front)
        check_wait(layer, request.owner, Wait(number, request.mode, opened.name), opened.clock_ms)
    opened.stand(request.owner, request.mode, request.ttl_ms, request.session, at_front=at_front)


def _check_session(view: KeyValueView, session: bytes, before: bytes = b"") -> None:
    """Raise `ReplyError` if nothing more can be bound to a session; `before` is the one that it is bound to."""
    if session not in (b"", before) and (bound_count(view, session) or 0) >= SESSION_BOUND_MAX:
        raise _too_many(f"the session has {SESSION_BOUND_MAX} locks and places already")


def _too_many(why: str) -> ReplyError:
    return ReplyError(why, hint="give some back first", code="too_large")


def live_hold(view: KeyValueView, name: bytes, token: int) -> Claim | None:
    """Return the hold under a token, None if it is over."""
    if not 0 < len(name) <= LOCK_NAME_BYTES_MAX:
        return None
    claim = load_hold(view, name, token)
    return None if claim is None or is_over(view, claim, read_clock(view)) else claim


def renew(layer: Layer, command: Renew, revision: int) -> Result:
    """Hold the lock longer. Answers whether it is held under this token."""
    check_name(command.name)
    if command.ttl_ms != AS_BEFORE:
        _check_ttl(command.ttl_ms)
    claim = live_hold(layer, command.name, command.token)
    if claim is None:
        return Result(False, None)
    opened = OpenLock(layer, command.name, revision)
    opened.renew(command.token, claim, command.ttl_ms or claim.ttl_ms, b"")
    return Result(True, None)


def unlock(layer: Layer, command: Unlock, revision: int) -> Result:
    """Give the lock back, to those that wait if there are any. Answers whether it was held under this token."""
    check_name(command.name)
    claim = live_hold(layer, command.name, command.token)
    if claim is None:
        return Result(False, None)
    opened = OpenLock(layer, command.name, revision)
    opened.release(command.token, claim)
    opened.hand_on()
    opened.save()
    return Result(True, None)


def unlock_owned(layer: Layer, command: UnlockOwned, revision: int) -> Result:
    """Give back the hold and the place of an owner. Answers whether it held the lock."""
    _check_owned(command, OWNER_BYTES_MAX)
    owner = owner_in(layer.user, command.owner)
    opened = OpenLock(layer, command.name, revision)
    number = place_of(layer, owner, command.name)
    place = load_place(layer, command.name, number)
    if number is not None and place is not None:
        opened.leave(number, place)
    held = opened.hold_of(owner)
    if held is not None:
        opened.release(*held)
    opened.hand_on()
    opened.save()
    return Result(held is not None and not is_over(layer, held[1], opened.clock_ms), None)


def leave_line(layer: Layer, command: LeaveLine, revision: int) -> Result:
    """Give the place up. Answers None; if the lock was granted already, nothing changes, and it answers as `lock`."""
    _check_owned(command, 1 + USER_NAME_BYTES_MAX + OWNER_BYTES_MAX)
    number = place_of(layer, command.owner, command.name)
    place = load_place(layer, command.name, number)
    if number is None or place is None:
        return outcome_for(layer, command.name, command.owner) or Result(None, None)
    opened = OpenLock(layer, command.name, revision)
    opened.leave(number, place)
    opened.hand_on()
    opened.save()
    return Result(None, None)


def outcome_for(view: KeyValueView, name: bytes, owner: bytes) -> Result | None:
    """Return the answer to an owner who holds a lock, None if it does not."""
    token, clock_ms = token_of(view, owner, name), read_clock(view)
    claim = live_hold(view, name, token)
    return None if claim is None else Result(shown_grant(token, claim, clock_ms), None)
