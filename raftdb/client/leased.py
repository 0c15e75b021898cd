"""The session to which a client binds keys, which has a time to live: they are gone soon after their client is. No I/O.

It is another one than that of ordinary writes, and is begun by the first write that binds something. So a client that
only reads and writes sends nothing for it; and one that was away for too long loses its bound keys, but not the answers
to its other writes.

It is renewed like a lock (`raftdb.client.renewing`), and is lost like one (`raftdb.client.leases`): by time alone, or
when the cluster says that it is not there any more. That is told twice: to whoever asked to hear of it, when it
happens; and by `SessionLost`, to whoever binds something next. Only after that another session is begun, so that nobody
takes the keys of the old one for still there.
"""

from collections.abc import Callable

from raftdb.client.keeping import Kept, Sort
from raftdb.client.leases import Lease, SessionLost, now_ms
from raftdb.client.renewing import Renewals
from raftdb.client.session import Session, Sessions, draw_id


class LeasedSessions(Sessions):
    """The present session with a time to live. `on_lost` is called on another thread, once for each that is lost."""

    def __init__(
        self,
        ttl_ms: int,
        renewals: Renewals,
        on_lost: Callable[[], None],
        *,
        draw: Callable[[], str] = draw_id,
        clock: Callable[[], float] = now_ms,
    ) -> None:
        super().__init__(draw)
        self.ttl_ms = ttl_ms
        self._renewals = renewals
        self._on_lost = on_lost
        self._clock = clock
        self._asked_ms = 0.0
        self._kept: Kept | None = None

    def current(self) -> Session:
        """The session for the next write. Raises `SessionLost` if the one before was lost, once."""
        if self._kept is not None and self._kept.lease.is_lost:
            self.abandon()
            raise SessionLost()
        session = super().current()
        if not session.is_registering:
            self._asked_ms = self._clock()
        return session

    def registered(self, session: Session) -> None:
        """Renew it from now on; its time counts from when it was asked for."""
        super().registered(session)
        lease = Lease(self.ttl_ms, sent_ms=self._asked_ms, clock=self._clock)
        self._kept = Kept(lease, session.id.encode(), b"", Sort.SESSION, self._on_lost)
        self._renewals.keep(self._kept)

    def leave(self, session: Session) -> None:
        """The cluster says that the session is not there any more."""
        if self._kept is not None and self._kept.name == session.id.encode():
            self._kept.lease.end()

    def take(self) -> Session | None:
        """See `Sessions`. It is renewed no longer."""
        session = super().take()
        self.abandon()
        return session

    def abandon(self) -> None:
        """Let the session end by itself, and tell nobody."""
        super().abandon()
        if self._kept is not None:
            self._renewals.drop(self._kept)
            self._kept = None
