"""Where results go and in which form."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.console.failures import CommandError, describe, exit_code_of
from cli.console.output import Output
from cli.run.answers import show_result
from raftdb.errors import (
    Conflict,
    Deadlock,
    Fatal,
    LeaderHint,
    OutcomeUnknown,
    RaftdbError,
    ReplyError,
    Unavailable,
)
from tests.addresses import at

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


class TestJson:
    @given(st.text(), st.sampled_from(["utf-8", "UTF8", "ascii", "latin-1", "cp1252", "utf-16", "shift_jis"]))
    def test_it_is_utf_8_whatever_the_locale_and_nothing_for_a_terminal_to_obey(
        self, text: str, encoding: str
    ) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        Output("json", stream=stream).json({"result": text})
        line = raw.getvalue().decode("utf-8")
        assert json.loads(line) == {"result": text}
        assert line.removesuffix("\n").isprintable()

    def test_what_people_can_read_stays_as_it_is(self) -> None:
        stream = io.StringIO()
        Output("json", stream=stream).json({"result": "kopi ☕\u202e\x9b\x7f\U000e0001\ud800"})
        assert stream.getvalue() == ('{"result": "kopi ☕\\u202e\\u009b\\u007f\\udb40\\udc01\\ud800"}\n')

    @pytest.mark.parametrize(
        ("error", "fields"),
        [
            (RaftdbError("busy", "no", hint="later"), {"code": "busy", "message": "no", "hint": "later"}),
            (CommandError("", "no", exit_code=2), {"code": "bad_request", "message": "no"}),
            (
                Unavailable("not_leader", "no", leader=LeaderHint("n1", at("h:1"))),
                {
                    "code": "not_leader",
                    "message": "no",
                    "leader": {"id": "n1", "http": "h:1", "redis": None, "redis_cluster": None},
                },
            ),
        ],
    )
    def test_errors_are_objects_then(self, error: RaftdbError, fields: dict[str, object]) -> None:
        errors = io.StringIO()
        Output("json", stream=io.StringIO(), errors=errors).failure(error, "get")
        what = {} if isinstance(error, CommandError) else {"what": "get"}
        assert json.loads(errors.getvalue()) == {"error": {**fields, **what}}

    def test_and_hold_what_programs_need(self) -> None:
        errors = io.StringIO()
        output = Output("json", stream=io.StringIO(), errors=errors)
        output.failure(Conflict("no", keys=(b"a", b"\xff")), "exec")
        output.failure(ReplyError("no", failed_command=3), "exec")
        output.failure(Deadlock("no", cycle=((b"a", b"l"), (b"b", b"\xff"))), "lock")
        conflict, failed, deadlock = map(json.loads, errors.getvalue().splitlines())
        assert conflict["conflict"] == ["a", {"base64": "/w=="}]
        assert failed["failed"] == 3
        assert deadlock["cycle"] == [["a", "l"], ["b", {"base64": "/w=="}]]


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b2J", "\u202e", "\x07", "\r", "\u2028"])
def test_what_a_node_says_is_nothing_for_a_terminal_to_obey(hostile: str) -> None:
    stream = Terminal()
    output = Output("table", stream=stream, errors=stream)
    output.table((f"head{hostile}", "b"), [[f"cell{hostile}", "1"]], None)
    output.fields({"name": f"value{hostile}\n"}, None)
    output.text(f"text{hostile}")
    output.notice(f"notice{hostile}")
    output.news(f"news{hostile}")
    output.failure(RaftdbError("busy", f"message{hostile}", hint=f"hint{hostile}"), f"what{hostile}")
    text = stream.getvalue()
    for colour in ("\x1b[31m", "\x1b[33m", "\x1b[90m", "\x1b[0m"):
        text = text.replace(colour, "")
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == 8


def test_raw_is_the_bytes_even_for_a_terminal() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show_result(b"\x1b[2J\xff", Output("raw", stream=stream))
    assert raw.getvalue() == b"\x1b[2J\xff\n"
