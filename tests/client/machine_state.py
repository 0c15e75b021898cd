"""The state of fake nodes that the production machine keeps: its transactions, sessions and errors, not a likeness."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raftdb.commands.spec import Access, lookup, parse
from raftdb.errors import CODES, Conflict, ReplyError
from raftdb.limits import SESSION_IDLE_MS
from raftdb.machine.keyspace import HEADER_BYTES
from raftdb.machine.operations import Expire, Mode, SessionOperation, TransactionOperation
from raftdb.machine.reply import Page, Repetition, Result
from raftdb.machine.scanning import ReadPage
from raftdb.machine.sessions import CloseSession, RegisterSession, session_count
from raftdb.machine.values import values_prefix
from tests.client.fake_state import Arguments, FakeState, Refused
from tests.client.fake_state import Result as Answer
from tests.machine.database import EVERYTHING, KEY_VALUE_END, MACHINE, Database


class MachineState(FakeState):
    """One entry of the log for each write, register and close; `index` is that of the last answer."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self._index = 0
        self._session: Mapping[str, Any] | None = None

    @property
    def index(self) -> int:
        return self._index

    @property
    def session_count(self) -> int:
        return session_count(self.database.layer)

    def contents(self) -> dict[bytes, bytes]:
        """All keys and their values."""
        front = values_prefix(self.database.layer)
        found = self.database.layer.scan(front, KEY_VALUE_END, limit=EVERYTHING)
        return {key[len(front) :]: record[HEADER_BYTES:] for key, record in found}

    def forget_sessions(self) -> None:
        """An hour of silence, and what a leader proposes after it."""
        self.database.now_ms += 2 * SESSION_IDLE_MS
        while self.session_count:
            self.database.run(Expire())

    def register(self, name: str) -> None:
        self._apply(RegisterSession(bytes.fromhex(name)))

    def close_session(self, name: str) -> None:
        self._apply(CloseSession(bytes.fromhex(name)))

    def in_session(
        self, session: Mapping[str, Any] | None, asked: object, run: Callable[[], object]
    ) -> object:
        self._session = session
        return run()

    def execute(self, name: str, arguments: Arguments) -> Answer:
        command, spec = parse(name, arguments), lookup(name)
        assert spec is not None
        if spec.access is Access.READ:
            self._index = self.database.index
            return _answer(MACHINE.read(command, self.database.layer))
        return self._apply(command)

    def transact(
        self, commands: Sequence[tuple[str, Arguments]], watch: Sequence[tuple[bytes, int]], mode: str
    ) -> list[object]:
        parsed = tuple(parse(name, arguments) for name, arguments in commands)
        results, _ = self._apply(TransactionOperation(parsed, tuple(watch), Mode[mode.upper()]))
        assert isinstance(results, list)
        return [_refused(item).body if isinstance(item, ReplyError) else item for item in results]

    def page(
        self, prefix: bytes, after: bytes | None, limit: int
    ) -> tuple[list[tuple[bytes, bytes, int]], bytes | None]:
        found = MACHINE.read(ReadPage(prefix, after or b"", limit), self.database.layer)
        page, _ = _answer(found)
        assert isinstance(page, Page)
        records = [(record.key, record.value or b"", record.revision) for record in page.records]
        return records, page.next_after

    def _apply(self, operation: Any) -> Answer:
        session, self._session = self._session, None
        if session is not None:
            name, sequence = bytes.fromhex(session["id"]), session["seq"]
            operation = SessionOperation(name, sequence, session.get("acknowledged", sequence), operation)
        reply = self.database.run(operation)
        self._index = self.database.index
        if isinstance(reply, Repetition):
            self._index, reply = reply.index, reply.reply
        return _answer(reply)


def _answer(reply: object) -> Answer:
    if isinstance(reply, ReplyError):
        raise _refused(reply)
    assert isinstance(reply, Result)
    return reply


def _refused(error: ReplyError) -> Refused:
    beside: dict[str, object] = {}
    if isinstance(error, Conflict):
        beside["conflict"] = list(error.keys)
    if error.failed_command is not None:
        beside["failed"] = error.failed_command
    return Refused(CODES[error.code].status, error.code, error.message, **beside)
