"""How sessions stand in the key space, when each is to end, and what is bound to them.

A session is in one index at most, by when it ends if it is not used before: those with a time to live of their own in
one (`LEASED_SESSIONS`), the others of clients, and those of nodes, in theirs. A session to which locks are bound has no
such time, unless it has a time to live: its client has said itself for how long it counts if nothing is heard of it.
"""

import hashlib
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from raftdb.errors import ReplyError, required
from raftdb.limits import SESSION_IDLE_MS, TIME_MS_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.deadlines import DeadlineIndex
from raftdb.machine.keyspace import (
    ENDED_PREFIX,
    ENDED_SWEPT_KEY,
    IDLE_PREFIX,
    IDLE_SWEPT_KEY,
    LEASED_PREFIX,
    LEASED_SWEPT_KEY,
    NODE_IDLE_PREFIX,
    NODE_IDLE_SWEPT_KEY,
    SESSION_PREFIX,
    pack_number,
    read_number,
)
from raftdb.machine.layer import KeyValueView, Layer

SESSION_NAME_BYTES = 16
"""Length of a session's name, which its client draws at random: 128 bits, so that no two meet."""

BINDING_BYTES = SESSION_NAME_BYTES + 8
"""Length of a binding: the name of a session and the index of its registration, which tells it from a later session of
that name."""

SHOWN_BYTES = 8
"""Length of the digest that is shown of a session's name."""


def shown_session(name: bytes) -> str:
    """Return what is shown of a session to others, as 16 hexadecimal digits. Who knows its name may use and end it, so
    the name itself is told to nobody; this tells sessions apart, and who knows the name can tell its own."""
    return hashlib.blake2b(name, digest_size=SHOWN_BYTES).hexdigest()


IDLE_SESSIONS = DeadlineIndex(IDLE_PREFIX, IDLE_SWEPT_KEY)
"""The sessions of clients, by when they end if they are not used before."""
LEASED_SESSIONS = DeadlineIndex(LEASED_PREFIX, LEASED_SWEPT_KEY)
"""Those of them that have a time to live, likewise."""
NODE_IDLE_SESSIONS = DeadlineIndex(NODE_IDLE_PREFIX, NODE_IDLE_SWEPT_KEY)
"""The sessions of nodes, likewise."""
ENDED_SESSIONS = DeadlineIndex(ENDED_PREFIX, ENDED_SWEPT_KEY)
"""The bindings of sessions that have ended while something was bound to them, until all of that is given back."""

IDLE_GRAIN_MS = 60_000
"""A session that is in use gets a new deadline no more often than this, and is given so much more time for it."""
GRAINS = 4
"""For a session with a time to live that is this part of it, if that is less."""

_RECORD = Struct(">QQQQIQBIQ")


class SessionOwner(IntEnum):
    """Whose session it is. The numbers are in the log and in the state: never reuse one."""

    CLIENT = 0
    NODE = 1
    """A node, which passes the requests of many clients on."""


class Session(NamedTuple):
    """A session. `index` and `term` are those of its registration. `ttl_ms`: its time to live, 0 if it has none of its
    own. `user`: whose it is, empty if it was begun on nobody's behalf, as those of nodes are."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int
    deadline_ms: int
    floor: int
    """The lowest sequence that is still accepted: replies below it are gone."""
    replies: int
    reply_bytes: int
    owner: int
    bound: int
    """How many things of other services are bound to it."""
    ttl_ms: int
    user: bytes = b""

    def serves(self, user: bytes) -> bool:
        """Whether it is there for this user: a session of another one is as good as none."""
        return self.user in (b"", user)

    @property
    def deadlines(self) -> DeadlineIndex:
        """The index that it is in, unless something keeps it from ending."""
        if self.ttl_ms:
            return LEASED_SESSIONS
        return NODE_IDLE_SESSIONS if self.owner == SessionOwner.NODE else IDLE_SESSIONS

    @property
    def idle_ms(self) -> int:
        """For how long it need not be used."""
        return self.ttl_ms or SESSION_IDLE_MS

    @property
    def is_held(self) -> bool:
        """Whether what is bound to it keeps it from ending."""
        return self.bound > 0 and not self.ttl_ms


def checked_name(name: bytes) -> bytes:
    """Return the name; raises `ReplyError` for one that is none."""
    if len(name) != SESSION_NAME_BYTES:
        raise ReplyError(f"the name of a session has {SESSION_NAME_BYTES} bytes")
    return name


def load_session(view: KeyValueView, name: bytes) -> Session | None:
    """Return the session of this name, None if there is none."""
    record = view.get(SESSION_PREFIX + name)
    return None if record is None else Session._make((*_RECORD.unpack_from(record), record[_RECORD.size :]))


def store_session(layer: Layer, name: bytes, session: Session) -> None:
    """Write a session down as it is now."""
    layer.put(SESSION_PREFIX + name, _RECORD.pack(*session[:-1]) + session.user)


def prolonged(layer: Layer, name: bytes, session: Session) -> Session:
    """Return the session with a deadline that counts from now; it is in its index."""
    grain_ms = min(IDLE_GRAIN_MS, session.idle_ms // GRAINS)
    deadline_ms = read_clock(layer) + session.idle_ms + grain_ms
    session.deadlines.set(layer, deadline_ms, name)
    return session._replace(deadline_ms=deadline_ms)


def suspended(layer: Layer, name: bytes, session: Session) -> Session:
    """Return the session without a deadline; it is in no index."""
    session.deadlines.lift(layer, session.deadline_ms, name)
    return session._replace(deadline_ms=TIME_MS_MAX)


def used(layer: Layer, name: bytes, session: Session) -> Session:
    """Return the session with its deadline moved, if it is time for that."""
    if session.deadline_ms >= read_clock(layer) + session.idle_ms:
        return session
    return prolonged(layer, name, suspended(layer, name, session))


def registered_at(view: KeyValueView, name: bytes) -> int | None:
    """Return the index of the registration of a session, None if there is no such session."""
    session = load_session(view, name)
    return None if session is None else session.index


def binding_of(view: KeyValueView, name: bytes) -> bytes | None:
    """Return what binds things to the session of this name as it is now, None if there is no such session."""
    session = load_session(view, name)
    return None if session is None else name + pack_number(session.index)


def bound_count(view: KeyValueView, binding: bytes) -> int | None:
    """Return how many things are bound to a session; None if it has ended, and so have they."""
    session = load_session(view, binding[:SESSION_NAME_BYTES])
    if session is None or session.index != read_number(binding[SESSION_NAME_BYTES:]):
        return None
    return session.bound


def bind(layer: Layer, binding: bytes, change: int) -> None:
    """Note that more things are bound to a session, or fewer; it may have ended. While any are it does not idle out,
    unless it has a time to live."""
    count = bound_count(layer, binding)
    if count is None:
        return
    name = binding[:SESSION_NAME_BYTES]
    session = required(load_session(layer, name), "session")._replace(bound=count + change)
    if session.is_held and count == 0:
        session = suspended(layer, name, session)
    elif session.bound == 0 and not session.ttl_ms:
        session = prolonged(layer, name, session)
    store_session(layer, name, session)
