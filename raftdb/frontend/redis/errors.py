"""Errors with Redis' texts: those of malformed commands, and those of the node."""

from raftdb.errors import CommandFailed, OutcomeUnknown, RaftdbError, Unavailable
from raftdb.wire.resp_replies import Error

SHOWN_BYTES_MAX = 128
"""Most characters of a name, and of the arguments after it, that an error repeats."""


class CommandRefused(Exception):
    """A command is refused; `error` is the reply."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.error = Error(text)


SYNTAX = "ERR syntax error"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_FLOAT = "ERR value is not a valid float"
WRONG_TYPE = Error("WRONGTYPE Operation against a key holding the wrong kind of value")
TRANSACTION_TOO_LARGE = Error("ERR the transaction is too large")
EXEC_ABORT = Error("EXECABORT Transaction discarded because of previous errors.")


def text_of(data: bytes) -> str:
    """Bytes of a client as text for an error, which is encoded to the same bytes again."""
    return data.decode(errors="surrogateescape")


def unknown_command(arguments: list[bytes]) -> CommandRefused:
    """The error for an unknown command."""
    shown = b""
    for argument in arguments[1:]:
        if len(shown) >= SHOWN_BYTES_MAX:
            break
        shown += b"'%b' " % argument[: SHOWN_BYTES_MAX - len(shown)]
    name = text_of(arguments[0][:SHOWN_BYTES_MAX])
    return CommandRefused(f"ERR unknown command '{name}', with args beginning with: {text_of(shown)}")


def unknown_subcommand(command: str, name: bytes) -> CommandRefused:
    """The error for an unknown subcommand."""
    shown = text_of(name[:SHOWN_BYTES_MAX])
    return CommandRefused(f"ERR unknown subcommand '{shown}'. Try {command.upper()} HELP.")


def wrong_arity(name: str) -> CommandRefused:
    """The error for too few or too many arguments."""
    return CommandRefused(f"ERR wrong number of arguments for '{name}' command")


_PREFIXES = {
    "fenced": "FENCED",
    "deadlock": "DEADLOCK",
    "busy": "BUSY",
    "no_space": "OOM",
    "no_leader": "CLUSTERDOWN",
    "no_quorum": "CLUSTERDOWN",
    "not_leader": "CLUSTERDOWN",
    "outcome_unknown": "UNKNOWNOUTCOME",
    "unauthenticated": "NOAUTH",
    "forbidden": "NOPERM",
}
"""The first word of errors that clients handle; all others begin with ERR."""


def error_of(error: RaftdbError | None) -> Error:
    """The reply for `error`; None stands for a node that has stopped before it knew the outcome."""
    if error is None:
        error = OutcomeUnknown("the node stopped before the outcome was known")
    prefix = _PREFIXES.get(error.code, "ERR")
    if isinstance(error, CommandFailed):
        return WRONG_TYPE if error.code == "wrong_type" else Error(f"{prefix} {error.message}")
    text = f"{prefix} {error.message}"
    if isinstance(error, Unavailable) and error.leader is not None:
        # The leader's address is the only hint that a program can use.
        return Error(f"{text}; the leader is at {error.leader.redis.plain or error.leader.http}")
    return Error(f"{text} ({error.hint})" if error.hint else text)
