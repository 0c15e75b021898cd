"""The longest common subsequence: as found by the plain table, and within its limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.limits import VALUE_BYTES_CEILING
from raftdb.machine.reply import Result
from raftdb.machine.strings import Set
from raftdb.machine.subsequences import CELLS_MAX, CommonSubsequence
from tests.machine.database import Database


@pytest.fixture
def database() -> Database:
    return Database()


def pairs_by_the_table(first: bytes, second: bytes) -> list[tuple[int, int]]:
    """The positions of the common bytes, the last ones first, as in Redis' documentation."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first, start=1):
        for j, other in enumerate(second, start=1):
            same = table[i - 1][j - 1] + 1
            table[i][j] = same if one == other else max(table[i - 1][j], table[i][j - 1])
    i, j, found = len(first), len(second), []
    while i and j:
        if first[i - 1] == second[j - 1]:
            i, j = i - 1, j - 1
            found.append((i, j))
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


TEXTS = st.lists(st.sampled_from(b"abc\xff"), max_size=14).map(bytes)


@given(TEXTS, TEXTS)
def test_it_is_the_one_that_the_table_gives(first: bytes, second: bytes) -> None:
    database = Database()
    database.run(Set(b"first", first))
    database.run(Set(b"second", second))
    reply = database.applied(CommonSubsequence(b"first", b"second")).reply
    assert isinstance(reply, Result)
    value: Any = reply.value
    text, ends = value[0], value[1:]
    found: list[tuple[int, int]] = []
    for place in range(0, len(ends), 4):
        run, other = range(ends[place], ends[place + 1] + 1), range(ends[place + 2], ends[place + 3] + 1)
        found += reversed(list(zip(run, other, strict=True)))
    expected = pairs_by_the_table(first, second)
    assert found == expected
    assert text == bytes(first[i] for i, _ in reversed(expected))


def test_a_missing_value_is_empty(database: Database) -> None:
    database.run(Set(b"k", b"abc"))
    assert database.applied(CommonSubsequence(b"k", b"none")).reply == Result([b""], None)


def test_values_may_be_as_long_as_the_table_allows(database: Database) -> None:
    database.run(Set(b"long", b"ab" * (CELLS_MAX // 2)))
    database.run(Set(b"b", b"b"))
    last = CELLS_MAX - 1
    for keys, ends in (((b"long", b"b"), [last, last, 0, 0]), ((b"b", b"long"), [0, 0, last, last])):
        assert database.applied(CommonSubsequence(*keys)).reply == Result([b"b", *ends], None)
    database.run(Set(b"longer", bytes(VALUE_BYTES_CEILING)))
    assert database.error(CommonSubsequence(b"longer", b"b")) == "the values are too long"
