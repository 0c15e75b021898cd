"""What a node logs, and how much of it."""

import itertools
import logging

from raftdb.server.logs import (
    OF_AUDIT,
    OF_STRANGERS,
    STRANGERS_LINES_MAX,
    STRANGERS_LINES_PER_SECOND,
    WHOSE_LINES_MAX,
    Brake,
    TextFormatter,
)


def record(
    seconds: float,
    *,
    name: str = OF_STRANGERS[0],
    level: int = logging.WARNING,
    text: str = "link closed",
) -> logging.LogRecord:
    """A line that is logged at this time."""
    made = logging.LogRecord(name, level, "", 0, text, None, None)
    made.created = 1_000_000 + seconds
    made.__dict__["fields"] = {"peer": "evil"}
    return made


def test_strangers_do_not_fill_the_disk_with_lines_of_the_log() -> None:
    brake = Brake()
    names = itertools.cycle(["raftdb.transport", "raftdb.http"])
    lines = sum(brake.filter(record(0, name=next(names))) for _ in range(10 * STRANGERS_LINES_MAX))
    assert lines == STRANGERS_LINES_MAX
    lines = sum(brake.filter(record(second)) for second in range(1, 1001) for _ in range(20))
    assert lines == 1000 * STRANGERS_LINES_PER_SECOND


def test_the_next_line_says_how_many_were_left_out() -> None:
    brake = Brake()
    for _ in range(STRANGERS_LINES_MAX + 7):
        brake.filter(record(0))
    later = record(60)
    assert brake.filter(later)
    assert TextFormatter("n1").format(later).endswith("link closed peer=evil left_out=7")
    assert brake.filter(record(-1000)), "a clock that goes back takes nothing away"


def test_lines_of_each_user_are_counted_apart() -> None:
    brake = Brake()

    def passed(text: str, **fields: str) -> int:
        """How many of a thousand such lines are written."""
        count = 0
        for _ in range(1_000):
            line = record(0, name=OF_AUDIT, text=text)
            line.__dict__["fields"] = fields
            count += brake.filter(line)
        return count

    while brake.filter(record(0)):
        pass
    assert passed("login refused", user="ana") == STRANGERS_LINES_MAX
    assert passed("login refused", user="another name") == 0
    for by in ("mal", "admin"):
        assert passed("asked for", by=by) == STRANGERS_LINES_MAX
        assert passed("refused", by=by) == STRANGERS_LINES_MAX
    for number in range(2 * WHOSE_LINES_MAX):
        line = record(0, name=OF_AUDIT, text="asked for")
        line.__dict__["fields"] = {"by": f"user{number}"}
        assert brake.filter(line)
    assert len(brake._of_users) == WHOSE_LINES_MAX


def test_what_strangers_say_begins_no_line_and_moves_no_cursor() -> None:
    evil = "u\x1b[31m\n18:00:00.000 info    n1 logged in user=admin\r\x07\u202e\u2028\x85"
    line = record(0)
    line.__dict__["fields"] = {"user": evil, "peers": (evil, "n2")}
    written = TextFormatter("n1").format(line)
    assert written.isprintable()
    assert "\\x1b[31m\\x0a18:00" in written


def test_errors_and_what_others_log_is_never_left_out() -> None:
    brake = Brake()
    while brake.filter(record(0)):
        pass
    assert brake.filter(record(0, level=logging.ERROR))
    assert brake.filter(record(0, level=logging.DEBUG))
    assert brake.filter(record(0, name="raftdb.server"))
