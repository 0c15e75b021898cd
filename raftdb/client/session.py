"""The numbering that makes a write happen once, however often it is sent. No I/O.

A session is a name, drawn at random by the client and registered with the cluster, under which the cluster remembers
what it answered. Each write has a *sequence* in it, from 1 on; a repeated one is answered from memory. The cluster
forgets an answer when the client says that it waits for nothing below `acknowledged` any more, or when the whole
session is over, after an hour of silence.

So a sequence is used for one call only, all attempts of it included, and `acknowledged` is the lowest sequence of a
call that is still going on. A request that is still under way when its call has been given up may arrive later:
then it is executed once, or refused because it is below `acknowledged`, and never executed twice.
"""

import os
from collections.abc import Callable
from weakref import WeakValueDictionary, ref

from raftdb.client.protocol import Stamp
from raftdb.errors import LocalProtocolError

ID_BYTES = 16
"""A session's name has 128 bits, so that no two clients ever draw the same."""
SEQUENCES_AHEAD_MAX = 512
"""How far a sequence may be ahead of the lowest one waited for: the cluster keeps 1024 answers of a session."""


def draw_id() -> str:
    """A new session's name: 32 hexadecimal digits."""
    return os.urandom(ID_BYTES).hex()


class Session:
    """One session: its `id`, and the sequences that are still waited for."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.is_registered = False
        self._registrar: ref[Place] | None = None
        self._next = 1
        # In ascending order, for they are taken in that order. A call that is gone waits for nothing.
        self._waiting: WeakValueDictionary[int, Place] = WeakValueDictionary()

    @property
    def is_full(self) -> bool:
        """True while the next sequence would be too far ahead: wait until a call has ended."""
        return self._next - self._lowest() >= SEQUENCES_AHEAD_MAX

    @property
    def is_registering(self) -> bool:
        """True while a call is about to register it."""
        return self._registrar is not None and self._registrar() is not None

    def begin_registration(self, place: "Place") -> None:
        """The call that `place` belongs to registers it, until it says otherwise or is gone."""
        self._registrar = ref(place)

    def end_registration(self) -> None:
        """Nobody registers it any more, whether it is registered now or not."""
        self._registrar = None

    @property
    def is_waited_for(self) -> bool:
        """True while calls in it are under way."""
        return bool(self._waiting)

    def take(self, place: "Place") -> Stamp:
        """The stamp of the next call, which is waited for until `place` is left.

        Ctrl-C may come between any two lines here. Then the sequence is either not taken, or found in `place`, and
        given back when that is left or gone.
        """
        if self.is_full:
            raise LocalProtocolError("a sequence too far ahead")
        place.sequence = self._next
        self._waiting[place.sequence] = place
        self._next = place.sequence + 1
        return Stamp(self.id, place.sequence, self._lowest())

    def leave(self, place: "Place") -> None:
        """The call has ended, whether it came to take a sequence or not."""
        if self._waiting.get(place.sequence) is place:
            del self._waiting[place.sequence]

    def _lowest(self) -> int:
        return next(iter(self._waiting), self._next)


class Place:
    """What a call has of a session: a sequence, 0 while it has none. It is gone when the call is."""

    __slots__ = ("__weakref__", "sequence")

    def __init__(self) -> None:
        self.sequence = 0


class Sessions:
    """The session that a client uses at present: begun when it is first needed, and anew when it has expired."""

    def __init__(self, draw: Callable[[], str] = draw_id) -> None:
        self._draw = draw
        self._current: Session | None = None

    def current(self) -> Session:
        """The session for the next write; the caller registers it if it is not yet."""
        if self._current is None:
            self._current = Session(self._draw())
        return self._current

    def leave(self, session: Session) -> None:
        """`session` is over: the next write begins another."""
        if self._current is session:
            self._current = None

    def take(self) -> Session | None:
        """The session that is to be closed: if one was registered, and no call is under way in it. The next write
        begins another."""
        session, self._current = self._current, None
        is_idle = session is not None and session.is_registered and not session.is_waited_for
        return session if is_idle else None
