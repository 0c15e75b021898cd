"""Completions and hints, on plain strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.line.suggest import Kind, Wanted, argument_hint, suggest, wanted
from cli.line.vocabulary import VOCABULARY
from cli.line.words import WORDS
from raftdb.commands.spec import COMMANDS

KEYS = (b"user:1", b"user:2", b"two words", b"\xff")


def texts(text: str, cursor: int | None = None, *, local: bool = False) -> list[str]:
    at = len(text) if cursor is None else cursor
    found = suggest(text, at, KEYS, nodes=("n1", "n2"), paths=(b"backups/", b"b.txt"), local=local)
    return [suggestion.text for suggestion in found]


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [
        ("str", ["strlen"]),
        ("STR", ["strlen"]),
        ("set a 1; app", ["append"]),
        ("begin\napp", ["append"]),
        ("xyz", []),
        ("xyz ", []),
        ('"get', []),
        ("comm", ["commit"]),
        ("multi ", ["atomic"]),
        ("multi A", ["ATOMIC"]),
        (".le", [".leader"]),
        ("help strl", ["strlen"]),
        (".help .le", [".leader"]),
        (".log ", []),
        (".kill n", ["n1", "n2"]),
        (".kill n1 ", []),
        (".mode r", ["raw"]),
        (".mode ", ["table", "json", "raw"]),
        (".read b", ["backups/", "b.txt"]),
        (".watch ", []),
        (".watch 2 strl", ["strlen"]),
        (".watch 2 get us", ["user:1", "user:2"]),
        ("get us", ["user:1", "user:2"]),
        ("get user:2", ["user:2"]),
        ("get tw", ['"two words"']),
        ('get "us', ['"user:1"', '"user:2"']),
        ("get 'us", ['"user:1"', '"user:2"']),
        ('get "user:1"', []),
        ("get user:1 u", []),
        ("mget a b us", ["user:1", "user:2"]),
        ("mset user:1 us", []),
        ("mset a 1 us", ["user:1", "user:2"]),
        ("watch a us", ["user:1", "user:2"]),
        ("get ", ["user:1", "user:2", '"two words"', '"\\xff"']),
    ],
)
def test_completions(text: str, suggestions: list[str]) -> None:
    assert texts(text, local=True) == suggestions


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [
        ("set k ", []),
        ("set k v ", ["EX", "PX", "KEEPTTL", "NX", "XX", "FENCE"]),
        ("set k v e", ["ex"]),
        ("set k v K", ["KEEPTTL"]),
        ("set k v EX ", []),
        ("set k v nx ", ["EX", "PX", "KEEPTTL", "FENCE"]),
        ("set k v ex 5 ", ["NX", "XX", "FENCE"]),
        ("set k v ex 5 nx ", ["FENCE"]),
        ('set k v "', []),
        ("receive mail ", ["COUNT", "VISIBILITY", "WORKER", "WAIT"]),
        ("receive mail count 5 WORKER ana ", ["VISIBILITY", "WAIT"]),
        ("peek mail STATE d", ["delayed", "dead"]),
        ("enqueue mail hello DELAY ", []),
        ("lock gate SHARED ", ["TTL", "OWNER", "WAIT"]),
    ],
)
def test_options(text: str, suggestions: list[str]) -> None:
    assert texts(text) == suggestions


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("get ", Wanted(Kind.KEY, b"")),
        ("get us", Wanted(Kind.KEY, b"us")),
        ('get "two wo', Wanted(Kind.KEY, b"two wo")),
        ('get "\\xff', Wanted(Kind.KEY, b"\xff")),
        ("ping; del a", Wanted(Kind.KEY, b"a")),
        (".watch 1 get a", Wanted(Kind.KEY, b"a")),
        (".kill n", Wanted(Kind.NODE, b"n")),
        ("ack m", Wanted(Kind.QUEUE, b"m")),
        ("redrive mail TO ", Wanted(Kind.QUEUE, b"")),
        ("queues m", Wanted(Kind.QUEUE, b"m")),
        ("unlock ", Wanted(Kind.LOCK, b"")),
        ("set k v FENCE g", Wanted(Kind.LOCK, b"g")),
        ("locks g", Wanted(Kind.LOCK, b"g")),
        ("qget mail ", None),
        ("qset mail ", None),
        (".read fi", Wanted(Kind.PATH, b"fi")),
        ("ge", None),
        ("set k v", None),
        ("get k ", None),
        ("nonsense k", None),
        ('get "k"', None),
    ],
)
def test_what_has_to_be_looked_up(text: str, thing: Wanted | None) -> None:
    assert wanted(text, len(text)) == thing


def test_names_of_queues_and_locks_are_offered_where_they_fit() -> None:
    names = (b"mail", b"two words", b"other")
    assert [one.text for one in suggest("qlen ", 5, (b"key",), names=names)] == [
        "mail",
        '"two words"',
        "other",
    ]
    (suggestion,) = suggest("unlock m", 8, (b"mkey",), names=names)
    assert (suggestion.text, suggestion.description, suggestion.goes_on) == ("mail", "lock", True)
    assert suggest("get m", 5, names=names) == []


def test_what_is_private_to_a_cluster_that_up_started_is_offered_only_there() -> None:
    assert texts(".ki") == []
    assert texts(".ki", local=True) == [".kill"]


def test_an_empty_line_offers_everything_that_this_shell_can_do() -> None:
    dots = sorted(name for name, entry in VOCABULARY.items() if name.startswith(".") and not entry.local)
    assert texts("") == sorted([*COMMANDS, *WORDS]) + dots
    assert texts("", local=True) == sorted([*COMMANDS, *WORDS]) + sorted(
        name for name in VOCABULARY if name.startswith(".")
    )


def test_the_word_at_the_cursor_is_replaced_and_not_what_follows() -> None:
    (suggestion,) = suggest("strx get", 3)
    assert (suggestion.text, suggestion.start) == ("strlen", 0)
    assert suggestion.description == COMMANDS["strlen"].summary


@pytest.mark.parametrize(
    ("text", "goes_on"),
    [
        ("strl", True),
        ("pin", False),
        ("get user:1", False),
        ("append user:1", True),
        ("mget user:1", True),
        (".mode js", False),
        (".watch 1 strl", True),
        (".help strl", False),
        (".kill n1", False),
    ],
)
def test_a_suggestion_says_whether_more_belongs_behind_it(text: str, goes_on: bool) -> None:
    (suggestion,) = suggest(text, len(text), KEYS, nodes=("n1",), local=True)
    assert suggestion.goes_on is goes_on


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("append", " KEY VALUE"),
        ("append ", "KEY VALUE"),
        ("APPEND k", " VALUE"),
        ("append k ", "VALUE"),
        ("append k v", ""),
        ("append k v x", ""),
        ("get a; append ", "KEY VALUE"),
        ("begin\nappend ", "KEY VALUE"),
        ("append a 1;", ""),
        ("appen", ""),
        ("", ""),
        ("ping", ""),
        ("mget", " KEY [KEY ...]"),
        ("mget a ", "[KEY ...]"),
        ("mset a 1", " [KEY VALUE ...]"),
        ("mset a 1 b", " VALUE [KEY VALUE ...]"),
        ("mset a 1 b 2 ", "[KEY VALUE ...]"),
        ('get "k', ""),
        (".log", " [FROM] [LIMIT]"),
        (".log 3 ", "[LIMIT]"),
        (".quit", ""),
        (".watch", " SECONDS COMMAND..."),
        (".watch 2 append k ", "VALUE"),
        ("scan ", "[PREFIX [AFTER [LIMIT]]]"),
        ("scan a", " [AFTER [LIMIT]]"),
        ("multi", " [atomic]"),
    ],
)
def test_hints(text: str, hint: str) -> None:
    assert argument_hint(text, len(text)) == hint


def test_a_hint_shrinks_as_one_types() -> None:
    hints = [
        argument_hint(text, len(text))
        for text in ("set k v ", "set k v EX ", "set k v EX 5 ", "set k v EX 5 NX")
    ]
    options = "[EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX] [SESSION] [FENCE NAME TOKEN]"
    rest = "[NX | XX] [SESSION] [FENCE NAME TOKEN]"
    assert hints == [options, f"SECONDS {rest}", rest, " [SESSION] [FENCE NAME TOKEN]"]


def test_there_is_no_hint_in_the_middle_of_a_line() -> None:
    assert argument_hint("set k", 3) == ""


@given(st.text(max_size=30), st.integers(0, 30))
def test_suggestions_fit_the_text_whatever_is_typed(text: str, cursor: int) -> None:
    cursor = min(cursor, len(text))
    for suggestion in suggest(text, cursor, KEYS, nodes=("n1",), paths=(b"x",), local=True):
        assert 0 <= suggestion.start <= cursor
    wanted(text, cursor)
    argument_hint(text, cursor)
