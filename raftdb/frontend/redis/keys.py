"""Commands on keys, for any value: deleting, finding, renaming, and expiry."""

from collections.abc import Callable
from functools import partial
from typing import cast

from raftdb.frontend.redis.arguments import bad_time, calendar_ms, integer
from raftdb.frontend.redis.errors import SYNTAX, CommandRefused, text_of
from raftdb.frontend.redis.globs import literal_prefix, matcher
from raftdb.frontend.redis.rows import (
    ALL_KEYS,
    READ,
    READ_SLOW,
    SHRINK,
    TWO_KEYS,
    WRITE,
    WRITE_SLOW,
    Arguments,
    Call,
    ReplyOf,
    Row,
    built,
)
from raftdb.frontend.redis.strings import as_done, as_flag, as_it_is
from raftdb.limits import KEY_BYTES_MAX, TTL_MS_MAX
from raftdb.machine.batches import DeleteMany, Exists
from raftdb.machine.expiry import ExpireAfter, ExpiryCondition, RemoveExpiry, TimeToLive
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN
from raftdb.machine.keys import Clear, Copy, KindOf, Rename
from raftdb.machine.reply import Told
from raftdb.machine.scanning import DatabaseSize, Keys
from raftdb.machine.strings import Condition

MISSING = -2
STAYS = -1
"""The replies instead of a time, for a key that is missing, and for one that does not expire."""


def _as_kind(told: Told) -> object:
    return "none" if told.value is None else cast(bytes, told.value).decode()


def _time_left(convert: Callable[[int], int]) -> ReplyOf:
    def reply(told: Told) -> object:
        if told.value is None:
            return STAYS if told.revision else MISSING
        return convert(cast(int, told.value))

    return reply


def _time_of(reply: ReplyOf) -> Callable[[Arguments], Call]:
    return lambda arguments: (TimeToLive(arguments[1]), reply)


def _rounded_s(time_ms: int) -> int:
    """Seconds, rounded as in Redis."""
    return (time_ms + 500) // 1000


_EXPIRY_CONDITIONS = {
    b"NX": ExpiryCondition.IF_IT_STAYS,
    b"XX": ExpiryCondition.IF_IT_ENDS,
    b"GT": ExpiryCondition.IF_LATER,
    b"LT": ExpiryCondition.IF_EARLIER,
}


def _expiry_condition(options: list[bytes]) -> tuple[ExpiryCondition, bool]:
    """The condition of the options together, and whether a key without an expiry is left alone, too."""
    given = set()
    for option in options:
        word = option.upper()
        if word not in _EXPIRY_CONDITIONS:
            raise CommandRefused(f"ERR Unsupported option {text_of(option)}")
        given.add(word)
    if b"NX" in given and len(given) > 1:
        raise CommandRefused("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"GT", b"LT"} <= given:
        raise CommandRefused("ERR GT and LT options at the same time are not compatible")
    # GT never holds for a key without an expiry, so XX adds nothing to it; LT with XX is a condition of its own.
    decisive = given - {b"XX"} or given
    condition = _EXPIRY_CONDITIONS[decisive.pop()] if decisive else ExpiryCondition.ALWAYS
    return condition, condition is ExpiryCondition.IF_EARLIER and b"XX" in given


def _expire(command: str, unit_ms: int, *, of_calendar: bool) -> Callable[[Arguments], Call]:
    """`EXPIRE key n [NX | XX | GT | LT]`, and the same in another unit, or as a time of the calendar."""

    def build(arguments: Arguments) -> Call:
        condition, must_end = _expiry_condition(arguments[3:])
        time_ms = integer(arguments[2]) * unit_ms
        if not INTEGER_MIN <= time_ms <= INTEGER_MAX:
            raise bad_time(command)
        ttl_ms = time_ms - calendar_ms() if of_calendar else time_ms
        if ttl_ms > TTL_MS_MAX:
            raise bad_time(command)
        if must_end:
            condition = ExpiryCondition.IF_EARLIER_END
        return ExpireAfter(arguments[1], max(ttl_ms, -1), condition), as_flag

    return build


def _copy(arguments: Arguments) -> Call:
    """`COPY source destination [DB n] [REPLACE]`."""
    condition = Condition.IF_MISSING
    words = iter(arguments[3:])
    for word in words:
        option = word.upper()
        if option == b"REPLACE":
            condition = Condition.ALWAYS
        elif option == b"DB":
            number = next(words, None)
            if number is None:
                raise CommandRefused(SYNTAX)
            if integer(number) != 0:
                raise CommandRefused("ERR DB index is out of range")
        else:
            raise CommandRefused(SYNTAX)
    if arguments[1] == arguments[2]:
        raise CommandRefused("ERR source and destination objects are the same")
    return Copy(arguments[1], arguments[2], condition), as_flag


def _keys(arguments: Arguments) -> Call:
    """`KEYS pattern`: the machine finds the keys with the pattern's prefix, which are matched here."""
    pattern = arguments[1]
    prefix = literal_prefix(pattern)[:KEY_BYTES_MAX]
    matches = matcher(pattern)
    return Keys(prefix), lambda told: [key for key in cast(list[bytes], told.value) if matches(key)]


_row = partial(built, "generic")


def _delete(given: Arguments) -> Call:
    return DeleteMany(tuple(given[1:])), as_it_is


def _exists(given: Arguments) -> Call:
    return Exists(tuple(given[1:])), as_it_is


def _flush(arguments: Arguments) -> Call:
    """`FLUSHALL [ASYNC | SYNC]`: both are the same here."""
    if len(arguments) > 2 or (len(arguments) == 2 and arguments[1].upper() not in (b"ASYNC", b"SYNC")):
        raise CommandRefused(SYNTAX)
    return Clear(), as_done


_TTL_MS, _TTL_S = _time_left(lambda left_ms: left_ms), _time_left(_rounded_s)
_END_MS = _time_left(lambda left_ms: calendar_ms() + left_ms)
_END_S = _time_left(lambda left_ms: _rounded_s(calendar_ms() + left_ms))


def _times() -> tuple[Row, ...]:
    """The commands that set an expiry and those that read it, in seconds and in milliseconds."""
    sets = [
        _row(name, -3, SHRINK, since, summary, _expire(name, unit_ms, of_calendar=of_calendar))
        for name, since, summary, unit_ms, of_calendar in (
            ("expire", "1.0.0", "Let a key end after some seconds", 1000, False),
            ("pexpire", "2.6.0", "Let a key end after some milliseconds", 1, False),
            ("expireat", "1.2.0", "Let a key end at a time, in seconds since 1970", 1000, True),
            ("pexpireat", "2.6.0", "Let a key end at a time, in milliseconds since 1970", 1, True),
        )
    ]
    tells = [
        _row(name, 2, READ, since, summary, _time_of(reply))
        for name, since, summary, reply in (
            ("ttl", "1.0.0", "How many seconds a key has left", _TTL_S),
            ("pttl", "2.6.0", "How many milliseconds a key has left", _TTL_MS),
            ("expiretime", "7.0.0", "When a key ends, in seconds since 1970", _END_S),
            ("pexpiretime", "7.0.0", "When a key ends, in milliseconds since 1970", _END_MS),
        )
    ]
    return (*sets, *tells)


KEYS: tuple[Row, ...] = (
    _row("del", -2, ("write",), "1.0.0", "Delete keys", _delete, ALL_KEYS),
    _row("unlink", -2, SHRINK, "4.0.0", "Delete keys", _delete, ALL_KEYS),
    _row("exists", -2, READ, "1.0.0", "How many of these keys there are", _exists, ALL_KEYS),
    _row("touch", -2, READ, "3.2.1", "How many of these keys there are", _exists, ALL_KEYS),
    _row("type", 2, READ, "1.0.0", "What kind a value is", lambda given: (KindOf(given[1]), _as_kind)),
    *_times(),
    _row("persist", 2, SHRINK, "2.2.0", "Let a key stay", lambda given: (RemoveExpiry(given[1]), as_flag)),
    _row(
        "rename",
        3,
        ("write",),
        "1.0.0",
        "Rename a key",
        lambda given: (Rename(given[1], given[2]), as_done),
        TWO_KEYS,
    ),
    _row(
        "renamenx",
        3,
        WRITE,
        "1.0.0",
        "Rename a key, if the new one is missing",
        lambda given: (Rename(given[1], given[2], Condition.IF_MISSING), as_flag),
        TWO_KEYS,
    ),
    _row("copy", -3, WRITE_SLOW, "6.2.0", "Copy a value to another key", _copy, TWO_KEYS),
    _row("flushall", -1, ("write",), "1.0.0", "Delete all keys", _flush, (0, 0, 0)),
    _row("flushdb", -1, ("write",), "1.0.0", "Delete all keys", _flush, (0, 0, 0)),
    _row("keys", 2, READ_SLOW, "1.0.0", "All keys that match a pattern", _keys, (0, 0, 0)),
    _row(
        "dbsize",
        1,
        READ,
        "1.0.0",
        "How many keys there are",
        lambda given: (DatabaseSize(), as_it_is),
        (0, 0, 0),
    ),
)
"""The rows of the table."""
