"""Values and tables as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.console import render
from raftdb.client.model import Value


@pytest.mark.parametrize(
    ("value", "typed", "raw"),
    [
        ("OK", "OK", b"OK"),
        (b"satudua", '"satudua"', b"satudua"),
        (b"", '""', b""),
        (b'a"b\\c\n\x1b\xff', '"a\\"b\\\\c\\n\\x1b\\xff"', b'a"b\\c\n\x1b\xff'),
        ("kopi ☕".encode(), '"kopi ☕"', "kopi ☕".encode()),
        ("\u202e".encode(), '"\\xe2\\x80\\xae"', "\u202e".encode()),
        (-7, "-7", b"-7"),
        (None, "(nil)", b""),
        ([], "(empty list)", b""),
        ([b"1", None, 3], '1) "1"\n2) (nil)\n3) 3', b"1\n\n3"),
        ([[b"a", b"b"], b"c"], '1) 1) "a"\n   2) "b"\n2) "c"', b"a\nb\nc"),
    ],
)
def test_values(value: Value, typed: str, raw: bytes) -> None:
    assert render.typed(value) == typed
    assert render.raw(value) == raw


@given(st.binary())
def test_no_value_sends_a_control_character_to_the_terminal(value: bytes) -> None:
    assert render.typed(value).isprintable()


def test_a_table_is_aligned_numbers_to_the_right() -> None:
    text = render.table(("id", "index"), [("n1", "9"), ("コーヒー", "10"), ("x", "-")])
    assert text == "id        index\nn1            9\nコーヒー     10\nx             -"


def test_a_table_without_rows_has_its_headers() -> None:
    assert render.table(("id", "index"), []) == "id  index"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (61.5, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_line_is_cut_to_the_columns_there_are(text: str, columns: int, shown: str) -> None:
    assert render.fit(text, columns) == shown
