"""The errors of raftdb, of five kinds, and the table of their codes.

* `CommandFailed`: the command ran and failed. That is a deterministic result of apply, the same on every replica. Five
  such errors have types of their own, because callers handle them: `Conflict`, `Fenced`, `Deadlock`, `QueueFull` and
  `SessionExpired`.
* `Unavailable`: the cluster cannot answer now, and the command was surely not executed, so it may be sent again.
* `OutcomeUnknown`: the command may have taken effect, or may yet, as after a timeout. It is not an `Unavailable`, so
  that a caller that catches `Unavailable` and tries again executes nothing twice.
* `ProtocolError`: one side broke a contract. `RequestRefused` is for a client's fault, and nothing was changed;
  `Unauthenticated` and `Forbidden` are such. `RemoteProtocolError` is for one of the other side, and its connection is
  closed; `LocalProtocolError` is for raftdb's own.
* `Fatal`: the disk failed, an invariant is broken, or the folder belongs to another node. The process stops with
  `exit_code`.

Every error says what happened, why, and, if there is one, the next step (`hint`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from raftdb.endpoint import NO_REDIS, Endpoint, RedisAddresses

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class LeaderHint:
    """Where the leader is, as far as the answering node knows."""

    id: str
    endpoint: Endpoint
    redis: RedisAddresses = NO_REDIS

    @property
    def http(self) -> str:
        """HOST:PORT of its HTTP interface."""
        return str(self.endpoint)

    def named(self) -> dict[str, str | None]:
        """Its id and addresses, as in JSON."""
        return {"id": self.id, "http": self.http, **self.redis.named()}


@dataclass(frozen=True, slots=True)
class Code:
    """The HTTP status of an error code, and the exit code of a client command that ends with it."""

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
    "fenced": Code(409, 5),
    "deadlock": Code(409, 1),
    "queue_full": Code(409, 1),
    "session_expired": Code(409, 1),
    "too_large": Code(413, 1),
    "not_found": Code(404, 1),
    "method_not_allowed": Code(405, 1),
    "compacted": Code(410, 1),
    "reset": Code(410, 1),
    "unsupported_encoding": Code(415, 1),
    "head_too_large": Code(431, 1),
    "unauthenticated": Code(401, 1),
    "forbidden": Code(403, 1),
    "command_failed": Code(422, 1),
    "wrong_type": Code(422, 1),
    "internal": Code(500, 1),
}
"""Every code of the HTTP interface, with its status and its exit code."""


class RaftdbError(Exception):
    """The base of all errors of raftdb, with a `code` for programs, and a `message` and a `hint` for people."""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy an error by its fields, because each subclass has a constructor of its own."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[RaftdbError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> RaftdbError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


class CommandFailed(RaftdbError):
    """The command ran and failed, in the same way on every replica (code `command_failed` or `wrong_type`, or that of a
    subclass).

    `failed_command`: the index, from 0, of the command that failed in a transaction that is undone as a whole; else
    None.
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
"""The name of `CommandFailed` in the machine, whose replies it is one of."""


class Conflict(CommandFailed):
    """A key no longer has the revision that the caller named, and nothing was changed (code `conflict`).

    `keys` are the keys that have changed, in the order in which the caller named them.
    """

    def __init__(self, message: str, *, keys: tuple[bytes, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code="conflict")
        self.keys = keys


class Fenced(CommandFailed):
    """What the caller held is over, a lock or a delivery of a message, and somebody else may hold it: nothing was
    changed (code `fenced`). `failed_command` is as in `CommandFailed`."""

    def __init__(self, message: str, *, hint: str | None = None, failed_command: int | None = None) -> None:
        super().__init__(message, hint=hint, code="fenced", failed_command=failed_command)


class QueueFull(CommandFailed):
    """The queue has as many messages, or bytes of them, as it may; nothing was put (code `queue_full`).
    `failed_command` is as in `CommandFailed`."""

    def __init__(self, message: str, *, hint: str | None = None, failed_command: int | None = None) -> None:
        super().__init__(message, hint=hint, code="queue_full", failed_command=failed_command)


class Deadlock(CommandFailed):
    """To wait for this lock would be to wait for ever, and nothing was changed (code `deadlock`).

    `cycle` are pairs of an owner and the lock that it waits for. Each owner stands in the way of the one before it, and
    the first, who asked, in the way of the last.
    """

    def __init__(
        self, message: str, *, cycle: tuple[tuple[bytes, bytes], ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, code="deadlock")
        self.cycle = cycle


class SessionExpired(CommandFailed):
    """The session is not known, or the answer to this sequence is no longer kept; nothing was executed now (code
    `session_expired`)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code="session_expired")


def names_of(failure: CommandFailed) -> list[bytes]:
    """Return the names that an error bears beside its message: keys, or the owners and locks of a cycle in turn."""
    if isinstance(failure, Deadlock):
        return [name for step in failure.cycle for name in step]
    return list(failure.keys) if isinstance(failure, Conflict) else []


def failure_of(
    code: str,
    message: str,
    hint: str | None,
    failed_command: int | None = None,
    names: Sequence[bytes] = (),
) -> CommandFailed:
    """Return the failure of a command with this code, in the type that belongs to it: what was written down comes back
    as it was. `names` are those of `names_of`."""
    if code == "conflict":
        return Conflict(message, keys=tuple(names), hint=hint)
    if code == "fenced":
        return Fenced(message, hint=hint, failed_command=failed_command)
    if code == "queue_full":
        return QueueFull(message, hint=hint, failed_command=failed_command)
    if code == "deadlock":
        return Deadlock(message, cycle=tuple(zip(names[::2], names[1::2], strict=True)), hint=hint)
    if code == "session_expired":
        return SessionExpired(message, hint=hint)
    return CommandFailed(message, hint=hint, code=code, failed_command=failed_command)


class Unavailable(RaftdbError):
    """The cluster cannot serve the request now, and surely did not execute it (code `not_leader`, `no_leader`,
    `no_quorum`, `busy`, `no_space` or `unreachable`). `leader` is the leader, if the answer names one."""

    def __init__(
        self, code: str, message: str, *, hint: str | None = None, leader: LeaderHint | None = None
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.leader = leader


class OutcomeUnknown(RaftdbError):
    """The request may have taken effect, or may yet, or not at all (code `outcome_unknown`)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__("outcome_unknown", message, hint=hint)


class Compacted(RaftdbError):
    """Changes were asked for that are no longer known to the node (code `compacted`), or are those of another cluster
    (code `reset`). It knows all after the entry at `begin`."""

    def __init__(self, begin: int, *, code: str = "compacted") -> None:
        why = "of another cluster" if code == "reset" else "that are no longer kept"
        super().__init__(code, f"these are changes {why}", hint=f"the changes after {begin} are known here")
        self.begin = begin


class ProtocolError(RaftdbError):
    """One side broke a contract: `RequestRefused`, `RemoteProtocolError` or `LocalProtocolError`."""


class RequestRefused(ProtocolError):
    """A client's request is malformed or over a limit. It was refused before it reached the log, and nothing was
    changed."""


class Unauthenticated(RequestRefused):
    """The cluster serves users alone, and the request is no user's: it has no token and no password, or one that fits
    nobody, or nobody any more (code `unauthenticated`)."""


class Forbidden(RequestRefused):
    """Whoever sends the request may not do this (code `forbidden`)."""


class RemoteProtocolError(ProtocolError):
    """The other side sent what a raftdb node would not send. The connection is closed, and the message is not used."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__("bad_request", message, hint=hint)


class LocalProtocolError(ProtocolError):
    """An interface was used in a way that it does not allow: a bug of the caller."""

    def __init__(self, message: str) -> None:
        super().__init__("internal", message)


class Fatal(RaftdbError):
    """The node must stop, because going on could break a promise. `exit_code` is that of the process
    (docs/interface.md, section 1)."""

    def __init__(self, message: str, *, exit_code: int = 1, hint: str | None = None) -> None:
        super().__init__("internal", message, hint=hint)
        self.exit_code = exit_code


class InvariantBroken(Fatal):
    """A property on which safety rests does not hold: a bug. It is checked with `if` and never with `assert`, which an
    optimising interpreter leaves out."""


def required(value: Value | None, what: str) -> Value:
    """`value`, which must not be None here. Raises `LocalProtocolError` if it is; `what` is its name in the message."""
    if value is None:
        raise LocalProtocolError(f"there is no {what}")
    return value
