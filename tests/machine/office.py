"""A database, and people who ask for locks in it."""

from raftdb.errors import ReplyError
from raftdb.machine.locks.holding import Lock, Unlock
from raftdb.machine.locks.looking import LockInfo
from raftdb.machine.locks.records import LockMode
from raftdb.machine.operations import Expire, SessionOperation, WaitingOperation
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.service import Command
from raftdb.machine.waiting import Asker
from tests.machine.database import Database, check_books

NAME = b"report"
NOBODY = Asker(b"", None)
"""Who sends a command where there are no users, and no session."""


class Office:
    """A database, and people who ask for locks in it."""

    def __init__(self) -> None:
        self.database = Database()
        self.database.now_ms = 1_000
        self._sequence = 0

    def ask(
        self, command: Command, session: bytes | None = None, *, waits: bool = False
    ) -> Result | ReplyError:
        """The result of a command, as the machine says it."""
        operation: Command | SessionOperation = command
        if session is not None:
            self._sequence += 1
            operation = SessionOperation(session, self._sequence, self._sequence, command)
        reply = self.database.applied(WaitingOperation(operation) if waits else operation).reply
        assert not isinstance(reply, Repetition)
        check_books(self.database.layer)
        return reply

    def tries(self, owner: str, name: bytes = NAME, mode: LockMode = LockMode.EXCLUSIVE, **more: int) -> int:
        """The token, 0 if somebody else has the lock."""
        return self._token(self.ask(Lock(name, mode, owner=owner.encode(), **more)))

    def waits(self, owner: str, name: bytes = NAME, mode: LockMode = LockMode.EXCLUSIVE, **more: int) -> int:
        """The token, 0 if the owner has a place in the line."""
        return self._token(self.ask(Lock(name, mode, owner=owner.encode(), **more), waits=True))

    def holders(self, name: bytes = NAME) -> list[str]:
        """Who holds a lock."""
        return [holder[0].decode() for holder in self._info(name, 7)]

    def line(self, name: bytes = NAME) -> list[str]:
        """Who waits for it."""
        return [place[0].decode() for place in self._info(name, 9)]

    def token(self, owner: str, name: bytes = NAME) -> int:
        """The token of a holder."""
        return int(next(holder[2] for holder in self._info(name, 7) if holder[0] == owner.encode()))

    def left_ms(self, owner: str, name: bytes = NAME) -> int:
        """What is left of the lease of a holder."""
        return int(next(holder[4] for holder in self._info(name, 7) if holder[0] == owner.encode()))

    def unlocks(self, owner: str, name: bytes = NAME) -> None:
        """Give back what the owner holds."""
        assert self.ask(Unlock(name, self.token(owner, name))) == Result(True, None)

    def passes(self, milliseconds: int, *, sweeps: bool = True) -> None:
        """Let time pass; what is due is ended."""
        self.database.now_ms += milliseconds
        if sweeps:
            self.database.run(Expire())
            check_books(self.database.layer)

    def _info(self, name: bytes, at: int) -> list[list]:  # type: ignore[type-arg]
        info = self.database.value(LockInfo(name))
        return info[at] if isinstance(info, list) else []

    @staticmethod
    def _token(reply: Result | ReplyError) -> int:
        assert isinstance(reply, Result), reply
        return int(reply.value[0]) if isinstance(reply.value, list) else 0
