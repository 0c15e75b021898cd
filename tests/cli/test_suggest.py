"""Completions and hints, on plain strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.dot_commands import DOT_COMMANDS
from cli.suggest import argument_hint, suggest
from raftdb.commands.spec import COMMANDS


def texts(text: str, cursor: int | None = None, *, local: bool = False) -> list[str]:
    at = len(text) if cursor is None else cursor
    return [suggestion.text for suggestion in suggest(text, at, nodes=("n2", "n1"), local=local)]


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [
        ("str", ["strlen"]),
        ("STR", ["strlen"]),
        ("set a 1; app", ["append"]),
        ("in", ["incr", "incrby"]),
        ("xyz", []),
        ("get k", []),
        ("get k ", []),
        ('"get', []),
        (".le", [".leader"]),
        (".help strl", ["strlen"]),
        (".help .le", [".leader"]),
        (".log ", []),
        (".kill n", ["n1", "n2"]),
        (".kill n1 ", []),
    ],
)
def test_completions(text: str, suggestions: list[str]) -> None:
    assert texts(text) == suggestions


def test_an_empty_line_offers_everything_that_this_shell_can_do() -> None:
    assert texts("") == sorted(COMMANDS) + sorted(name for name, dot in DOT_COMMANDS.items() if not dot.local)
    assert texts("", local=True) == sorted(COMMANDS) + sorted(DOT_COMMANDS)


def test_the_word_at_the_cursor_is_replaced_and_not_what_follows() -> None:
    (suggestion,) = suggest("strx get", 3)
    assert (suggestion.text, suggestion.start) == ("strlen", 0)
    assert suggestion.description == COMMANDS["strlen"].summary


OPTIONS = "[EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX]"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("append", " KEY VALUE"),
        ("append ", "KEY VALUE"),
        ("APPEND k", " VALUE"),
        ("append k ", "VALUE"),
        ("append k v", ""),
        ("append k v x", ""),
        ("set k", " VALUE " + OPTIONS),
        ("set k v", " " + OPTIONS),
        ("set k v EX", ""),
        ("scan ", "[PREFIX [AFTER [LIMIT]]]"),
        ("scan a", ""),
        ("get a; append ", "KEY VALUE"),
        ("set a 1;", ""),
        ("se", ""),
        ("", ""),
        ("ping", ""),
        ("mget", " KEY [KEY ...]"),
        ("mget a ", "[KEY ...]"),
        ("mset a 1", " [KEY VALUE ...]"),
        ("mset a 1 b", " VALUE [KEY VALUE ...]"),
        ("mset a 1 b 2 ", "[KEY VALUE ...]"),
        (".log", " [FROM] [LIMIT]"),
        (".log 3 ", "[LIMIT]"),
        (".quit", ""),
    ],
)
def test_hints(text: str, hint: str) -> None:
    assert argument_hint(text, len(text)) == hint


def test_there_is_no_hint_in_the_middle_of_a_line() -> None:
    assert argument_hint("set k", 3) == ""


@given(st.text(max_size=30), st.integers(0, 30))
def test_suggestions_fit_the_text_whatever_is_typed(text: str, cursor: int) -> None:
    cursor = min(cursor, len(text))
    for suggestion in suggest(text, cursor, nodes=("n1",), local=True):
        assert 0 <= suggestion.start <= cursor
        assert suggestion.text.startswith(text[suggestion.start : cursor].lower())
    argument_hint(text, cursor)
