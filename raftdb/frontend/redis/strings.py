"""Commands that store, read and change values, which are byte strings."""

from collections.abc import Callable, Iterator
from functools import partial

from raftdb.errors import RequestRefused
from raftdb.frontend.redis.arguments import UNITS, integer, lifetime_ms
from raftdb.frontend.redis.errors import NOT_A_FLOAT, SYNTAX, CommandRefused, error_of, wrong_arity
from raftdb.frontend.redis.rows import (
    ALL_KEYS,
    EVERY_OTHER_KEY,
    READ,
    READ_SLOW,
    SHRINK,
    WRITE,
    WRITE_SLOW,
    Arguments,
    Call,
    Row,
    built,
)
from raftdb.limits import VALUE_BYTES_CEILING
from raftdb.machine.batches import MultiGet, MultiSet
from raftdb.machine.counters import IncrementBy, IncrementByDecimal, parse_decimal
from raftdb.machine.editing import Append, GetRange, SetRange
from raftdb.machine.expiry import GetAndExpire
from raftdb.machine.integers import INTEGER_MIN
from raftdb.machine.locks.fencing import Fence, checked_fence
from raftdb.machine.reply import Told
from raftdb.machine.strings import KEEP_TTL, NO_TTL, Condition, Delete, FencedSet, Get, GetSet, Set, Strlen


def as_it_is(told: Told) -> object:
    """The reply is the result's value: a string, nil, a number or a list of these."""
    return told.value


def as_done(told: Told) -> object:
    """The reply is OK."""
    return "OK"


def as_done_or_nil(told: Told) -> object:
    """The reply is OK, or nil if a condition did not hold."""
    return "OK" if told.value else None


def as_flag(told: Told) -> object:
    """The reply is 1 if it was done, else 0."""
    return int(told.value is True)


_CONDITIONS = {b"NX": Condition.IF_MISSING, b"XX": Condition.IF_PRESENT}


def _set(arguments: Arguments) -> Call:
    """`SET key value [NX | XX] [GET] [EX n | PX n | EXAT n | PXAT n | KEEPTTL]`, and beside Redis' options
    `[FENCE lock token]`."""
    if len(arguments) == 3:
        return Set(arguments[1], arguments[2]), as_done
    condition, answers_value = Condition.ALWAYS, False
    unit: bytes | None = None
    time, fence = b"", None
    words = iter(arguments[3:])
    for word in words:
        option = word.upper()
        if option in _CONDITIONS and condition in (Condition.ALWAYS, _CONDITIONS[option]):
            condition = _CONDITIONS[option]
        elif option == b"GET":
            answers_value = True
        elif option == b"KEEPTTL" and unit in (None, option):
            unit = option
        elif option in UNITS and unit in (None, option):
            unit, time = option, _next(words)
        elif option == b"FENCE" and fence is None:
            fence = _fence(_next(words), _next(words))
        else:
            raise CommandRefused(SYNTAX)
    if fence is not None and answers_value:
        raise CommandRefused(SYNTAX)
    ttl_ms = NO_TTL
    if unit is not None:
        ttl_ms = KEEP_TTL if unit == b"KEEPTTL" else lifetime_ms(time, unit, "set")
    if answers_value:
        return GetSet(arguments[1], arguments[2], ttl_ms, condition), as_it_is
    if fence is not None:
        fenced = FencedSet(arguments[1], arguments[2], fence.name, fence.token, ttl_ms, condition)
        return fenced, as_done_or_nil
    return Set(arguments[1], arguments[2], ttl_ms, condition), as_done_or_nil


def _fence(name: bytes, token: bytes) -> Fence:
    """The fence of a SET: a lock and the token under which it is held."""
    try:
        return checked_fence(Fence(name, integer(token)))
    except RequestRefused as refusal:
        raise CommandRefused(error_of(refusal)) from None


def _next(words: Iterator[bytes]) -> bytes:
    """The word after an option."""
    word = next(words, None)
    if word is None:
        raise CommandRefused(SYNTAX)
    return word


def _set_for(unit: bytes, command: str) -> Callable[[Arguments], Call]:
    def build(arguments: Arguments) -> Call:
        return Set(arguments[1], arguments[3], lifetime_ms(arguments[2], unit, command)), as_done

    return build


def _getex(arguments: Arguments) -> Call:
    """`GETEX key [EX n | PX n | EXAT n | PXAT n | PERSIST]`."""
    key, unit, time = arguments[1], None, b""
    words = iter(arguments[2:])
    for word in words:
        option = word.upper()
        if unit not in (None, option) or (option != b"PERSIST" and option not in UNITS):
            raise CommandRefused(SYNTAX)
        unit = option
        if option in UNITS:
            time = _next(words)
    if unit is None:
        return Get(key), as_it_is
    try:
        ttl_ms = NO_TTL if unit == b"PERSIST" else lifetime_ms(time, unit, "getex")
    except CommandRefused as refused:
        # As in Redis, a bad time is an error only if there is a key for it.
        error = refused.error
        return Get(key), lambda told: None if told.value is None else error
    return GetAndExpire(key, ttl_ms), as_it_is


def _setrange(arguments: Arguments) -> Call:
    offset = integer(arguments[2])
    if offset < 0:
        raise CommandRefused("ERR offset is out of range")
    if arguments[3] and offset + len(arguments[3]) > VALUE_BYTES_CEILING:
        raise CommandRefused("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
    return SetRange(arguments[1], offset, arguments[3]), as_it_is


def _decrby(arguments: Arguments) -> Call:
    delta = integer(arguments[2])
    if delta == INTEGER_MIN:
        raise CommandRefused("ERR decrement would overflow")
    return IncrementBy(arguments[1], -delta), as_it_is


def _incrbyfloat(arguments: Arguments) -> Call:
    if parse_decimal(arguments[2]) is None:
        raise CommandRefused(NOT_A_FLOAT)
    return IncrementByDecimal(arguments[1], arguments[2]), as_it_is


def _pairs(arguments: Arguments, command: str) -> tuple[tuple[bytes, bytes], ...]:
    if len(arguments) % 2 == 0:
        raise wrong_arity(command)
    return tuple(zip(arguments[1::2], arguments[2::2], strict=True))


def _getrange(arguments: Arguments) -> Call:
    return GetRange(arguments[1], integer(arguments[2]), integer(arguments[3])), as_it_is


_row = partial(built, "string")


STRINGS: tuple[Row, ...] = (
    _row("get", 2, READ, "1.0.0", "The value of a key", lambda given: (Get(given[1]), as_it_is)),
    _row("set", -3, WRITE_SLOW, "1.0.0", "Store a value under a key", _set),
    _row(
        "setnx",
        3,
        WRITE,
        "1.0.0",
        "Store a value if the key is missing",
        lambda given: (Set(given[1], given[2], NO_TTL, Condition.IF_MISSING), as_flag),
    ),
    _row("setex", 4, WRITE_SLOW, "2.0.0", "Store a value for some seconds", _set_for(b"EX", "setex")),
    _row("psetex", 4, WRITE_SLOW, "2.6.0", "Store a value for some milliseconds", _set_for(b"PX", "psetex")),
    _row(
        "getset",
        3,
        WRITE,
        "1.0.0",
        "Store a value, and answer the one before it",
        lambda given: (GetSet(given[1], given[2]), as_it_is),
    ),
    _row(
        "getdel",
        2,
        SHRINK,
        "6.2.0",
        "Delete a key, and answer its value",
        lambda given: (Delete(given[1]), as_it_is),
    ),
    _row("getex", -2, SHRINK, "6.2.0", "The value of a key, whose end is set", _getex),
    _row(
        "append",
        3,
        WRITE,
        "2.0.0",
        "Append to a value, and answer its length",
        lambda given: (Append(given[1], given[2]), as_it_is),
    ),
    _row("strlen", 2, READ, "2.2.0", "The length of a value", lambda given: (Strlen(given[1]), as_it_is)),
    _row("setrange", 4, WRITE_SLOW, "2.2.0", "Write over a part of a value", _setrange),
    _row("getrange", 4, READ_SLOW, "2.4.0", "A part of a value", _getrange),
    _row("substr", 4, READ_SLOW, "1.0.0", "A part of a value", _getrange),
    _row("incr", 2, WRITE, "1.0.0", "Add 1 to a number", lambda given: (IncrementBy(given[1], 1), as_it_is)),
    _row(
        "decr",
        2,
        WRITE,
        "1.0.0",
        "Subtract 1 from a number",
        lambda given: (IncrementBy(given[1], -1), as_it_is),
    ),
    _row(
        "incrby",
        3,
        WRITE,
        "1.0.0",
        "Add to a number",
        lambda given: (IncrementBy(given[1], integer(given[2])), as_it_is),
    ),
    _row("decrby", 3, WRITE, "1.0.0", "Subtract from a number", _decrby),
    _row("incrbyfloat", 3, WRITE, "2.6.0", "Add to a decimal number", _incrbyfloat),
    _row(
        "mget",
        -2,
        READ,
        "1.0.0",
        "The values of several keys",
        lambda given: (MultiGet(tuple(given[1:])), as_it_is),
        ALL_KEYS,
    ),
    _row(
        "mset",
        -3,
        WRITE_SLOW,
        "1.0.1",
        "Store several values at once",
        lambda given: (MultiSet(_pairs(given, "mset")), as_done),
        EVERY_OTHER_KEY,
    ),
    _row(
        "msetnx",
        -3,
        WRITE_SLOW,
        "1.0.1",
        "Store several values at once, if all keys are missing",
        lambda given: (MultiSet(_pairs(given, "msetnx"), Condition.IF_MISSING), as_flag),
        EVERY_OTHER_KEY,
    ),
)
"""The rows of the table."""
