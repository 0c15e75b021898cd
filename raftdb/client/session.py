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
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raftdb.client.protocol import Stamp

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
        self.is_registering = False
        self._next = 1
        self._waiting: dict[int, None] = {}  # in ascending order, for they are taken in that order

    @property
    def is_full(self) -> bool:
        """True while the next sequence would be too far ahead: wait until a call has ended."""
        return self._next - self._lowest() >= SEQUENCES_AHEAD_MAX

    @contextmanager
    def sequence(self) -> Iterator[Stamp]:
        """The stamp of the next call, which is waited for until the block is left."""
        assert not self.is_full, "a sequence too far ahead"
        sequence = self._next
        self._next += 1
        self._waiting[sequence] = None
        try:
            yield Stamp(self.id, sequence, self._lowest())
        finally:
            del self._waiting[sequence]

    def _lowest(self) -> int:
        return next(iter(self._waiting), self._next)


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
        """The session that is to be closed, if one was registered; the next write begins another."""
        session, self._current = self._current, None
        return session if session is not None and session.is_registered else None
