"""Starts of a node, and how a folder that was put back to an older copy is found out (hazard B108)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from raftdb.core.model import StartId
from raftdb.errors import Fatal
from raftdb.node.starts import (
    EARLIER_MAX,
    KnownStarts,
    OwnStarts,
    decode_known,
    decode_own,
    encode_known,
    encode_own,
    follows,
    has_superseded,
    is_forgotten,
    next_start,
)

NUMBERS: Iterator[int] = count(1)


def draw(length: int) -> bytes:
    """Other bytes each time."""
    return next(NUMBERS).to_bytes(length, "big")


def starts(times: int, own: OwnStarts | None = None) -> OwnStarts:
    """So many starts of one folder, one after the other."""
    for _ in range(times):
        own = next_start(None if own is None else encode_own(own), draw)
    assert own is not None
    return own


def test_each_start_has_the_next_number_and_names_the_one_before_it() -> None:
    first = starts(1)
    second = starts(1, first)
    assert (first.start.number, second.start.number) == (1, 2)
    assert (first.predecessor, second.predecessor) == (None, first.start.nonce)
    assert first.start.nonce != second.start.nonce
    assert second.secret == first.secret
    assert len(starts(EARLIER_MAX + 3).earlier) == EARLIER_MAX


@pytest.mark.parametrize("copied_at", [1, 3, 5])
@pytest.mark.parametrize("later", [1, 2, 4])
def test_a_start_from_an_older_copy_follows_none_that_the_copy_does_not_know(
    copied_at: int, later: int
) -> None:
    """The copy was made after `copied_at` starts; `later` more were met, the last of them is remembered."""
    copy = starts(copied_at)
    remembered = starts(later, copy).start
    again = starts(1, copy)
    assert not follows(remembered, again.start, again.predecessor)
    assert is_forgotten(again, remembered), "and the folder is told so"
    honest = starts(later + 1, copy)
    assert follows(copy.start, honest.start, honest.predecessor), "starts that met nobody may lie between"
    assert not is_forgotten(honest, copy.start)


def test_a_folder_that_went_on_from_a_copy_still_finds_out() -> None:
    """It has started more often since than the start that is remembered: only the folder itself can tell."""
    copy = starts(2)
    remembered = starts(1, copy).start
    again = starts(3, copy)
    assert follows(remembered, again.start, again.predecessor)
    assert is_forgotten(again, remembered)


def test_what_was_forgotten_once_is_no_news_later() -> None:
    """Who still remembers a start that was forgotten, and settled, does not bring the doubt back; and the numbers of
    later starts are above it, so that a folder that is put back once more is found out again."""
    copy = starts(2)
    old, remembered = starts(2, copy).start, starts(4, copy).start
    again = replace(starts(1, copy), forgotten=remembered.number)
    later = starts(1, again)
    assert later.start.number == remembered.number + 1
    assert not is_forgotten(later, old)
    assert not is_forgotten(later, remembered)
    assert not is_forgotten(starts(2, later), later.start)
    once_more = starts(1, again)
    assert is_forgotten(once_more, later.start)


@pytest.mark.parametrize("told", [StartId(99, "made up"), StartId(99, "0" * 32), StartId(3, "é"), None])
def test_nobody_can_make_up_a_start_that_was_forgotten(told: StartId | None) -> None:
    assert not is_forgotten(starts(3), told)


def test_a_start_that_was_met_before_another_one_comes_too_late() -> None:
    """Hazard B95."""
    first, second, third = StartId(1, "a"), StartId(2, "b"), StartId(3, "c")
    known = KnownStarts(third, first, ("b", "c"))
    assert has_superseded(known, first)
    assert has_superseded(known, second)
    assert not has_superseded(known, third)
    assert not has_superseded(known, StartId(1, "new"))
    assert not has_superseded(None, first)


def test_records_come_back_and_anything_else_stops_the_node() -> None:
    own = OwnStarts(StartId(3, "c"), b"secret", (StartId(1, "a"), StartId(2, "b")), ("c",), 7)
    assert decode_own(encode_own(own)) == own
    for known in (KnownStarts(StartId(3, "c")), KnownStarts(StartId(3, "c"), StartId(2, "b"), ("c",))):
        assert decode_known(encode_known(known)) == known
    for data in (encode_own(own), b"\x80"):
        with pytest.raises(Fatal):
            decode_known(data)
    for data in (encode_known(KnownStarts(StartId(3, "c"))), b"\x80"):
        with pytest.raises(Fatal):
            decode_own(data)
