"""Commands about the encoding of a value, as far as that has a meaning here."""

from collections.abc import Callable
from functools import partial
from typing import cast

from raftdb.frontend.redis.arguments import integer
from raftdb.frontend.redis.errors import SYNTAX, CommandRefused
from raftdb.frontend.redis.rows import READ_SLOW, Arguments, Call, Row, built, only_subcommands, run_here
from raftdb.machine.integers import parse_integer
from raftdb.machine.keys import KindOf
from raftdb.machine.keyspace import HEADER_BYTES
from raftdb.machine.reply import Told
from raftdb.machine.strings import Get, Strlen
from raftdb.wire.resp_replies import Error

EMBEDDED_BYTES_MAX = 44
"""The longest string whose encoding Redis calls embstr."""

SECOND = (2, 2, 1)
"""The place of the key, which comes after the subcommand."""

NO_FREQUENCY = Error(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
    "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
)


def _encoding(told: Told) -> object:
    """The name of Redis' encoding for such a string, if it was stored by one SET."""
    if told.value is None:
        return None
    data = cast(bytes, told.value)
    if parse_integer(data) is not None:
        return b"int"
    return b"embstr" if len(data) <= EMBEDDED_BYTES_MAX else b"raw"


def _usage(arguments: Arguments) -> Call:
    """`MEMORY USAGE key [SAMPLES n]`: the bytes of key, value and what is stored with it."""
    options = arguments[3:]
    if options:
        if len(options) != 2 or options[0].upper() != b"SAMPLES":
            raise CommandRefused(SYNTAX)
        if integer(options[1]) < 0:
            raise CommandRefused(SYNTAX)
    beside = len(arguments[2]) + 1 + HEADER_BYTES

    def reply(told: Told) -> object:
        return beside + cast(int, told.value) if told.revision else None

    return Strlen(arguments[2]), reply


def _of_any(value: object) -> Callable[[Arguments], Call]:
    """A reply of `value` for every key that exists."""

    def build(arguments: Arguments) -> Call:
        return KindOf(arguments[2]), lambda told: None if told.value is None else value

    return build


_object = partial(built, "generic")
_local = partial(run_here, "generic")

OBJECT: tuple[Row, ...] = (
    _object(
        "object|encoding",
        3,
        READ_SLOW,
        "2.2.3",
        "What Redis would call the encoding of a value",
        lambda given: (Get(given[2]), _encoding),
        SECOND,
    ),
    _object("object|refcount", 3, READ_SLOW, "2.2.3", "1 for a key that is there", _of_any(1), SECOND),
    _object("object|idletime", 3, READ_SLOW, "2.2.3", "0 for a key that is there", _of_any(0), SECOND),
    _object(
        "object|freq",
        3,
        READ_SLOW,
        "4.0.0",
        "An error, as uses are not counted",
        _of_any(NO_FREQUENCY),
        SECOND,
    ),
)

MEMORY: tuple[Row, ...] = (
    _object(
        "memory|usage", -3, READ_SLOW, "4.0.0", "How many bytes a key takes in the state", _usage, SECOND
    ),
)

OBJECTS: tuple[Row, ...] = (
    _local("object", -2, (), "2.2.3", "About how values are kept", only_subcommands, subcommands=OBJECT),
    _local("memory", -2, (), "4.0.0", "About memory", only_subcommands, subcommands=MEMORY),
)
"""The rows of the table."""
