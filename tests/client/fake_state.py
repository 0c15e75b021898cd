"""The state that fake nodes share: what a cluster has agreed on, without any agreement.

It does what the machine does as far as a client can see it: values with revisions, transactions, and sessions that
remember answers. Time stands still but for `advance`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OK = "OK"
NOT_A_NUMBER = "value is not an integer or out of range"


class Refused(Exception):
    """An error answer: its status and body."""

    def __init__(self, status: int, code: str, message: str, **beside: object) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": {"code": code, "message": message}, **beside}


@dataclass
class FakeSession:
    """The answers that a session remembers, by sequence, with what was asked."""

    answers: dict[int, tuple[object, object]] = field(default_factory=dict)
    acknowledged: int = 0


Arguments = Sequence[bytes]
Result = tuple[object, int | None]


class FakeState:
    """Keys, sessions and the log."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.revisions: dict[bytes, int] = {}
        self.ends_ms: dict[bytes, int] = {}
        self.sessions: dict[str, FakeSession] = {}
        self.sessions_max = 1000
        self.log: list[dict[str, Any]] = [{"index": 1, "term": 1, "kind": "noop"}]
        self.now_ms = 0

    @property
    def index(self) -> int:
        return len(self.log)

    def revision(self, key: bytes) -> int:
        return self.revisions.get(key, 1) if key in self.values else 0

    def advance(self, duration_ms: int) -> None:
        """Time goes on, and what ends by then is gone."""
        self.now_ms += duration_ms
        for key in [key for key, ends_ms in self.ends_ms.items() if ends_ms <= self.now_ms]:
            self._forget(key)

    def append(self, kind: str, **more: object) -> int:
        self.log.append({"index": len(self.log) + 1, "term": 1, "kind": kind, **more})
        return self.index

    # Sessions

    def register(self, name: str) -> None:
        self.append("session")
        self.sessions.setdefault(name, FakeSession())
        while len(self.sessions) > self.sessions_max:
            del self.sessions[next(iter(self.sessions))]

    def close_session(self, name: str) -> None:
        self.append("session")
        self.sessions.pop(name, None)

    def in_session(
        self, session: Mapping[str, Any] | None, asked: object, run: Callable[[], object]
    ) -> object:
        """What `run` returns or raises, the first time; then what it returned or raised that time."""
        if session is None:
            return run()
        known = self.sessions.get(session["id"])
        sequence = session["seq"]
        if known is None:
            raise Refused(409, "session_expired", "the session is not known")
        if sequence < known.acknowledged:
            raise Refused(409, "session_expired", "the answer is no longer kept")
        known.acknowledged = max(known.acknowledged, session.get("acknowledged", sequence))
        known.answers = {n: kept for n, kept in known.answers.items() if n >= known.acknowledged}
        if sequence not in known.answers:
            try:
                answer: object = run()
            except Refused as error:
                answer = error
            known.answers[sequence] = asked, answer
        asked_before, answer = known.answers[sequence]
        if asked_before != asked:
            raise Refused(422, "command_failed", "the sequence was used for something else")
        if isinstance(answer, Refused):
            raise answer
        return answer

    # Commands

    def execute(self, name: str, arguments: Arguments) -> Result:
        """(result, revision) of one command as an entry of its own; raises `Refused`."""
        if name in READS:
            return READS[name](self, arguments)
        index = self.append("command", command=name, args=list(arguments))
        return self.write(name, arguments, index)

    def write(self, name: str, arguments: Arguments, index: int) -> Result:
        if name not in WRITES:
            raise Refused(400, "unknown_command", f"unknown command {name!r}")
        return WRITES[name](self, arguments, index)

    def transact(
        self, commands: Sequence[tuple[str, Arguments]], watch: Sequence[tuple[bytes, int]], mode: str
    ) -> list[object]:
        """The results, `Refused` where a command failed; raises it for a conflict and in mode atomic."""
        index = self.append("transaction", commands=[[name, *arguments] for name, arguments in commands])
        changed = [key for key, revision in watch if self.revision(key) != revision]
        if changed:
            raise Refused(409, "conflict", "keys have changed", results=None, conflict=changed)
        tables: list[dict[bytes, Any]] = [self.values, self.revisions, self.ends_ms]
        before = [dict(table) for table in tables]
        results: list[object] = []
        for number, (name, arguments) in enumerate(commands):
            try:
                run = READS[name](self, arguments) if name in READS else self.write(name, arguments, index)
                results.append(run[0])
            except Refused as error:
                if mode == "atomic":
                    for table, kept in zip(tables, before, strict=True):
                        table.clear()
                        table.update(kept)
                    raise Refused(422, "command_failed", str(error), failed=number) from None
                results.append({"error": error.body["error"]})
        return results

    def page(
        self, prefix: bytes, after: bytes | None, limit: int
    ) -> tuple[list[tuple[bytes, bytes, int]], bytes | None]:
        """Up to `limit` keys in order with value and revision, and where the next page begins."""
        found = sorted(key for key in self.values if key.startswith(prefix) and key > (after or b""))
        page = [(key, self.values[key], self.revision(key)) for key in found[:limit]]
        return page, (page[-1][0] if len(found) > limit else None)

    def _forget(self, key: bytes) -> None:
        self.values.pop(key, None)
        self.ends_ms.pop(key, None)

    def _put(self, key: bytes, value: bytes, index: int, ends_ms: int | None = None) -> Result:
        self.values[key] = value
        self.revisions[key] = index
        self.ends_ms.pop(key, None)
        if ends_ms is not None:
            self.ends_ms[key] = ends_ms
        return OK, index

    def _get(self, arguments: Arguments) -> Result:
        return self.values.get(arguments[0], b""), self.revision(arguments[0])

    def _strlen(self, arguments: Arguments) -> Result:
        return len(self.values.get(arguments[0], b"")), self.revision(arguments[0])

    def _ttl(self, arguments: Arguments) -> Result:
        key = arguments[0]
        if key not in self.values:
            return -2, 0
        seconds = -((self.now_ms - self.ends_ms[key]) // 1000) if key in self.ends_ms else -1
        return seconds, self.revision(key)

    def _set(self, arguments: Arguments, index: int) -> Result:
        key, value, *words = arguments
        options = [word.upper() for word in words]
        if (b"NX" in options and key in self.values) or (b"XX" in options and key not in self.values):
            return None, self.revision(key)
        ends_ms = self.ends_ms.get(key) if b"KEEPTTL" in options else None
        for word, factor in ((b"PX", 1), (b"EX", 1000)):
            if word in options:
                ends_ms = self.now_ms + int(options[options.index(word) + 1]) * factor
        return self._put(key, value, index, ends_ms)

    def _delete(self, arguments: Arguments, index: int) -> Result:
        result = self._get(arguments)
        self._forget(arguments[0])
        return result

    def _append(self, arguments: Arguments, index: int) -> Result:
        key, text = arguments
        return self._put(key, self.values.get(key, b"") + text, index, self.ends_ms.get(key))

    def _setrange(self, arguments: Arguments, index: int) -> Result:
        key, offset, text = arguments[0], int(arguments[1]), arguments[2]
        if offset < 0:
            raise Refused(400, "bad_request", "offset is out of range")
        old = self.values.get(key, b"")
        if text:
            data = old[:offset].ljust(offset, b"\0") + text + old[offset + len(text) :]
            self._put(key, data, index, self.ends_ms.get(key))
        return len(self.values.get(key, b"")), index

    def _increment(self, arguments: Arguments, index: int) -> Result:
        key, delta = arguments
        try:
            number = int(self.values.get(key, b"0")) + int(delta)
        except ValueError:
            raise Refused(422, "command_failed", NOT_A_NUMBER) from None
        self._put(key, b"%d" % number, index, self.ends_ms.get(key))
        return number, index

    def _getset(self, arguments: Arguments, index: int) -> Result:
        old = self.values.get(arguments[0], b"")
        self._put(arguments[0], arguments[1], index)
        return old, index

    def _cas(self, arguments: Arguments, index: int) -> Result:
        key, revision, value = arguments
        if self.revision(key) != int(revision):
            message = f"the revision is {self.revision(key)}"
            raise Refused(409, "conflict", message, conflict=[key])
        return self._put(key, value, index)

    def _expire(self, arguments: Arguments, index: int) -> Result:
        key, seconds = arguments[0], int(arguments[1])
        if key not in self.values:
            return 0, 0
        if seconds <= 0:
            self._forget(key)
        else:
            self._put(key, self.values[key], index, self.now_ms + seconds * 1000)
        return 1, index

    def _persist(self, arguments: Arguments, index: int) -> Result:
        key = arguments[0]
        if key not in self.ends_ms:
            return 0, 0
        self._put(key, self.values[key], index)
        return 1, index

    def _mset(self, arguments: Arguments, index: int) -> Result:
        for key, value in zip(arguments[::2], arguments[1::2], strict=True):
            self._put(key, value, index)
        return OK, None


READS: dict[str, Callable[[FakeState, Arguments], Result]] = {
    "get": FakeState._get,
    "strlen": FakeState._strlen,
    "exists": lambda state, keys: (sum(key in state.values for key in keys), None),
    "mget": lambda state, keys: ([state.values.get(key) for key in keys], None),
    "ttl": FakeState._ttl,
    "dbsize": lambda state, arguments: (len(state.values), None),
    "ping": lambda state, arguments: ("PONG", None),
}

WRITES: dict[str, Callable[[FakeState, Arguments, int], Result]] = {
    "set": FakeState._set,
    "del": FakeState._delete,
    "append": FakeState._append,
    "setrange": FakeState._setrange,
    "incr": lambda state, arguments, index: state._increment([arguments[0], b"1"], index),
    "decr": lambda state, arguments, index: state._increment([arguments[0], b"-1"], index),
    "incrby": FakeState._increment,
    "getset": FakeState._getset,
    "cas": FakeState._cas,
    "expire": FakeState._expire,
    "persist": FakeState._persist,
    "mset": FakeState._mset,
}
