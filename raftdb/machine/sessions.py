"""Sessions, by which an operation happens once, however often its client sends it.

A session is a record, its deadline if it is not used, and the replies that its client has not acknowledged, each under
its sequence. All of that is in the key space, so in checkpoints, snapshots and backups (hazard B56). An operation whose
sequence has a reply gets that reply, with the index and term at which it was done, and is not done again; an operation
whose reply is gone, or whose session is gone, is refused for ever, because it may have been done.

A session lives from its registration until an `Expire` finds its deadline passed, until its client closes it, or until
there are too many: then the one that was idle for longest makes room. Nothing but entries of the log decides that
(hazard B55). Sessions of clients make room for clients only, and sessions of nodes, which pass requests on, for nodes.

Keys may be bound to a session (`raftdb.machine.bound_keys`): they are removed in the entry in which it ends, however it
ends, and keep it from nothing.

Locks bind themselves to a session as well (`session_records.bind`), and end with it. One that something holds on to
neither idles out nor makes room; it ends only if its client closes it. What it leaves behind then is given back by the
services, a bounded number of things in each entry (`ENDED_SESSIONS`).

A session is its user's, and to others it is not there. One user has no more than `USER_SESSIONS_MAX`; then one of its
own makes room.

A client may give its session a time to live, as a lease: then it ends soon after its client is gone, whatever is bound
to it, and makes room for nobody before. Each operation in it counts, and `KeepSession`.

A refusal for lack of room is an answer as well, and kept: a late copy of the same operation must not be done after all.
A client that goes on regardless loses its session.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from raftdb.budgets import SWEEP_REPLIES_MAX, SWEEP_SESSIONS_MAX
from raftdb.errors import ReplyError, SessionExpired, required
from raftdb.limits import (
    NODE_SESSIONS_MAX,
    SESSION_IDLE_MS,
    SESSION_REPLIES_MAX,
    SESSION_REPLY_BYTES_MAX,
    SESSION_TTL_MS_MAX,
    SESSION_TTL_MS_MIN,
    SESSIONS_MAX,
    TIME_MS_MAX,
    USER_SESSIONS_MAX,
)
from raftdb.machine.clock import read_clock
from raftdb.machine.deadlines import DeadlineIndex
from raftdb.machine.integers import NotNegative
from raftdb.machine.keyspace import (
    ENDED_PREFIX,
    ENDED_SWEPT_KEY,
    IDLE_PREFIX,
    IDLE_SWEPT_KEY,
    LEASED_PREFIX,
    LEASED_SWEPT_KEY,
    NODE_IDLE_PREFIX,
    NODE_IDLE_SWEPT_KEY,
    NODE_SESSION_COUNT_KEY,
    REPLY_PREFIX,
    SESSION_COUNT_KEY,
    SESSION_PREFIX,
    USER_SESSION_COUNT_PREFIX,
    pack_number,
    read_number,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.operations import SessionOperation, Work
from raftdb.machine.replies import HEAD_BYTES, decode_head, decode_reply, digest_of, encode_reply
from raftdb.machine.reply import Repetition, Reply, Result
from raftdb.machine.service import Ending, EntryPlace, OperationType, Service, ServiceOperation
from raftdb.machine.session_records import (
    ENDED_SESSIONS,
    IDLE_SESSIONS,
    LEASED_SESSIONS,
    NODE_IDLE_SESSIONS,
    Session,
    SessionOwner,
    checked_name,
    load_session,
    prolonged,
    store_session,
    suspended,
    used,
)
from raftdb.machine.values import remove_bound_values
from raftdb.machine.waiting import is_nothing

REFUSALS_MAX = SESSION_REPLIES_MAX
"""How many operations are refused for lack of room until the session ends."""

OWN_SOUGHT_MAX = 64
"""Sessions, those that were idle for longest, of which one of a user is sought that has too many."""

PROBED_MAX = 64
"""Sequences acknowledged at once that are looked up one by one; more are found by a scan."""


class Performing(NamedTuple):
    """How the operation within a session is done, as part of the entry at an index; how its reply is kept; and how the
    reply is made again from that."""

    perform: Callable[[Work, Layer, int], Result | ReplyError]
    shortened: Callable[[Work, Result | ReplyError], Result | ReplyError]
    completed: Callable[[KeyValueView, Work, Result | ReplyError], Result | ReplyError]


_COUNT_KEYS = {SessionOwner.CLIENT: SESSION_COUNT_KEY, SessionOwner.NODE: NODE_SESSION_COUNT_KEY}


@dataclass(frozen=True, slots=True)
class RegisterSession(ServiceOperation):
    """Begin a session of this name, or find that it is there already. It ends when it was not used for `ttl_ms`, or, if
    that is 0, for an hour."""

    session: bytes
    owner: SessionOwner = SessionOwner.CLIENT
    ttl_ms: NotNegative = 0


def register(layer: Layer, operation: RegisterSession, entry: EntryPlace) -> Reply:
    """Begin a session; if there is one of that name, it goes on."""
    name = checked_name(operation.session)
    session = load_session(layer, name)
    if session is not None:
        if not session.serves(layer.user):
            raise ReplyError("there is a session of this name", hint="draw the name at random")
        store_session(layer, name, used(layer, name, session))
        return Repetition(session.index, session.term, Result(True, None))
    owner = operation.owner
    count_max = SESSIONS_MAX if owner is SessionOwner.CLIENT else NODE_SESSIONS_MAX
    _check_ttl(operation.ttl_ms, owner)
    if layer.user and read_number(layer.get(USER_SESSION_COUNT_PREFIX + layer.user)) >= USER_SESSIONS_MAX:
        _make_room_of_user(layer)
    if read_number(layer.get(_COUNT_KEYS[owner])) >= count_max:
        _make_room(layer, IDLE_SESSIONS if owner is SessionOwner.CLIENT else NODE_IDLE_SESSIONS)
    session = Session(entry.index, entry.term, 0, 1, 0, 0, owner, 0, operation.ttl_ms, layer.user)
    _count(layer, session, 1)
    store_session(layer, name, prolonged(layer, name, session))
    return Result(True, None)


def _own(layer: Layer, name: bytes) -> Session | None:
    """The session of this name, None if there is none for the user who asks."""
    session = load_session(layer, name)
    return session if session is not None and session.serves(layer.user) else None


def _make_room(layer: Layer, index: DeadlineIndex) -> None:
    """End the session of `index` that was idle for longest. Raises `ReplyError` (`busy`) if something is bound to each
    of them."""
    first = index.first(layer)
    if first is None:
        raise ReplyError(
            "there are too many sessions that hold something", hint="try again later", code="busy"
        )
    end(layer, first[1])
    if first[0] < read_clock(layer) + SESSION_IDLE_MS:
        index.swept(layer, *first)


def _make_room_of_user(layer: Layer) -> None:
    """End a session of the user that asks for one more, of those that were idle for longest. Raises `ReplyError`
    (`busy`) if it has none among these."""
    for _, name in IDLE_SESSIONS.due(layer, TIME_MS_MAX, limit=OWN_SOUGHT_MAX):
        session = load_session(layer, name)
        if session is not None and session.user == layer.user:
            end(layer, name)
            return
    raise ReplyError(
        f"the user has {USER_SESSIONS_MAX} sessions already",
        hint="close some, or try again later",
        code="busy",
    )


def _check_ttl(ttl_ms: int, owner: SessionOwner) -> None:
    is_right = SESSION_TTL_MS_MIN <= ttl_ms <= SESSION_TTL_MS_MAX and owner is SessionOwner.CLIENT
    if ttl_ms and not is_right:
        raise ReplyError(
            "invalid time to live", hint=f"from {SESSION_TTL_MS_MIN} to {SESSION_TTL_MS_MAX} milliseconds"
        )


@dataclass(frozen=True, slots=True)
class KeepSession(ServiceOperation):
    """Keep a session for its time to live from now on, and for `ttl_ms` if that is not 0: as long as that replaces it.
    It must be there: none is begun, because a name must not come back without its replies."""

    session: bytes
    ttl_ms: NotNegative = 0


def keep(layer: Layer, operation: KeepSession, entry: EntryPlace) -> Reply:
    """Let a session live on."""
    name = checked_name(operation.session)
    session = _own(layer, name)
    if session is None:
        raise SessionExpired("no such session", hint="begin a new one")
    _check_ttl(operation.ttl_ms, SessionOwner(session.owner))
    if operation.ttl_ms in (0, session.ttl_ms):
        store_session(layer, name, used(layer, name, session))
        return Result(True, None)
    session = suspended(layer, name, session)._replace(ttl_ms=operation.ttl_ms)
    store_session(layer, name, prolonged(layer, name, session))
    return Result(True, None)


@dataclass(frozen=True, slots=True)
class CloseSession(ServiceOperation):
    """End a session, and remove all that is kept for it."""

    session: bytes


def close(layer: Layer, operation: CloseSession, entry: EntryPlace) -> Reply:
    """End a session; it need not be there."""
    name = checked_name(operation.session)
    if _own(layer, name) is not None:
        end(layer, name)
    return Result(True, None)


def run(
    layer: Layer,
    operation: SessionOperation,
    payload: bytes,
    entry: EntryPlace,
    performing: Performing,
) -> Reply:
    """Do the operation within the session, unless it was done. `payload` is its encoding within the entry."""
    name, sequence = checked_name(operation.session), operation.sequence
    if not 1 <= operation.acknowledged <= sequence:
        raise ReplyError("a sequence is 1 or above, and what is acknowledged not above it")
    session = _own(layer, name)
    if session is None:
        raise SessionExpired(
            "no such session", hint="begin a new one; what was sent in this one may have taken effect"
        )
    if sequence < session.floor:
        raise SessionExpired(f"the answer to sequence {sequence} is no longer kept")
    digest = digest_of(payload)
    known = layer.get(_reply_key(name, sequence))
    if known is not None and decode_head(known).digest != digest:
        raise ReplyError(f"sequence {sequence} was used for something else", hint="never use a number twice")
    session = used(layer, name, session)
    session = _acknowledged(layer, name, session, operation.acknowledged)
    if known is not None:
        store_session(layer, name, session)
        head = decode_head(known)
        return Repetition(
            head.index, head.term, performing.completed(layer, operation.operation, decode_reply(known))
        )
    if session.replies >= SESSION_REPLIES_MAX + REFUSALS_MAX:
        store_session(layer, name, session)
        end(layer, name)
        return SessionExpired("the session was ended: too many replies were not acknowledged")
    if session.replies >= SESSION_REPLIES_MAX or session.reply_bytes >= SESSION_REPLY_BYTES_MAX:
        reply: Result | ReplyError = ReplyError(
            "too many replies are not acknowledged", hint="acknowledge some, then send it as a new operation"
        )
    else:
        store_session(layer, name, session)
        # A node passes on what others ask for: they are not in its session.
        layer.session = name if session.owner == SessionOwner.CLIENT else None
        try:
            reply = performing.perform(operation.operation, layer, entry.index)
        finally:
            layer.session = None
        # Something may have been bound to it, or is no longer.
        session = required(load_session(layer, name), "session")
        if layer.waits and isinstance(reply, Result) and is_nothing(reply.value):
            # The leader tries it again under the same sequence.
            return reply
    kept = performing.shortened(operation.operation, reply)
    record = encode_reply(kept, digest=digest, index=entry.index, term=entry.term)
    layer.put(_reply_key(name, sequence), record)
    store_session(
        layer,
        name,
        session._replace(replies=session.replies + 1, reply_bytes=session.reply_bytes + len(record)),
    )
    return reply


def end(layer: Layer, name: bytes) -> int:
    """Remove a session, all that is kept for it and the keys that are bound to it; it need not be there. Returns how
    many replies and keys those were."""
    session = load_session(layer, name)
    if session is None:
        return 0
    _acknowledged(layer, name, session, None)
    if session.bound:
        ENDED_SESSIONS.set(layer, read_clock(layer) + 1, name + pack_number(session.index))
    if not session.is_held:
        session.deadlines.lift(layer, session.deadline_ms, name)
    layer.delete(SESSION_PREFIX + name)
    _count(layer, session, -1)
    return session.replies + remove_bound_values(layer, session.index)


def is_decided(view: KeyValueView, operation: SessionOperation) -> bool:
    """Return whether the answer to `operation` is known already: it is kept, or is no longer kept, or there is no such
    session."""
    session = load_session(view, operation.session)
    if session is None or operation.sequence < session.floor:
        return True
    return view.head(_reply_key(operation.session, operation.sequence), 1) is not None


def session_count(view: KeyValueView) -> int:
    """Return how many sessions there are, of clients and of nodes."""
    return sum(read_number(view.get(key)) for key in _COUNT_KEYS.values())


def _acknowledged(layer: Layer, name: bytes, session: Session, floor: int | None) -> Session:
    """The session without the replies below `floor`, None for all of them; they are removed."""
    if floor is not None and floor <= session.floor:
        return session
    heads: list[tuple[bytes, bytes | None]]
    if session.replies == 0:
        heads = []
    elif floor is not None and floor - session.floor <= PROBED_MAX:
        keys = [_reply_key(name, sequence) for sequence in range(session.floor, floor)]
        heads = [(key, layer.head(key, HEAD_BYTES)) for key in keys]
    else:
        first = _reply_key(name, session.floor)
        last = REPLY_PREFIX + name + b"\xff" * 9 if floor is None else _reply_key(name, floor)
        limit = SESSION_REPLIES_MAX + REFUSALS_MAX
        heads = list(layer.scan(first, last, limit=limit, length=HEAD_BYTES))
    replies, reply_bytes = session.replies, session.reply_bytes
    for key, head in heads:
        if head is not None:
            layer.delete(key)
            replies -= 1
            reply_bytes -= decode_head(head).record_bytes
    return session._replace(floor=floor or session.floor, replies=replies, reply_bytes=reply_bytes)


def _reply_key(name: bytes, sequence: int) -> bytes:
    return REPLY_PREFIX + name + pack_number(sequence)


def _count(layer: Layer, session: Session, change: int) -> None:
    keys = [_COUNT_KEYS[SessionOwner(session.owner)]]
    if session.user:
        keys.append(USER_SESSION_COUNT_PREFIX + session.user)
    for key in keys:
        count = read_number(layer.get(key)) + change
        if count:
            layer.put(key, pack_number(count))
        else:
            layer.delete(key)


SESSIONS = Service(
    heading="sessions",
    prefixes=SESSION_COUNT_KEY
    + USER_SESSION_COUNT_PREFIX
    + REPLY_PREFIX
    + SESSION_PREFIX
    + IDLE_PREFIX
    + IDLE_SWEPT_KEY
    + ENDED_PREFIX
    + ENDED_SWEPT_KEY,
    operations=(
        OperationType(type=RegisterSession, number=66, run=register),
        OperationType(type=CloseSession, number=67, run=close),
        OperationType(type=KeepSession, number=74, run=keep),
    ),
    ending=Ending(
        index=IDLE_SESSIONS,
        end=lambda layer, time_ms, name, index: end(layer, name),
        count_max=SWEEP_SESSIONS_MAX,
        cost_max=SWEEP_REPLIES_MAX,
    ),
)

LEASED = Service(
    heading="sessions with a time to live",
    prefixes=LEASED_PREFIX + LEASED_SWEPT_KEY,
    ending=Ending(
        index=LEASED_SESSIONS,
        end=lambda layer, time_ms, name, index: end(layer, name),
        count_max=SWEEP_SESSIONS_MAX,
        cost_max=SWEEP_REPLIES_MAX,
    ),
)

NODE_SESSIONS = Service(
    heading="sessions of nodes",
    prefixes=NODE_SESSION_COUNT_KEY + NODE_IDLE_PREFIX + NODE_IDLE_SWEPT_KEY,
    ending=Ending(
        index=NODE_IDLE_SESSIONS,
        end=lambda layer, time_ms, name, index: end(layer, name),
        count_max=SWEEP_SESSIONS_MAX,
        cost_max=SWEEP_REPLIES_MAX,
    ),
)
"""The operations of `SESSIONS` are theirs, too."""
