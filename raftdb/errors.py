"""The errors of raftdb: four kinds, never mixed, and the one table of their codes.

* `ReplyError`: the command ran and failed. Deterministic, a result of apply, equal on every replica.
* `Unavailable`: the cluster cannot answer now. Retrying is the caller's decision, and `outcome_unknown` says
  whether the command may still take effect. A timeout is *unknown*, never *failed*.
* `ProtocolError`: somebody broke a contract. `RequestRefused` is a client's fault and nothing was changed;
  `RemoteProtocolError` is a peer's, and its connection is closed.
* `Fatal`: the disk failed, an invariant broke, the folder is not ours. The process stops with `exit_code`.

Every error says what happened, why, and where there is one, the next step (`hint`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaderHint:
    """Where the leader is, as far as the answering node knows: its id and its HOST:PORT addresses."""

    id: str
    http: str
    redis: str | None = None


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
    "unauthenticated": Code(401, 1),
    "forbidden": Code(403, 1),
    "command_failed": Code(422, 1),
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


class ReplyError(RaftdbError):
    """The command ran and failed, in the same way on every replica (code `command_failed`)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__("command_failed", message, hint=hint)


class Unavailable(RaftdbError):
    """The cluster cannot serve the request now: `not_leader`, `no_leader`, `no_quorum`, `busy`, `no_space`
    (surely not executed) or `outcome_unknown` (it may or may not take effect)."""

    def __init__(
        self, code: str, message: str, *, hint: str | None = None, leader: LeaderHint | None = None
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.leader = leader

    @property
    def outcome_unknown(self) -> bool:
        """True if the command may or may not have taken, or may yet take, effect."""
        return self.code == "outcome_unknown"


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
