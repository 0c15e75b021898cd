"""The commands that Redis does not have, of queues and locks, and a few of keys: made from the one table of commands.

They have the names, arguments and results that they have everywhere (`raftdb.commands`). What the table calls a name of
a queue or lock counts as a key here, so that clients of Redis clusters can place it by its slot.
"""

from collections.abc import Callable
from dataclasses import replace

from raftdb.commands.waiting import parse_waiting
from raftdb.errors import RequestRefused
from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.errors import CommandRefused, error_of
from raftdb.frontend.redis.rows import READ, SHRINK, WRITE, Arguments, Call, ReplyOf, Row, WaitingCall, built
from raftdb.limits import CEILING
from raftdb.machine.locks.holding import Lock
from raftdb.machine.reply import Told
from raftdb.machine.service import Access, CommandSpec
from raftdb.machine.services import COMMANDS, TABLE

GROUPS = ("queues", "locks")
"""The headings of these services in the table."""
OF_KEYS = ("delprefix",)
"""The commands of keys that Redis does not have, not even by another name."""
MAPS = ("lockinfo", "qinfo", "qget")
"""The commands whose results are names and values in turn: a map for clients that know maps."""
SINCE = "7.0.0"
"""The version of Redis that COMMAND DOCS names: that of the protocol, because Redis has none of them."""


def _build(spec: CommandSpec) -> Callable[[Arguments], Call | WaitingCall]:
    shown = COMMANDS[spec.command].shown

    def reply(told: Told) -> object:
        value = shown(told)
        if spec.name in MAPS and isinstance(value, list):
            value = dict(zip(value[::2], value[1::2], strict=True))
        return _as_redis(value, is_outermost=True)

    def build(arguments: Arguments) -> Call | WaitingCall:
        return called(spec, arguments, reply)

    return build


def called(spec: CommandSpec, arguments: Arguments, reply: ReplyOf) -> Call | WaitingCall:
    """The call of a command as it was sent. Raises `CommandRefused`."""
    try:
        command, wait_ms = parse_waiting(spec.name, arguments[1:], limits=CEILING)
    except RequestRefused as refusal:
        raise CommandRefused(error_of(refusal)) from None
    return (command, reply) if wait_ms is None else WaitingCall(command, reply, wait_ms)


def _lock(spec: CommandSpec) -> Callable[[ClientState, Arguments], Call | WaitingCall]:
    """A lock belongs to the connection unless another owner is said."""
    build = _build(spec)

    def run(client: ClientState, arguments: Arguments) -> Call | WaitingCall:
        call = build(arguments)
        command = call[0]
        if isinstance(command, Lock) and not command.owner:
            owned = replace(command, owner=client.owner)
            return call._replace(command=owned) if isinstance(call, WaitingCall) else (owned, call[1])
        return call

    return run


def _as_redis(value: object, *, is_outermost: bool = False) -> object:
    """A result in Redis' types: text within a list is a string like any other."""
    if isinstance(value, list | tuple):
        return [_as_redis(element) for element in value]
    if isinstance(value, dict):
        return {_as_redis(key): _as_redis(element) for key, element in value.items()}
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and not is_outermost:
        return value.encode()
    return value


def _row(spec: CommandSpec) -> Row:
    flags = READ if spec.access is Access.READ else WRITE if spec.grows else SHRINK
    has_options = spec.arity.maximum != spec.arity.minimum or COMMANDS[spec.command].waiting is not None
    arity = spec.arity.minimum + 1
    row = built(
        "generic" if spec.name in OF_KEYS else spec.group,
        spec.name,
        -arity if has_options else arity,
        flags,
        SINCE,
        spec.summary,
        _build(spec),
        (1, 1, 1) if spec.keys.stop != 0 else (0, 0, 0),
    )
    return row if spec.command is not Lock else replace(row, build=None, run=_lock(spec))


SERVICES: tuple[Row, ...] = tuple(
    _row(spec) for spec in TABLE if spec.group in GROUPS or spec.name in OF_KEYS
)
"""The rows of the table."""
