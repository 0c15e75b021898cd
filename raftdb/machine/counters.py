"""Numbers, counted up and down: a value that spells an integer of 64 bits, or a decimal number.

Decimals are computed as decimals, with digits enough for every sum, so that all replicas have the same whatever their
processors make of floating point.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from raftdb.errors import ReplyError
from raftdb.machine.arguments import integer
from raftdb.machine.integers import (
    INTEGER_MAX,
    INTEGER_MIN,
    INTEGER_TEXT_BYTES_MAX,
    NOT_AN_INTEGER,
    parse_integer,
)
from raftdb.machine.keyspace import HEADER_BYTES
from raftdb.machine.layer import Layer
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
)
from raftdb.machine.values import change_value, state_key_of, string_of, visible


@dataclass(frozen=True, slots=True)
class IncrementBy(Command):
    """Add `delta` (64-bit signed) to the decimal integer stored under `key`; a missing key counts as 0."""

    key: bytes
    delta: int


def increment_by(layer: Layer, command: IncrementBy, revision: int) -> Result:
    """Add to the integer that the value spells, 0 for a missing key; the expiry stays. Answers the sum."""
    state_key = state_key_of(layer, command.key)
    # The beginning of a text is enough to see that it is too long for an integer.
    before = layer.head(state_key, HEADER_BYTES + INTEGER_TEXT_BYTES_MAX + 1)
    stored = visible(layer, before)
    current = 0 if stored is None else parse_integer(string_of(stored))
    if current is None or not INTEGER_MIN <= command.delta <= INTEGER_MAX:
        raise ReplyError(NOT_AN_INTEGER)
    total = current + command.delta
    if not INTEGER_MIN <= total <= INTEGER_MAX:
        raise ReplyError("increment or decrement would overflow")
    change_value(layer, state_key, before, stored, b"%d" % total, revision=revision)
    return Result(total, revision)


FRACTION_DIGITS = 17
"""Digits after the point of a sum of decimals: others are rounded away."""
_EXPONENT_MAX = 308
_ARITHMETIC = Context(prec=2 * _EXPONENT_MAX + FRACTION_DIGITS, rounding=ROUND_HALF_EVEN)
_LAST_DIGIT = Decimal(1).scaleb(-FRACTION_DIGITS)
DECIMAL_BYTES_MAX = 256
"""Longest text that is read as a decimal."""
_DECIMAL = re.compile(rb"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,5})?")

NOT_A_FLOAT = "value is not a valid float"
"""The error for a text that is no decimal number (Redis' words)."""


def parse_decimal(text: bytes) -> Decimal | None:
    """Return the number that `text` spells, with an exponent or not, None if it is none, or one out of reach."""
    if len(text) > DECIMAL_BYTES_MAX or not _DECIMAL.fullmatch(text):
        return None
    value = Decimal(text.decode("ascii"))
    return value if not value or abs(value.adjusted()) <= _EXPONENT_MAX else None


@dataclass(frozen=True, slots=True)
class IncrementByDecimal(Command):
    """Add the decimal number that `delta` spells to the one stored under `key`; a missing key counts as 0."""

    key: bytes
    delta: bytes


def increment_by_decimal(layer: Layer, command: IncrementByDecimal, revision: int) -> Result:
    """Add to the number that the value spells; the expiry stays. Answers the sum, in the one spelling that is stored:
    without an exponent, and with no zero at the end of a fraction."""
    state_key = state_key_of(layer, command.key)
    before = layer.head(state_key, HEADER_BYTES + DECIMAL_BYTES_MAX + 1)
    stored = visible(layer, before)
    current = Decimal(0) if stored is None else parse_decimal(string_of(stored))
    delta = parse_decimal(command.delta)
    if current is None or delta is None:
        raise ReplyError(NOT_A_FLOAT)
    total = _ARITHMETIC.quantize(_ARITHMETIC.add(current, delta), _LAST_DIGIT)
    if total.adjusted() > _EXPONENT_MAX:
        raise ReplyError("increment would produce NaN or Infinity")
    text = f"{total:f}".rstrip("0").rstrip(".")
    data = b"0" if text == "-0" else text.encode()
    change_value(layer, state_key, before, stored, data, revision=revision)
    return Result(data, revision)


COUNTERS = Service(
    heading="counters",
    commands=(
        CommandType(
            type=IncrementBy,
            number=8,
            write=increment_by,
            grows=True,
            names=(
                CommandSpec(
                    name="incr",
                    syntax="incr KEY",
                    summary="Add 1 to a number and answer the sum; a missing key counts as 0.",
                    examples=(Example("incr visits", "1"), Example("incr visits", "2")),
                    arity=Arity(1, 1),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: IncrementBy(given[0], 1),
                    values=NO_ARGUMENTS,
                ),
                CommandSpec(
                    name="decr",
                    syntax="decr KEY",
                    summary="Subtract 1 from a number and answer the difference; a missing key counts as 0.",
                    examples=(Example("set stock 10", "OK"), Example("decr stock", "9")),
                    arity=Arity(1, 1),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: IncrementBy(given[0], -1),
                    values=NO_ARGUMENTS,
                ),
                CommandSpec(
                    name="incrby",
                    syntax="incrby KEY NUMBER",
                    summary="Add a whole number, which may be negative, and answer the sum.",
                    examples=(Example("incrby visits 10", "10"), Example("incrby visits -3", "7")),
                    arity=Arity(2, 2),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: IncrementBy(
                        given[0], integer(given[1], hint="a whole number of 64 bits, such as 5 or -5")
                    ),
                ),
            ),
        ),
        CommandType(
            type=IncrementByDecimal,
            number=23,
            write=increment_by_decimal,
            grows=True,
            log_name="incrbyfloat",
        ),
    ),
)
