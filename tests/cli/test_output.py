"""Where results go and in which form."""

import io

import pytest

from cli.answers import show_result
from cli.failures import CommandError, describe, exit_code_of
from cli.output import Output
from raftdb.errors import Fatal, OutcomeUnknown, RaftdbError, Unavailable

ERROR = "raftdb: error: get: no\nhint: try"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _a_terminal_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_gets_typed_values_and_a_pipe_raw_ones() -> None:
    for stream, text in ((Terminal(), '"v"\n'), (io.StringIO(), "v\n")):
        show_result(b"v", Output(stream=stream))
        assert stream.getvalue() == text


def test_errors_are_coloured_on_a_terminal_only() -> None:
    for stream, coloured in ((Terminal(), True), (io.StringIO(), False)):
        Output(stream=io.StringIO(), errors=stream).error(ERROR)
        text = stream.getvalue()
        assert ("\x1b[" in text) is coloured
        assert text.replace("\x1b[31m", "").replace("\x1b[90m", "").replace("\x1b[0m", "") == f"{ERROR}\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_and_not_where_colours_are_unwanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    Output(stream=io.StringIO(), errors=stream).error(ERROR)
    assert stream.getvalue() == f"{ERROR}\n"


def test_a_stream_that_cannot_show_a_character_shows_its_number() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show_result("☕".encode(), Output("table", stream=stream))
    assert raw.getvalue() == b'"\\u2615"\n'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("up", "no", exit_code=4), 4),
        (Fatal("no", exit_code=3), 3),
        (Unavailable("unreachable", "no"), 3),
        (RaftdbError("code_of_the_future", "no"), 1),
    ],
)
def test_errors_that_are_in_no_table_have_exit_codes_too(error: RaftdbError, code: int) -> None:
    assert exit_code_of(error) == code


def test_an_unknown_outcome_is_called_so() -> None:
    assert describe(OutcomeUnknown("cut"), "set") == "raftdb: error: set: outcome unknown: cut"


def test_what_was_typed_is_repeated_in_part_and_without_control_characters() -> None:
    text = describe(CommandError("\x1b[2J" + "x" * 1000, "no", exit_code=2), "")
    assert text.startswith("raftdb: error: \\x1b[2Jxxx")
    assert len(text) < 250
