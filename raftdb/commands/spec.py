"""The table of commands: finding a row, and converting a name and arguments to a command and back.

The shell, HTTP, help and the tests of the documentation all read this table. Its rows are those of the services
(`raftdb.machine.services`).
"""

from collections.abc import Callable, Sequence
from typing import Any

from raftdb.errors import RequestRefused
from raftdb.limits import DEFAULT_LIMITS, KEY_BYTES_MAX, KEYS_PER_COMMAND_MAX, Limits
from raftdb.machine import services
from raftdb.machine.integers import NOT_AN_INTEGER
from raftdb.machine.service import Access, Arity, Command, CommandSpec, Example, ReplyKind
from raftdb.machine.services import TABLE

__all__ = [
    "ACCESS",
    "COMMANDS",
    "GROWING",
    "NOT_AN_INTEGER",
    "OTHER_NAMES",
    "Access",
    "Arity",
    "CommandSpec",
    "Example",
    "ReplyKind",
    "lookup",
    "parse",
    "specs_by_group",
    "specs_by_name",
    "suggest_name",
    "unparse",
]

NAME_CHARACTERS_SHOWN_MAX = 40
"""Most characters of an unknown name that an error message repeats, because any client may send one."""

COMMANDS: dict[str, CommandSpec] = {spec.name: spec for spec in TABLE}
"""The table by name, in the order of help: by group, and within that in the order of learning."""

ACCESS: dict[type[Command], Access] = {command.type: command.access for command in services.COMMANDS.values()}
"""Read or write, by command type. Only writes need a log entry."""

GROWING: frozenset[type[Command]] = frozenset(
    command.type for command in services.COMMANDS.values() if command.grows
)
"""The types of the commands that are refused while space is short."""

OTHER_NAMES = {
    "delete": "del",
    "remove": "del",
    "rm": "del",
    "put": "set",
    "store": "set",
    "write": "set",
    "read": "get",
    "len": "strlen",
    "length": "strlen",
    "concat": "append",
    "increment": "incr",
    "decrement": "decr",
    "has": "exists",
    "replace": "getset",
    "compare": "cas",
    "list": "keys",
    "size": "dbsize",
    "count": "dbsize",
}
"""Words of other systems, with raftdb's names. They are only hints, and are not accepted as commands."""


def lookup(name: str) -> CommandSpec | None:
    """Return the row of `name` in any case, or None if there is no such command."""
    return COMMANDS.get(name) or COMMANDS.get(name.lower())


def specs_by_name() -> list[CommandSpec]:
    """Return all rows in alphabetical order, for completion and reference."""
    return sorted(TABLE, key=lambda spec: spec.name)


def specs_by_group() -> dict[str, list[CommandSpec]]:
    """Return all rows under their headings, both in the order of help."""
    groups: dict[str, list[CommandSpec]] = {}
    for spec in TABLE:
        groups.setdefault(spec.group, []).append(spec)
    return groups


def suggest_name(misspelt: str) -> str | None:
    """Return the name that was most probably meant by `misspelt`, or None if there is no similar one."""
    # Only misspellings pay for this import.
    from difflib import get_close_matches

    word = misspelt[:NAME_CHARACTERS_SHOWN_MAX].lower()
    if word in OTHER_NAMES:
        return OTHER_NAMES[word]
    matches = get_close_matches(word, sorted(COMMANDS), n=1)
    return matches[0] if matches else None


def parse(name: str, arguments: Sequence[bytes], *, limits: Limits = DEFAULT_LIMITS) -> Command:
    """Return the command of `name`, in any case, and `arguments`.

    Raises `RequestRefused`: `unknown_command`, `wrong_arity`, `bad_key` (empty, or too long),
    `too_large` (a value, all arguments together, or too many keys), `bad_request` (an argument of the wrong
    kind).
    """
    spec = COMMANDS.get(name) or lookup(name)
    if spec is None:
        raise _unknown(name)
    if not spec.arity.accepts(len(arguments)):
        raise RequestRefused(
            "wrong_arity",
            f"wrong number of arguments for {name!r}",
            hint=f"the syntax is: {spec.syntax}",
        )
    command_bytes = 0
    for argument in arguments:
        # Text that slipped in here would be committed, and then refused by every replica (hazard B67).
        if type(argument) is not bytes:
            raise RequestRefused("bad_request", f"an argument of {name!r} is not a byte string")
        command_bytes += len(argument)
    keys = arguments[spec.keys]
    for key in keys:
        if not 0 < len(key) <= spec.key_bytes_max:
            raise _bad_key(len(key), spec.key_bytes_max)
    for value in arguments[spec.values]:
        if len(value) > limits.value_bytes:
            raise _too_large(f"a value has {len(value)} bytes", limits.value_bytes)
    if command_bytes > limits.command_bytes:
        raise _too_large(f"the arguments have {command_bytes} bytes together", limits.command_bytes)
    if len(keys) > KEYS_PER_COMMAND_MAX:
        raise RequestRefused(
            "too_large",
            f"{name!r} names {len(keys)} keys: the limit is {KEYS_PER_COMMAND_MAX}",
            hint="send it in several commands",
        )
    return spec.build(arguments)


def unparse(command: Command) -> tuple[str, list[bytes]]:
    """Return the name and the arguments that spell `command`, for showing a log: `parse` of them gives it back, if
    people can call it.

    Of several names that build it, the name is the most general one.
    """
    return _NAMES[type(command)], _ARGUMENTS[type(command)](command)


_NAMES: dict[type[Command], str] = {
    command.type: command.names[-1].name if command.names else command.log_name
    for command in services.COMMANDS.values()
}


def _spelt(field: Any) -> list[bytes]:
    """The arguments for one field of a command."""
    if isinstance(field, tuple):
        return [text for item in field for text in _spelt(item)]
    return [field if isinstance(field, bytes) else b"%d" % field]


def _in_order(command: Command) -> list[bytes]:
    """The fields of a command in their order."""
    names: Sequence[str] = type(command).__slots__
    return [text for name in names for text in _spelt(getattr(command, name))]


_ARGUMENTS: dict[type[Command], Callable[[Any], list[bytes]]] = {
    command.type: command.arguments or _in_order for command in services.COMMANDS.values()
}
"""The arguments of a command, by its type."""


def _unknown(name: str) -> RequestRefused:
    shown = name if len(name) <= NAME_CHARACTERS_SHOWN_MAX else name[:NAME_CHARACTERS_SHOWN_MAX] + "..."
    suggestion = suggest_name(name)
    if suggestion is not None:
        hint = f"did you mean {suggestion!r}? its syntax is: {COMMANDS[suggestion].syntax}"
    else:
        hint = f"the commands are: {', '.join(sorted(COMMANDS))}"
    return RequestRefused("unknown_command", f"unknown command {shown!r}", hint=hint)


def _bad_key(key_bytes: int, bytes_max: int) -> RequestRefused:
    # What other services name stands where a key does, and its names are shorter.
    what = "key" if bytes_max == KEY_BYTES_MAX else "name"
    if key_bytes == 0:
        return RequestRefused("bad_key", f"a {what} must not be empty")
    return RequestRefused("bad_key", f"a {what} has {key_bytes} bytes: the limit is {bytes_max}")


def _too_large(what: str, bytes_max: int) -> RequestRefused:
    return RequestRefused(
        "too_large",
        f"{what}: the limit is {bytes_max}",
        hint="split it, or raise the limit in the configuration",
    )
