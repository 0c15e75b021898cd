"""Waiting beside a command: the option `WAIT s`, which is no part of it, and what is proposed for who waits.

`raftdb.machine.waiting` says which commands can wait, and how; `raftdb.node.waiting` holds them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from raftdb.commands.spec import CommandSpec, lookup, parse
from raftdb.errors import RequestRefused
from raftdb.limits import DEFAULT_LIMITS, WAIT_MS_MAX, Limits
from raftdb.machine.arguments import seconds_ms
from raftdb.machine.operations import SessionOperation, UserOperation, asked_of
from raftdb.machine.service import Command
from raftdb.machine.services import COMMANDS
from raftdb.machine.waiting import Asker, TurnWaiting, Waiting


class Asked(NamedTuple):
    """A command, and for how long its sender waits until it is served; 0: it is tried once; None: nothing is said."""

    command: Command
    wait_ms: int | None


def command_of(operation: object) -> Command:
    """The command of an operation that can wait, which no transaction can."""
    operation = asked_of(operation)
    return operation.operation if isinstance(operation, SessionOperation) else operation  # type: ignore[return-value]


def asker_of(operation: object) -> Asker:
    """Who sends an operation."""
    user = operation.user if isinstance(operation, UserOperation) else b""
    asked = asked_of(operation)
    return Asker(user, asked.session if isinstance(asked, SessionOperation) else None)


def waiting_of(operation: object) -> Waiting | None:
    """How an operation waits, None if it cannot."""
    kind = COMMANDS.get(type(command_of(operation)))
    return None if kind is None else kind.waiting


def name_of(operation: object) -> bytes:
    """The name of what an operation waits for. Raises `ReplyError` for one that the machine would refuse, and
    `RequestRefused` for one that cannot wait."""
    waiting, command = waiting_of(operation), command_of(operation)
    if waiting is None:
        raise RequestRefused("bad_request", "this command waits for nothing", hint="leave the wait out")
    if isinstance(waiting, TurnWaiting):
        return waiting.line(command)
    return waiting.place(command, asker_of(operation))


def takes_turns_in_line(spec: CommandSpec) -> bool:
    """Whether the commands of a row wait in a line that is no part of the state."""
    kind = COMMANDS.get(spec.command)
    return kind is not None and isinstance(kind.waiting, TurnWaiting)


def parse_waiting(name: str, arguments: Sequence[bytes], *, limits: Limits = DEFAULT_LIMITS) -> Asked:
    """The same as `parse` for a caller that can wait. Raises `RequestRefused`."""
    arguments, wait_ms = split_wait(name, arguments)
    return Asked(parse(name, arguments, limits=limits), wait_ms)


def split_wait(name: str, arguments: Sequence[bytes]) -> tuple[Sequence[bytes], int | None]:
    """The arguments without the option `WAIT s`, and the milliseconds that it says, None without it.

    Raises `RequestRefused` (`bad_request`).
    """
    spec = lookup(name)
    place = None if spec is None else _place_of_wait(spec, arguments)
    if place is None:
        return arguments, None
    if place + 1 == len(arguments):
        raise _bad_wait()
    return [*arguments[:place], *arguments[place + 2 :]], wait_ms_of(arguments[place + 1])


def wait_ms_of(text: bytes) -> int:
    """Seconds with up to three decimals as milliseconds. Raises `RequestRefused` (`bad_request`)."""
    try:
        wait_ms = seconds_ms("WAIT", text)
    except RequestRefused:
        raise _bad_wait() from None
    if wait_ms > WAIT_MS_MAX:
        raise _bad_wait()
    return wait_ms


def check_wait(command: object, wait_ms: int) -> None:
    """Raise `RequestRefused` (`bad_request`) unless this command can wait for so long."""
    if not 0 <= wait_ms <= WAIT_MS_MAX:
        raise _bad_wait()
    if wait_ms and waiting_of(command) is None:
        raise RequestRefused("bad_request", "this command waits for nothing", hint="leave the wait out")


def _place_of_wait(spec: CommandSpec, arguments: Sequence[bytes]) -> int | None:
    """Where the word WAIT stands among the options, which come in pairs but for the flags."""
    kind = COMMANDS.get(spec.command)
    if kind is None or kind.waiting is None:
        return None
    place = spec.arity.minimum
    while place < len(arguments):
        word = arguments[place].upper()
        if word == b"WAIT":
            return place
        place += 1 if word in kind.waiting.flags else 2
    return None


def _bad_wait() -> RequestRefused:
    return RequestRefused(
        "bad_request", f"WAIT takes seconds from 0 to {WAIT_MS_MAX // 1000}, with up to three decimals"
    )
