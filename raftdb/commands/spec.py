"""The table of commands: lookup of a row, and the ways from name and arguments to a command and back.

The shell, HTTP, the Redis listener, help and documentation all read this table. Its rows are in `table`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from raftdb.commands.arguments import NOT_AN_INTEGER
from raftdb.commands.limits import DEFAULT_LIMITS, KEY_BYTES_MAX, KEYS_PER_COMMAND_MAX, Limits
from raftdb.commands.model import (
    KEEP_TTL,
    NO_TTL,
    Append,
    Command,
    CompareAndSet,
    Condition,
    DatabaseSize,
    Delete,
    Exists,
    ExpireAfter,
    Get,
    GetSet,
    IncrementBy,
    Keys,
    MultiGet,
    MultiSet,
    Persist,
    Ping,
    Scan,
    Set,
    Strlen,
    TimeToLive,
)
from raftdb.commands.row import Access, Arity, CommandSpec, Example, Group, ReplyKind
from raftdb.commands.table import TABLE
from raftdb.errors import RequestRefused

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
    "Group",
    "ReplyKind",
    "lookup",
    "parse",
    "specs_by_group",
    "specs_by_name",
    "suggest_name",
    "unparse",
]

NAME_CHARACTERS_SHOWN_MAX = 40
"""How much of an unknown name an error message repeats: names come from strangers."""

COMMANDS: dict[str, CommandSpec] = {spec.name: spec for spec in TABLE}
"""The table by name, in the order of help: by group, then as one would learn them."""

ACCESS: dict[type[Command], Access] = {spec.command: spec.access for spec in TABLE}
"""Read or write, by command type: what decides whether a command needs a log entry."""

GROWING: frozenset[type[Command]] = frozenset(spec.command for spec in TABLE if spec.grows)
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
"""Words that people who come from elsewhere try, and our name for it. They are hints only, never accepted."""


def lookup(name: str) -> CommandSpec | None:
    """Return the row of `name` in any case, or None if there is no such command."""
    return COMMANDS.get(name) or COMMANDS.get(name.lower())


def specs_by_name() -> list[CommandSpec]:
    """Return all rows in alphabetical order: for completion and reference."""
    return sorted(TABLE, key=lambda spec: spec.name)


def specs_by_group() -> dict[Group, list[CommandSpec]]:
    """Return all rows under their headings, both in the order of help."""
    return {group: [spec for spec in TABLE if spec.group is group] for group in Group}


def suggest_name(misspelt: str) -> str | None:
    """Return the name that `misspelt` most likely means, or None if nothing is near."""
    # Only misspellings pay for this import.
    from difflib import get_close_matches

    word = misspelt[:NAME_CHARACTERS_SHOWN_MAX].lower()
    if word in OTHER_NAMES:
        return OTHER_NAMES[word]
    matches = get_close_matches(word, sorted(COMMANDS), n=1)
    return matches[0] if matches else None


def parse(name: str, arguments: Sequence[bytes], *, limits: Limits = DEFAULT_LIMITS) -> Command:
    """Return the command that `name`, in any case, and `arguments` spell.

    Raises `RequestRefused`: `unknown_command`, `wrong_arity`, `bad_key` (empty, or over `KEY_BYTES_MAX`),
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
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise _bad_key(len(key))
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
    """Return the name and the arguments that spell `command`, for showing a log: `parse` of them gives it back.

    Of several names that build it, the name is the most general one.
    """
    return _NAMES[type(command)], _ARGUMENTS[type(command)](command)


_NAMES: dict[type[Command], str] = {spec.command: spec.name for spec in TABLE}

_CONDITION_WORDS = {
    Condition.ALWAYS: [],
    Condition.IF_MISSING: [b"NX"],
    Condition.IF_PRESENT: [b"XX"],
}


def _set_arguments(command: Set) -> list[bytes]:
    if command.ttl_ms in (NO_TTL, KEEP_TTL):
        lifetime = [b"KEEPTTL"] if command.ttl_ms == KEEP_TTL else []
    else:
        lifetime = [b"PX", b"%d" % command.ttl_ms]
    return [command.key, command.value, *lifetime, *_CONDITION_WORDS[command.condition]]


_ARGUMENTS: dict[type[Command], Callable[[Any], list[bytes]]] = {
    Ping: lambda command: [],
    Get: lambda command: [command.key],
    Set: _set_arguments,
    Strlen: lambda command: [command.key],
    Delete: lambda command: [command.key],
    Append: lambda command: [command.key, command.value],
    Exists: lambda command: list(command.keys),
    IncrementBy: lambda command: [command.key, b"%d" % command.delta],
    MultiGet: lambda command: list(command.keys),
    MultiSet: lambda command: [text for pair in command.pairs for text in pair],
    GetSet: lambda command: [command.key, command.value],
    CompareAndSet: lambda command: [command.key, b"%d" % command.revision, command.value],
    ExpireAfter: lambda command: [command.key, b"%d" % -(-command.ttl_ms // 1000)],
    Persist: lambda command: [command.key],
    TimeToLive: lambda command: [command.key],
    Keys: lambda command: [command.prefix],
    Scan: lambda command: [command.prefix, command.after, b"%d" % command.limit],
    DatabaseSize: lambda command: [],
}
"""The arguments of a command, by its type; a test proves that none is missing."""


def _unknown(name: str) -> RequestRefused:
    shown = name if len(name) <= NAME_CHARACTERS_SHOWN_MAX else name[:NAME_CHARACTERS_SHOWN_MAX] + "..."
    suggestion = suggest_name(name)
    if suggestion is not None:
        hint = f"did you mean {suggestion!r}? its syntax is: {COMMANDS[suggestion].syntax}"
    else:
        hint = f"the commands are: {', '.join(sorted(COMMANDS))}"
    return RequestRefused("unknown_command", f"unknown command {shown!r}", hint=hint)


def _bad_key(key_bytes: int) -> RequestRefused:
    if key_bytes == 0:
        return RequestRefused("bad_key", "a key must not be empty")
    return RequestRefused("bad_key", f"a key has {key_bytes} bytes: the limit is {KEY_BYTES_MAX}")


def _too_large(what: str, bytes_max: int) -> RequestRefused:
    return RequestRefused(
        "too_large",
        f"{what}: the limit is {bytes_max}",
        hint="split it, or raise the limit in the configuration",
    )
