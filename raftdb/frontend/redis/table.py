"""The table of Redis commands: all rows by name, and COMMAND, which lists them for clients."""

from collections.abc import Callable, Sequence
from typing import Any

from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.cluster_commands import CLUSTER
from raftdb.frontend.redis.connection_commands import CONNECTION
from raftdb.frontend.redis.errors import (
    SYNTAX,
    CommandRefused,
    unknown_command,
    unknown_subcommand,
    wrong_arity,
)
from raftdb.frontend.redis.introspection import INTROSPECTION
from raftdb.frontend.redis.keys import KEYS
from raftdb.frontend.redis.logging_in import ACL
from raftdb.frontend.redis.objects import OBJECTS
from raftdb.frontend.redis.rows import Arguments, Row
from raftdb.frontend.redis.scanning import SCANNING
from raftdb.frontend.redis.services import SERVICES
from raftdb.frontend.redis.strings import STRINGS
from raftdb.frontend.redis.subsequences import SUBSEQUENCES
from raftdb.frontend.redis.transactions import TRANSACTIONS
from raftdb.wire.resp_replies import Unordered

_CATEGORIES = {
    "string": "@string",
    "generic": "@keyspace",
    "connection": "@connection",
    "transactions": "@transaction",
}
"""The category of access of a group."""


def find(arguments: Arguments) -> Row:
    """The row of a request. Raises `CommandRefused` for an unknown name, and for too few or too many arguments."""
    row = BY_NAME.get(arguments[0])
    if row is None:
        row = BY_NAME.get(arguments[0].lower())
        if row is None:
            raise unknown_command(arguments)
    if row.subcommands and len(arguments) > 1:
        row = _subcommand(row, arguments[1])
    count = len(arguments)
    if count != row.arity and (row.arity >= 0 or count < -row.arity):
        raise wrong_arity(row.name)
    return row


def _subcommand(row: Row, name: bytes) -> Row:
    wanted = f"{row.name}|{name.decode(errors='replace').lower()}"
    for subcommand in row.subcommands:
        if subcommand.name == wanted:
            return subcommand
    raise unknown_subcommand(row.name, name)


def _info_of(row: Row) -> list[object]:
    """A command, as in the reply to COMMAND INFO."""
    speed = "@fast" if "fast" in row.flags else "@slow"
    effect = ["@write"] if "write" in row.flags else ["@read"] if "readonly" in row.flags else []
    group = [_CATEGORIES[row.group]] if row.group in _CATEGORIES else []
    first, last, step = row.keys
    return [
        row.name.encode(),
        row.arity,
        Unordered(row.flags),
        first,
        last,
        step,
        Unordered((*effect, *group, speed)),
        [],
        [_key_specification(row)] if first else [],
        [_info_of(subcommand) for subcommand in row.subcommands],
    ]


def _key_specification(row: Row) -> dict[object, object]:
    first, last, step = row.keys
    return {
        b"flags": Unordered(("RO", "access") if "readonly" in row.flags else ("RW", "access", "update")),
        b"begin_search": {b"type": b"index", b"spec": {b"index": first}},
        b"find_keys": {
            b"type": b"range",
            b"spec": {b"lastkey": last if last < 0 else last - first, b"keystep": step, b"limit": 0},
        },
    }


def _documentation_of(row: Row) -> dict[object, object]:
    """A command, as in the reply to COMMAND DOCS."""
    documentation: dict[object, object] = {
        b"summary": row.summary.encode(),
        b"since": row.since.encode(),
        b"group": row.group.encode(),
    }
    if row.subcommands:
        documentation[b"subcommands"] = {
            subcommand.name.encode(): _documentation_of(subcommand) for subcommand in row.subcommands
        }
    return documentation


def _all_infos(client: ClientState, given: Arguments) -> object:
    return [_info_of(row) for row in COMMANDS.values()]


def _infos(client: ClientState, given: Arguments) -> object:
    if len(given) == 2:
        return _all_infos(client, given)
    return [None if row is None else _info_of(row) for row in map(_named, given[2:])]


def _documentation(client: ClientState, given: Arguments) -> object:
    rows = list(COMMANDS.values()) if len(given) == 2 else [row for row in map(_named, given[2:]) if row]
    return {row.name.encode(): _documentation_of(row) for row in rows}


def _named(name: bytes) -> Row | None:
    command, _, subcommand = name.lower().partition(b"|")
    row = BY_NAME.get(command)
    if row is None or not subcommand:
        return row
    try:
        return _subcommand(row, subcommand)
    except CommandRefused:
        return None


def keys_of(row: Row, arguments: Sequence[bytes]) -> Sequence[bytes]:
    """The keys that a request names; `arguments` begins with the name of the command."""
    first, last, step = row.keys
    if not first:
        return ()
    return arguments[first : len(arguments) + last + 1 if last < 0 else last + 1 : step]


def _get_keys(client: ClientState, given: Arguments) -> object:
    row = _named(given[2])
    if row is None:
        raise CommandRefused("ERR Invalid command specified")
    if not row.keys[0]:
        raise CommandRefused("ERR The command has no key arguments")
    if not row.accepts(len(given) - 2):
        raise CommandRefused("ERR Invalid number of arguments specified for command")
    return list(keys_of(row, given[2:]))


def _command_list(client: ClientState, given: Arguments) -> object:
    if len(given) > 2:
        raise CommandRefused(SYNTAX)
    return [name.encode() for name in COMMANDS]


def _row(name: str, arity: int, summary: str, run: Callable[[ClientState, Arguments], Any]) -> Row:
    return Row(
        name=f"command|{name}" if name else "command",
        arity=arity,
        flags=("loading", "stale"),
        group="server",
        since="2.8.13",
        summary=summary,
        run=run,
        subcommands=() if name else _COMMAND,
    )


_COMMAND: tuple[Row, ...] = ()
_COMMAND = (
    _row("count", 2, "How many commands there are", lambda client, given: len(COMMANDS)),
    _row("info", -2, "How commands are called", _infos),
    _row("docs", -2, "What commands are for", _documentation),
    _row("list", -2, "The names of all commands", _command_list),
    _row("getkeys", -4, "The keys that a command names", _get_keys),
)

COMMANDS: dict[str, Row] = {
    row.name: row
    for row in (
        *STRINGS,
        *SUBSEQUENCES,
        *KEYS,
        *SCANNING,
        *OBJECTS,
        *SERVICES,
        *TRANSACTIONS,
        *CONNECTION,
        *ACL,
        *INTROSPECTION,
        *CLUSTER,
        _row("", -1, "How commands are called", _all_infos),
    )
}
"""All commands by name, in the order of COMMAND."""

BY_NAME: dict[bytes, Row] = {
    spelling: row for row in COMMANDS.values() for spelling in (row.name.encode(), row.name.upper().encode())
}
"""All commands by the usual spellings of their names."""
