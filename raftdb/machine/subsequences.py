"""The longest common subsequence of two values: what both have in the same order, with gaps.

The usual table has a cell for each pair of positions, a million of them at the most. It is kept as one number for each
byte of the shorter value, whose bits say where along the longer value the length grows (Crochemore et al., *A fast and
practical bit-vector algorithm for the longest common subsequence problem*, 2001): a row takes a few operations on long
numbers, and the table 128 kB.

Of several subsequences of the same length the one is found that Redis finds, going back from both ends: where both
bytes are equal they are taken, else a byte of the first value is left out if only that loses nothing, and else one of
the second.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from raftdb.errors import ReplyError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.reply import Result
from raftdb.machine.service import Command, CommandType, Service
from raftdb.machine.values import load, string_of

CELLS_MAX = 1_000_000
"""The greatest product of the two lengths."""


@dataclass(frozen=True, slots=True)
class CommonSubsequence(Command):
    """Read the longest common subsequence of the values of two keys."""

    first: bytes
    second: bytes


def common_subsequence(view: KeyValueView, command: CommonSubsequence) -> Result:
    """Answer its bytes, and then the runs that it consists of, the last one first, each as four numbers: its first and
    its last byte in the first value, and the same in the second. A missing value is empty."""
    values = [load(view, key) for key in (command.first, command.second)]
    first, second = (b"" if stored is None else string_of(stored) for stored in values)
    if len(first) * len(second) > CELLS_MAX:
        raise ReplyError(
            "the values are too long", hint=f"the product of their lengths is at most {CELLS_MAX}"
        )
    runs: list[tuple[int, int, int, int]] = []
    for at_first, at_second in _pairs(first, second):
        if runs and runs[-1][0] == at_first + 1 and runs[-1][2] == at_second + 1:
            runs[-1] = (at_first, runs[-1][1], at_second, runs[-1][3])
        else:
            runs.append((at_first, at_first, at_second, at_second))
    text = b"".join(first[run[0] : run[1] + 1] for run in reversed(runs))
    return Result([text, *(end for run in runs for end in run)], None)


def _pairs(first: bytes, second: bytes) -> Iterator[tuple[int, int]]:
    """The positions of the common bytes in both values, the last ones first."""
    return _back_by_rows(first, second) if len(first) <= len(second) else _back_by_columns(first, second)


def _table(short: bytes, long: bytes) -> list[int]:
    """A row for each beginning of `short`, the empty one first: bit j is set if the longest common subsequence with the
    first j + 1 bytes of `long` is longer than that with the first j."""
    every = (1 << len(long)) - 1
    places = {byte: _places(byte, long) for byte in dict.fromkeys(short)}
    flat = every
    rows = [0]
    for byte in short:
        there = flat & places[byte]
        flat = ((flat + there) | (flat - there)) & every
        rows.append(every ^ flat)
    return rows


def _places(byte: int, text: bytes) -> int:
    """Where `byte` is in `text`: bit j for position j."""
    if not text:
        return 0
    digits = text.translate(bytes(ord("1") if other == byte else ord("0") for other in range(256)))
    return int(digits[::-1], 2)


def _back_by_rows(first: bytes, second: bytes) -> Iterator[tuple[int, int]]:
    """Go back where rows are those of the first value."""
    rows = _table(first, second)
    i, j = len(first), len(second)
    while i and j:
        # Without a byte of the second nothing is lost until the length grows there, or both bytes are equal.
        grows = (rows[i] & ((1 << j) - 1)).bit_length()
        j = max(grows, second.rfind(first[i - 1], 0, j) + 1)
        if j and first[i - 1] == second[j - 1]:
            j -= 1
            i -= 1
            yield i, j
        else:
            i -= 1


def _back_by_columns(first: bytes, second: bytes) -> Iterator[tuple[int, int]]:
    """Go back where rows are those of the second value."""
    rows = _table(second, first)
    i, j = len(first), len(second)
    while i and j:
        if first[i - 1] == second[j - 1]:
            i -= 1
            j -= 1
            yield i, j
            continue
        below = (1 << i) - 1
        if (rows[j] & below).bit_count() > (rows[j - 1] & below).bit_count():
            # A byte of the second would be missed: those of the first are left out as long as nothing is lost.
            i = max((rows[j] & below).bit_length(), first.rfind(second[j - 1], 0, i) + 1)
            if first[i - 1] != second[j - 1]:
                j -= 1
        else:
            j -= 1


SUBSEQUENCES = Service(
    heading="values",
    commands=(
        CommandType(
            type=CommonSubsequence,
            number=28,
            read=common_subsequence,
            log_name="lcs",
            keys_named=lambda command: 2,
        ),
    ),
)
