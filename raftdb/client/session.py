"""The numbers by which a write is executed once, however often it is sent. No I/O.

A session has a random name, which the client registers with the cluster, and under which the cluster keeps its answers.
Each write has a *sequence* in the session, from 1 on; a repeated write gets the kept answer. The cluster forgets the
answers below `acknowledged`, for which the client no longer waits, and all of them when the session ends, after an hour
without use.

So a sequence is used for all attempts of one call, and for no other call, and `acknowledged` is the lowest sequence of
a call that is still going on. A request that arrives after its call was given up is executed once, or refused because
it is below `acknowledged`, and never executed twice.
"""

import os
from collections.abc import Callable
from weakref import WeakValueDictionary, ref

from raftdb.client.protocol import Stamp
from raftdb.errors import LocalProtocolError

ID_BYTES = 16
"""A session's name has 128 random bits, so that no two clients have the same."""
SEQUENCES_AHEAD_MAX = 512
"""How far a sequence may be ahead of the lowest one that is waited for: the cluster keeps 1024 answers of a session."""


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
        # The calls that are going on, in ascending order, in which they are taken. A call that is collected drops out.
        self._waiting: WeakValueDictionary[int, Place] = WeakValueDictionary()

    @property
    def is_full(self) -> bool:
        """True while the next sequence would be too far ahead, so that a call has to end first."""
        return self._next - self._lowest() >= SEQUENCES_AHEAD_MAX

    @property
    def is_registering(self) -> bool:
        """True while a call is about to register it."""
        return self._registrar is not None and self._registrar() is not None

    def begin_registration(self, place: "Place") -> None:
        """Note that the call of `place` registers the session, until `end_registration` or until `place` is
        collected."""
        self._registrar = ref(place)

    def end_registration(self) -> None:
        """Note that the registration has ended, successfully or not."""
        self._registrar = None

    @property
    def is_waited_for(self) -> bool:
        """True while calls in it are under way."""
        return bool(self._waiting)

    def take(self, place: "Place") -> Stamp:
        """The stamp of the next call, which counts as going on until `place` is left or collected.

        A KeyboardInterrupt may come between any two lines here. The sequence then is either not taken, or stands in
        `place`, and is given back with that.
        """
        if self.is_full:
            raise LocalProtocolError("a sequence too far ahead")
        place.sequence = self._next
        self._waiting[place.sequence] = place
        self._next = place.sequence + 1
        return Stamp(self.id, place.sequence, self._lowest())

    def leave(self, place: "Place") -> None:
        """Note that the call of `place` has ended, whether it took a sequence or not."""
        if self._waiting.get(place.sequence) is place:
            del self._waiting[place.sequence]

    def _lowest(self) -> int:
        return next(iter(self._waiting), self._next)


class Place:
    """The sequence of a call in a session, 0 while it has none. It is collected with the call."""

    __slots__ = ("__weakref__", "sequence")

    def __init__(self) -> None:
        self.sequence = 0


class Sessions:
    """The present session of a client, which is begun when it is first needed, and anew when it has expired."""

    ttl_ms = 0
    """The time to live that it is registered with, 0 for none."""

    def __init__(self, draw: Callable[[], str] = draw_id) -> None:
        self._draw = draw
        self._current: Session | None = None

    def current(self) -> Session:
        """The session for the next write; the caller registers it if it is not registered yet."""
        if self._current is None:
            self._current = Session(self._draw())
        return self._current

    def registered(self, session: Session) -> None:
        """Note that the cluster knows `session`."""
        session.is_registered = True

    def leave(self, session: Session) -> None:
        """Do not use `session` any more: the next write begins another one."""
        if self._current is session:
            self._current = None

    def abandon(self) -> None:
        """Let the present session end by itself."""
        self._current = None

    def take(self) -> Session | None:
        """The session to close, if one is registered and no call in it is going on; else None. The next write begins
        another one."""
        session, self._current = self._current, None
        is_idle = session is not None and session.is_registered and not session.is_waited_for
        return session if is_idle else None
