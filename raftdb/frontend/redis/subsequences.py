"""LCS: what two values have in common, as the bytes, as their number, or as runs in both."""

from typing import cast

from raftdb.frontend.redis.arguments import integer
from raftdb.frontend.redis.errors import SYNTAX, CommandRefused
from raftdb.frontend.redis.rows import READ_SLOW, TWO_KEYS, Arguments, Call, Row, built
from raftdb.machine.reply import Told
from raftdb.machine.subsequences import CommonSubsequence


def _bytes_of(told: Told) -> object:
    return cast(list[bytes], told.value)[0]


def _length_of(told: Told) -> object:
    return len(cast(list[bytes], told.value)[0])


def _lcs(arguments: Arguments) -> Call:
    """`LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]`."""
    wants_length = wants_runs = with_lengths = False
    length_min = 0
    words = iter(arguments[3:])
    for word in words:
        option = word.upper()
        if option == b"LEN":
            wants_length = True
        elif option == b"IDX":
            wants_runs = True
        elif option == b"WITHMATCHLEN":
            with_lengths = True
        elif option == b"MINMATCHLEN":
            number = next(words, None)
            if number is None:
                raise CommandRefused(SYNTAX)
            length_min = integer(number)
        else:
            raise CommandRefused(SYNTAX)
    if wants_length and wants_runs:
        raise CommandRefused("ERR If you want both the length and indexes, please just use IDX.")

    def runs_of(told: Told) -> object:
        text, *ends = cast(list[int], told.value)
        matches: list[object] = []
        for place in range(0, len(ends), 4):
            first, last, other_first, other_last = ends[place : place + 4]
            length = last - first + 1
            if length >= length_min:
                run: list[object] = [[first, last], [other_first, other_last]]
                matches.append([*run, length] if with_lengths else run)
        return {b"matches": matches, b"len": len(cast(bytes, text))}

    operation = CommonSubsequence(arguments[1], arguments[2])
    return operation, runs_of if wants_runs else _length_of if wants_length else _bytes_of


SUBSEQUENCES: tuple[Row, ...] = (
    built(
        "string",
        "lcs",
        -3,
        READ_SLOW,
        "7.0.0",
        "The longest common subsequence of two values",
        _lcs,
        TWO_KEYS,
    ),
)
"""The rows of the table."""
