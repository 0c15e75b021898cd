"""A line to words and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.console.render import quote, word
from cli.line.lexer import LexError, scan, split


def values(text: str) -> list[list[bytes]]:
    return [[word.value for word in command] for command in split(text)]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("", []),
        ("  ; ;\n ", []),
        ("get k", [[b"get", b"k"]]),
        ("set a 1; get a", [[b"set", b"a", b"1"], [b"get", b"a"]]),
        ("set a 1\nget a;", [[b"set", b"a", b"1"], [b"get", b"a"]]),
        ('set a "x; y"', [[b"set", b"a", b"x; y"]]),
        ('set "two words" ""', [[b"set", b"two words", b""]]),
        (r'set a "\n\t\r\0\"\\\xfF"', [[b"set", b"a", b'\n\t\r\0"\\\xff']]),
        (r"set a '\n\x00 \' \\'", [[b"set", b"a", rb"\n\x00 ' " + b"\\"]]),
        ("set a it's", [[b"set", b"a", b"it's"]]),
        (r"set a C:\new", [[b"set", b"a", rb"C:\new"]]),
        ("append k -yori-mo-anata", [[b"append", b"k", b"-yori-mo-anata"]]),
        ("set kopi ☕", [[b"set", b"kopi", "☕".encode()]]),
        ("# a note; get a\nget b # c", [[b"get", b"b", b"#", b"c"]]),
        ("get a;# a note", [[b"get", b"a"]]),
        ("set a \udcff", [[b"set", b"a", b"\xff"]]),
        ("set a \ud800", [[b"set", b"a", b"\xed\xa0\x80"]]),
        ("set a \ud800\udcff", [[b"set", b"a", b"\xed\xa0\x80\xff"]]),
        ("set a\t1\r\v\fb", [[b"set", b"a", b"1", b"b"]]),
        ("set k\xa0v w", [[b"set", "k\xa0v".encode(), b"w"]]),
        ("set k \u3000全角\u3000空白\u3000", [[b"set", b"k", "\u3000全角\u3000空白\u3000".encode()]]),
        (
            "set a \x1c\x1d\x1e\x1f\x85\u2028\u2029",
            [[b"set", b"a", "\x1c\x1d\x1e\x1f\x85\u2028\u2029".encode()]],
        ),
        ('set "a"\t1', [[b"set", b"a", b"1"]]),
    ],
)
def test_words(text: str, commands: list[list[bytes]]) -> None:
    assert values(text) == commands


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ('set a "b', 'unbalanced double quote: " is never closed', 6),
        ("set a 'b\n'", "unbalanced single quote: ' is never closed", 6),
        ('set a "b\\', 'unbalanced double quote: " is never closed', 6),
        (r'set a "\q"', r"unknown escape \q in double quotes", 7),
        (r'set a "\x1"', r"unknown escape \x in double quotes", 7),
        (r'set a "\xg0"', r"unknown escape \x in double quotes", 7),
        ('set "a"b c', 'a space is missing after the closing "', 7),
        ('set "a"\xa0c', 'a space is missing after the closing "', 7),
    ],
)
def test_problems(text: str, message: str, position: int) -> None:
    with pytest.raises(LexError) as caught:
        split(text)
    assert (caught.value.problem.message, caught.value.problem.position) == (message, position)


def test_positions_cover_the_source() -> None:
    text = "set 'a b'  c;get d"
    found = [(word.start, word.end, word.quoted) for command in split(text) for word in command]
    assert found == [(0, 3, False), (4, 9, True), (11, 12, False), (13, 16, False), (17, 18, False)]


@given(st.text())
def test_scanning_never_fails_and_words_lie_in_order(text: str) -> None:
    scanned = scan(text)
    edges = [edge for command in scanned.commands for word in command for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(text) for edge in edges)


@given(st.binary())
def test_quote_is_the_inverse_of_the_lexer(value: bytes) -> None:
    assert values(f"set k {quote(value)}") == [[b"set", b"k", value]]


@given(st.lists(st.binary(max_size=8), min_size=1))
def test_words_of_a_log_can_be_typed_again(arguments: list[bytes]) -> None:
    assert values(" ".join(["set", *map(word, arguments)])) == [[b"set", *arguments]]
