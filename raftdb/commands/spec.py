"""The table of commands: every name, how it is called, what it does, and how its arguments become a command.

The shell, HTTP, the Redis listener, help and documentation all read this table. To add a command: a dataclass
in `model`, a row here, a handler in `raftdb.machine.kv`, fields in `raftdb.wire.commands`; the tests name
what is missing.
"""

from collections.abc import Sequence

from raftdb.commands.limits import DEFAULT_LIMITS, KEY_BYTES_MAX, KEYS_PER_COMMAND_MAX, Limits
from raftdb.commands.model import (
    Append,
    Command,
    Delete,
    Exists,
    Get,
    IncrementBy,
    MultiGet,
    MultiSet,
    Ping,
    Set,
    Strlen,
    parse_integer,
)
from raftdb.commands.row import Access, Arity, CommandSpec, Example, Group, ReplyKind
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

NOT_AN_INTEGER = "value is not an integer or out of range"
"""What is said of a text that is no 64-bit signed integer, in an argument or in the store (Redis' words)."""


_NO_ARGUMENTS = slice(0, 0)
_ALL_ARGUMENTS = slice(0, None)


def _increment_by(arguments: Sequence[bytes]) -> Command:
    delta = parse_integer(arguments[1])
    if delta is None:
        raise RequestRefused("bad_request", NOT_AN_INTEGER, hint="a whole number of 64 bits, such as 5 or -5")
    return IncrementBy(arguments[0], delta)


_TABLE = (
    CommandSpec(
        name="get",
        syntax="get KEY",
        group=Group.VALUES,
        summary="The value of a key; an empty string if there is no such key.",
        examples=(Example("set kunci satu", "OK"), Example("get kunci", '"satu"'), Example("get lain", '""')),
        arity=Arity(1, 1),
        access=Access.READ,
        reply=ReplyKind.STRING,
        command=Get,
        build=lambda arguments: Get(arguments[0]),
        values=_NO_ARGUMENTS,
    ),
    CommandSpec(
        name="set",
        syntax="set KEY VALUE",
        group=Group.VALUES,
        summary="Store a value under a key, in place of what was there.",
        examples=(Example("set kunci satu", "OK"), Example('set "two words" ""', "OK")),
        arity=Arity(2, 2),
        access=Access.WRITE,
        reply=ReplyKind.STATUS,
        command=Set,
        build=lambda arguments: Set(arguments[0], arguments[1]),
        grows=True,
    ),
    CommandSpec(
        name="strlen",
        syntax="strlen KEY",
        group=Group.VALUES,
        summary="The length of a value in bytes; 0 if there is no such key.",
        examples=(
            Example("set kunci satudua", "OK"),
            Example("strlen kunci", "7"),
            Example("strlen lain", "0"),
        ),
        arity=Arity(1, 1),
        access=Access.READ,
        reply=ReplyKind.INTEGER,
        command=Strlen,
        build=lambda arguments: Strlen(arguments[0]),
        values=_NO_ARGUMENTS,
    ),
    CommandSpec(
        name="del",
        syntax="del KEY",
        group=Group.VALUES,
        summary="Delete a key and answer the value it had; an empty string if there was none.",
        examples=(
            Example("set kunci satu", "OK"),
            Example("del kunci", '"satu"'),
            Example("del kunci", '""'),
        ),
        arity=Arity(1, 1),
        access=Access.WRITE,
        reply=ReplyKind.STRING,
        command=Delete,
        build=lambda arguments: Delete(arguments[0]),
        values=_NO_ARGUMENTS,
    ),
    CommandSpec(
        name="append",
        syntax="append KEY VALUE",
        group=Group.VALUES,
        summary="Put text behind a value; creates the key if there is none.",
        examples=(
            Example("append kunci satu", "OK"),
            Example("append kunci dua", "OK"),
            Example("get kunci", '"satudua"'),
        ),
        arity=Arity(2, 2),
        access=Access.WRITE,
        reply=ReplyKind.STATUS,
        command=Append,
        build=lambda arguments: Append(arguments[0], arguments[1]),
        grows=True,
    ),
    CommandSpec(
        name="incr",
        syntax="incr KEY",
        group=Group.COUNTERS,
        summary="Add 1 to a number and answer the sum; a missing key counts as 0.",
        examples=(Example("incr visits", "1"), Example("incr visits", "2")),
        arity=Arity(1, 1),
        access=Access.WRITE,
        reply=ReplyKind.INTEGER,
        command=IncrementBy,
        build=lambda arguments: IncrementBy(arguments[0], 1),
        values=_NO_ARGUMENTS,
        grows=True,
    ),
    CommandSpec(
        name="decr",
        syntax="decr KEY",
        group=Group.COUNTERS,
        summary="Subtract 1 from a number and answer what is left; a missing key counts as 0.",
        examples=(Example("set stock 10", "OK"), Example("decr stock", "9")),
        arity=Arity(1, 1),
        access=Access.WRITE,
        reply=ReplyKind.INTEGER,
        command=IncrementBy,
        build=lambda arguments: IncrementBy(arguments[0], -1),
        values=_NO_ARGUMENTS,
        grows=True,
    ),
    CommandSpec(
        name="incrby",
        syntax="incrby KEY NUMBER",
        group=Group.COUNTERS,
        summary="Add a whole number, which may be negative, and answer the sum.",
        examples=(Example("incrby visits 10", "10"), Example("incrby visits -3", "7")),
        arity=Arity(2, 2),
        access=Access.WRITE,
        reply=ReplyKind.INTEGER,
        command=IncrementBy,
        build=_increment_by,
        grows=True,
    ),
    CommandSpec(
        name="exists",
        syntax="exists KEY [KEY ...]",
        group=Group.SEVERAL,
        summary="How many of these keys exist.",
        examples=(Example("set kunci satu", "OK"), Example("exists kunci lain", "1")),
        arity=Arity(1, None),
        access=Access.READ,
        reply=ReplyKind.INTEGER,
        command=Exists,
        build=lambda arguments: Exists(tuple(arguments)),
        keys=_ALL_ARGUMENTS,
        values=_NO_ARGUMENTS,
    ),
    CommandSpec(
        name="mget",
        syntax="mget KEY [KEY ...]",
        group=Group.SEVERAL,
        summary="The values of several keys, read at one moment; nil for a missing key.",
        examples=(Example("mset a 1 b 2", "OK"), Example("mget a b c", '1) "1"\n2) "2"\n3) (nil)')),
        arity=Arity(1, None),
        access=Access.READ,
        reply=ReplyKind.ARRAY,
        command=MultiGet,
        build=lambda arguments: MultiGet(tuple(arguments)),
        keys=_ALL_ARGUMENTS,
        values=_NO_ARGUMENTS,
    ),
    CommandSpec(
        name="mset",
        syntax="mset KEY VALUE [KEY VALUE ...]",
        group=Group.SEVERAL,
        summary="Store several values at once: all of them or none.",
        examples=(Example("mset a 1 b 2", "OK"), Example("get b", '"2"')),
        arity=Arity(2, None, step=2),
        access=Access.WRITE,
        reply=ReplyKind.STATUS,
        command=MultiSet,
        build=lambda arguments: MultiSet(tuple(zip(arguments[::2], arguments[1::2], strict=True))),
        keys=slice(0, None, 2),
        values=slice(1, None, 2),
        grows=True,
    ),
    CommandSpec(
        name="ping",
        syntax="ping",
        group=Group.CONNECTION,
        summary="Ask the leader for a sign of life: PONG.",
        examples=(Example("ping", "PONG"),),
        arity=Arity(0, 0),
        access=Access.READ,
        reply=ReplyKind.STATUS,
        command=Ping,
        build=lambda arguments: Ping(),
        keys=_NO_ARGUMENTS,
        values=_NO_ARGUMENTS,
    ),
)

COMMANDS: dict[str, CommandSpec] = {spec.name: spec for spec in _TABLE}
"""The table by name, in the order of help: by group, then as one would learn them."""

ACCESS: dict[type[Command], Access] = {spec.command: spec.access for spec in _TABLE}
"""Read or write, by command type: what decides whether a command needs a log entry."""

GROWING: frozenset[type[Command]] = frozenset(spec.command for spec in _TABLE if spec.grows)
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
}
"""Words that people who come from elsewhere try, and our name for it. They are hints only, never accepted."""


def lookup(name: str) -> CommandSpec | None:
    """Return the row of `name` in any case, or None if there is no such command."""
    return COMMANDS.get(name) or COMMANDS.get(name.lower())


def specs_by_name() -> list[CommandSpec]:
    """Return all rows in alphabetical order: for completion and reference."""
    return sorted(_TABLE, key=lambda spec: spec.name)


def specs_by_group() -> dict[Group, list[CommandSpec]]:
    """Return all rows under their headings, both in the order of help."""
    return {group: [spec for spec in _TABLE if spec.group is group] for group in Group}


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
            f"wrong number of arguments for {spec.name!r}",
            hint=f"the syntax is: {spec.syntax}",
        )
    command_bytes = 0
    for argument in arguments:
        # Text that slipped in here would be committed, and then refused by every replica (hazard B67).
        if type(argument) is not bytes:
            raise RequestRefused("bad_request", f"an argument of {spec.name!r} is not a byte string")
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
            f"{spec.name!r} names {len(keys)} keys: the limit is {KEYS_PER_COMMAND_MAX}",
            hint="send it in several commands",
        )
    return spec.build(arguments)


def unparse(command: Command) -> tuple[str, list[bytes]]:
    """Return the name and the arguments that spell `command`, for showing a log: `parse` of them gives it back."""
    match command:
        case Ping():
            return "ping", []
        case Get(key) | Strlen(key) | Delete(key):
            return _NAMES[type(command)], [key]
        case Set(key, value) | Append(key, value):
            return _NAMES[type(command)], [key, value]
        case Exists(keys) | MultiGet(keys):
            return _NAMES[type(command)], list(keys)
        case IncrementBy(key, delta):
            return "incrby", [key, b"%d" % delta]
        case MultiSet(pairs):
            return "mset", [text for pair in pairs for text in pair]


_NAMES: dict[type[Command], str] = {spec.command: spec.name for spec in _TABLE}


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
