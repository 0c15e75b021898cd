"""The lines of the log that tell of entries: ranges, without a hole, before what happened after them."""

import logging
from collections.abc import Iterator

import pytest

from raftdb.core.update import Trace
from raftdb.node.telling import Telling


def appended(first: int, last: int, term: int = 2) -> Trace:
    return Trace("appended", (("first_index", first), ("last_index", last), ("term", term)))


def applied(first: int, last: int) -> Trace:
    return Trace("applied", (("first_index", first), ("applied_index", last)))


def committed(index: int) -> Trace:
    return Trace("committed", (("commit_index", index),))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What was told so far; grows as more is told."""
    caplog.set_level(logging.DEBUG, logger="raftdb.node")
    told: list[str] = []

    class Gather(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            fields = record.__dict__["fields"]
            told.append(
                " ".join([record.getMessage(), *(f"{name}={value}" for name, value in fields.items())])
            )
            return True

    # The handler is that of all tests.
    gather = Gather()
    caplog.handler.addFilter(gather)
    yield told
    caplog.handler.removeFilter(gather)


def test_ranges_that_go_on_are_one_line_each(lines: list[str]) -> None:
    telling = Telling()
    telling.tell([appended(5, 5)])
    telling.tell([appended(6, 9), committed(5), applied(5, 5)])
    telling.tell([committed(9), applied(6, 9)])
    assert lines == []
    telling.finish()
    assert lines == [
        "appended first_index=5 last_index=9 term=2",
        "committed commit_index=9",
        "applied first_index=5 applied_index=9",
    ]
    telling.finish()
    assert len(lines) == 3


def test_what_happens_meanwhile_is_told_after_what_was_before(lines: list[str]) -> None:
    telling = Telling()
    telling.tell([appended(5, 6), Trace("entered a term", (("term", 3),)), appended(7, 7, term=3)])
    assert lines == ["appended first_index=5 last_index=6 term=2", "entered a term term=3"]
    telling.finish()
    assert lines[2:] == ["appended first_index=7 last_index=7 term=3"]


@pytest.mark.parametrize("following", [appended(6, 8), appended(9, 9), appended(8, 8, term=3)])
def test_what_does_not_follow_begins_a_line_of_its_own(lines: list[str], following: Trace) -> None:
    """An overwritten entry, a hole, another term."""
    telling = Telling()
    telling.tell([appended(5, 7), committed(6), following])
    assert lines == ["appended first_index=5 last_index=7 term=2", "committed commit_index=6"]
    telling.finish()
    first, last, term = (value for _, value in following.details)
    assert lines[2:] == [f"appended first_index={first} last_index={last} term={term}"]


def test_other_levels_have_their_loggers(lines: list[str]) -> None:
    telling = Telling()
    logging.getLogger("raftdb.node.heartbeat").setLevel(logging.INFO)
    try:
        telling.tell(
            [
                Trace("heartbeat sent", (("round", 4),), "heartbeat"),
                Trace("left", (("node", "n3"),), "warning"),
            ]
        )
    finally:
        logging.getLogger("raftdb.node.heartbeat").setLevel(logging.NOTSET)
    assert lines == ["left node=n3"]


def test_what_nobody_is_told_cuts_no_range(lines: list[str]) -> None:
    telling = Telling()
    logging.getLogger("raftdb.node.heartbeat").setLevel(logging.INFO)
    try:
        telling.tell([appended(5, 5), Trace("heartbeat sent", (("round", 4),), "heartbeat"), appended(6, 6)])
    finally:
        logging.getLogger("raftdb.node.heartbeat").setLevel(logging.NOTSET)
    assert lines == []
    telling.finish()
    assert lines == ["appended first_index=5 last_index=6 term=2"]
