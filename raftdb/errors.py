"""The errors of raftdb: five kinds, never mixed, and the one table of their codes.

* `CommandFailed`: the command ran and failed. Deterministic, a result of apply, equal on every replica. Two of them
  have types of their own, for callers act on them: `Conflict` and `SessionExpired`.
* `Unavailable`: the cluster cannot answer now, and the command was surely not executed: it may be sent again.
* `OutcomeUnknown`: the command may have taken effect, or may yet. A timeout is *unknown*, never *failed*; and it is no
  `Unavailable`, so that who catches that to try again does nothing twice.
* `ProtocolError`: somebody broke a contract. `RequestRefused` is a client's fault and nothing was changed;
  `RemoteProtocolError` is a peer's, and its connection is closed.
* `Fatal`: the disk failed, an invariant broke, the folder is not ours. The process stops with `exit_code`.

Every error says what happened, why, and where there is one, the next step (`hint`).
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from raftdb.endpoint import Endpoint, text_of

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class LeaderHint:
    """Where the leader is, as far as the answering node knows."""

    id: str
    endpoint: Endpoint
    redis_endpoint: Endpoint | None = None

    @property
    def http(self) -> str:
        """HOST:PORT of its HTTP interface."""
        return str(self.endpoint)

    @property
    def redis(self) -> str | None:
        """HOST:PORT of its Redis port, if it has one."""
        return text_of(self.redis_endpoint)


@dataclass(frozen=True, slots=True)
class Code:
    """What one error code means to a caller: its HTTP status and the exit code of a client command."""

    status: int
    exit_code: int


CODES: dict[str, Code] = {
    "not_leader": Code(307, 3),
    "no_leader": Code(503, 3),
    "no_quorum": Code(503, 3),
    "busy": Code(503, 3),
    "no_space": Code(503, 3),
    "outcome_unknown": Code(504, 3),
    "bad_request": Code(400, 2),
    "unknown_command": Code(400, 2),
    "wrong_arity": Code(400, 2),
    "bad_key": Code(400, 1),
    "conflict": Code(409, 5),
    "session_expired": Code(409, 1),
    "too_large": Code(413, 1),
    "not_found": Code(404, 1),
    "method_not_allowed": Code(405, 1),
    "compacted": Code(410, 1),
    "unsupported_encoding": Code(415, 1),
    "head_too_large": Code(431, 1),
    "unauthenticated": Code(401, 1),
    "forbidden": Code(403, 1),
    "command_failed": Code(422, 1),
    "wrong_type": Code(422, 1),
    "internal": Code(500, 1),
}
"""Every code that crosses the HTTP interface, with its status; the shell takes its exit codes from here too."""


class RaftdbError(Exception):
    """Base of all errors of raftdb: `code` for programs, `message` and `hint` for people."""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by what it holds: each subclass has a constructor of its own."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[RaftdbError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> RaftdbError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


class CommandFailed(RaftdbError):
    """The command ran and failed, in the same way on every replica (code `command_failed`, if no subclass).

    `failed_command`: of a transaction that is undone as a whole, which command failed, counted from 0; else None.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str = "command_failed",
        failed_command: int | None = None,
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.failed_command = failed_command


ReplyError = CommandFailed
"""The same where it is made: of all errors, this one is a reply of the machine, and in the log's state."""


class Conflict(CommandFailed):
    """A revision that the caller named is no longer the key's: nothing was changed (code `conflict`).

    `keys` are the keys that have changed, in the order in which the caller named them.
    """

    def __init__(self, message: str, *, keys: tuple[bytes, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code="conflict")
        self.keys = keys


class SessionExpired(CommandFailed):
    """The session is not known, or the answer to this sequence is no longer kept: nothing was executed
    (code `session_expired`)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code="session_expired")


class Unavailable(RaftdbError):
    """The cluster cannot serve the request now, and it was surely not executed: `not_leader`, `no_leader`,
    `no_quorum`, `busy`, `no_space`, `unreachable`."""

    def __init__(
        self, code: str, message: str, *, hint: str | None = None, leader: LeaderHint | None = None
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.leader = leader


class OutcomeUnknown(RaftdbError):
    """The request may or may not have taken, or may yet take, effect (code `outcome_unknown`)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__("outcome_unknown", message, hint=hint)


class ProtocolError(RaftdbError):
    """Somebody broke a contract: `RequestRefused`, `RemoteProtocolError` or `LocalProtocolError`."""


class RequestRefused(ProtocolError):
    """A client's request is malformed or over a limit: refused before it reaches the log; nothing changed."""


class RemoteProtocolError(ProtocolError):
    """A peer sent what no peer of ours would send: the connection is closed, nothing of it is believed."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__("bad_request", message, hint=hint)


class LocalProtocolError(ProtocolError):
    """Our own code misused an interface: a bug."""

    def __init__(self, message: str) -> None:
        super().__init__("internal", message)


class Fatal(RaftdbError):
    """The node must stop: going on could break a promise. `exit_code` is the process' (interface, section 1)."""

    def __init__(self, message: str, *, exit_code: int = 1, hint: str | None = None) -> None:
        super().__init__("internal", message, hint=hint)
        self.exit_code = exit_code


class InvariantBroken(Fatal):
    """A property on which safety rests does not hold: a bug of ours, or of whoever fed us. It is looked for with `if`
    and never with `assert`, which an optimised interpreter leaves out."""


def required(value: Value | None, what: str) -> Value:
    """`value`, which is there by all that is known; raises `LocalProtocolError` if it is not."""
    if value is None:
        raise LocalProtocolError(f"there is no {what}")
    return value
