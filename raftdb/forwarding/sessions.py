"""The sessions of a node, by which what it passes on is done once (see `raftdb.machine.sessions`).

Requests that wait have other sessions than those that do not: one that waits for most of a minute keeps all replies of
its session from being forgotten that come after it.
"""

import os
from collections import deque

from raftdb.errors import Unavailable
from raftdb.limits import SESSION_IDLE_MS, SESSION_REPLIES_MAX
from raftdb.machine.operations import SessionOperation, TransactionOperation
from raftdb.machine.service import Command
from raftdb.machine.session_records import SESSION_NAME_BYTES, SessionOwner
from raftdb.machine.sessions import RegisterSession

SESSIONS = 64
"""Sessions of one node. Each holds a number of unanswered writes and of bytes of their replies."""
UNANSWERED_MAX = SESSION_REPLIES_MAX // 2
"""Most writes from the oldest unanswered one of a session to its newest."""
WAIT_SESSIONS_MAX = 256
"""Most sessions of one node for requests that wait, each with `UNANSWERED_MAX` at a time."""
IDLE_S_MAX = SESSION_IDLE_MS / 2000
"""A session that was not used for this long is given up before the cluster may end it."""


class NodeSession:
    """One session. Its sequences are given out in order, and may be answered in any."""

    def __init__(self) -> None:
        self.name = os.urandom(SESSION_NAME_BYTES)
        self.is_known = False
        """Whether its registration was sent before all that is sent from now on."""
        self.is_lost = False
        """Whether the cluster does not know it any more."""
        self.used_s = 0.0
        self._last = 0
        self._unanswered: deque[int] = deque()
        self._answered: set[int] = set()

    @property
    def registration(self) -> RegisterSession:
        """What begins it."""
        return RegisterSession(self.name, SessionOwner.NODE)

    @property
    def unanswered(self) -> int:
        """How many sequences are from the oldest unanswered one on."""
        return self._last + 1 - self._floor

    @property
    def _floor(self) -> int:
        return self._unanswered[0] if self._unanswered else self._last + 1

    def wrap(self, operation: Command | TransactionOperation) -> SessionOperation:
        """`operation` under the next sequence."""
        self._last += 1
        self._unanswered.append(self._last)
        return SessionOperation(self.name, self._last, self._floor, operation)

    def answered(self, sequence: int) -> None:
        """Nobody waits for the answer to `sequence` any more."""
        unanswered, answered = self._unanswered, self._answered
        answered.add(sequence)
        while unanswered and unanswered[0] in answered:
            answered.discard(unanswered.popleft())


class WaitSessions:
    """The sessions of requests that wait. One is used until it has no room, and only then another: who has waited
    longest is mostly served first, so there is room again at its front."""

    def __init__(self) -> None:
        self._sessions: list[NodeSession] = []
        self._position = 0
        self._coming: NodeSession | None = None

    def choose(self, now_s: float) -> NodeSession | None:
        """A session with room for one more, None if another has to be begun first."""
        count = len(self._sessions)
        for step in range(count):
            position = (self._position + step) % count
            session = self._sessions[position]
            is_idle = not session.unanswered and now_s - session.used_s > IDLE_S_MAX
            if session.unanswered < UNANSWERED_MAX and not is_idle:
                self._position, session.used_s = position, now_s
                return session
        return None

    def begin(self) -> NodeSession | None:
        """A session that is to be registered; None if one is already. Raises Unavailable (`busy`)."""
        if self._coming is not None:
            return None
        if len(self._sessions) >= WAIT_SESSIONS_MAX:
            raise Unavailable(
                "busy", "too many requests wait for the leader", hint="ask again a little later"
            )
        self._coming = NodeSession()
        return self._coming

    def registered(self, session: NodeSession, now_s: float, *, is_known: bool) -> None:
        """What `begin` has given is known to the cluster, or could not be registered."""
        self._coming = None
        if is_known:
            self._sessions = [
                each for each in self._sessions if each.unanswered or each.used_s > now_s - IDLE_S_MAX
            ]
            self._position = len(self._sessions)
            session.used_s = now_s
            self._sessions.append(session)

    def lost(self, session: NodeSession) -> None:
        """The cluster does not know it any more."""
        self._sessions = [each for each in self._sessions if each is not session]


class NodeSessions:
    """All sessions of one node, which are used in turn, so that replies that are kept are spread over them."""

    def __init__(self) -> None:
        self._sessions = [NodeSession() for _ in range(SESSIONS)]
        self._position = 0

    def choose(self, now_s: float) -> NodeSession:
        """The next session with room for one more write. Raises Unavailable (`busy`)."""
        for _ in range(SESSIONS):
            self._position = (self._position + 1) % SESSIONS
            session = self._sessions[self._position]
            is_idle = session.is_known and not session.unanswered and now_s - session.used_s > IDLE_S_MAX
            if session.is_lost or is_idle:
                session = self._sessions[self._position] = NodeSession()
            if session.unanswered < UNANSWERED_MAX:
                session.used_s = now_s
                return session
        raise Unavailable("busy", "too many writes wait for the leader", hint="send more slowly")
