"""What a line of syntax says about the words that may follow."""

import pytest

from cli.line.syntax import COMMAND_LINE, Expected, arity, expected, parse, remaining
from cli.line.vocabulary import VOCABULARY

SET = "set KEY VALUE [EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX]"
SCAN = "scan [PREFIX [AFTER [LIMIT]]]"


def left(syntax: str, words: str) -> str | None:
    """What of a syntax remains behind these words, as it is shown."""
    items = remaining(parse(syntax), words.split())
    return None if items is None else " ".join(map(str, items))


@pytest.mark.parametrize("entry", VOCABULARY.values(), ids=lambda entry: entry.name)
def test_every_syntax_reads_back_as_it_stands(entry: object) -> None:
    text = str(getattr(entry, "syntax"))  # noqa: B009 - the rows of three tables
    assert " ".join([text.split(maxsplit=1)[0], *map(str, parse(text))]) == text


@pytest.mark.parametrize(
    ("syntax", "words", "rest"),
    [
        ("get KEY", "", "KEY"),
        ("get KEY", "k", ""),
        ("get KEY", "k k", None),
        ("ping", "x", None),
        ("receive QUEUE [COUNT NUMBER] [WAIT SECONDS]", "q wait 5", "[COUNT NUMBER]"),
        ("receive QUEUE [COUNT NUMBER] [WAIT SECONDS]", "q count", "NUMBER [WAIT SECONDS]"),
        ("receive QUEUE [COUNT NUMBER] [WAIT SECONDS]", "q 5", None),
        ("mset KEY VALUE [KEY VALUE ...]", "a 1", "[KEY VALUE ...]"),
        ("mset KEY VALUE [KEY VALUE ...]", "a 1 b", "VALUE [KEY VALUE ...]"),
        ("mset KEY VALUE [KEY VALUE ...]", "a 1 b 2", "[KEY VALUE ...]"),
        (SET, "k v", "[EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX]"),
        (SET, "k v EX", "SECONDS [NX | XX]"),
        (SET, "k v ex 5", "[NX | XX]"),
        (SET, "k v nx", "[EX SECONDS | PX MILLISECONDS | KEEPTTL]"),
        (SET, "k v NX keepttl", ""),
        (SET, "k v NX XX", None),
        (SET, "k v maybe", None),
        (SET, "EX NX", "[EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX]"),
        (SCAN, "", "[PREFIX [AFTER [LIMIT]]]"),
        (SCAN, "p", "[AFTER [LIMIT]]"),
        (SCAN, "p a", "[LIMIT]"),
        (SCAN, "p a 1", ""),
        (".log [FROM] [LIMIT]", "1", "[LIMIT]"),
        (".log [FROM] [LIMIT]", "1 2 3", None),
        ("multi [atomic]", "atomic", ""),
        ("multi [atomic]", "x", None),
        (".watch SECONDS COMMAND...", "2", COMMAND_LINE),
        ("x a|b KEY", "b", "KEY"),
        ("x [FIRST] KEY", "k", "KEY"),
        ("x [NX | XX] KEY", "XX", "KEY"),
        ("x [NX | XX] KEY", "k", ""),
    ],
)
def test_what_remains(syntax: str, words: str, rest: str | None) -> None:
    assert left(syntax, words) == rest


@pytest.mark.parametrize(
    ("syntax", "words", "next_"),
    [
        ("get KEY", "", Expected((), "KEY")),
        (SET, "k", Expected((), "VALUE")),
        (SET, "k v", Expected(("EX", "PX", "KEEPTTL", "NX", "XX"))),
        (SET, "k v NX", Expected(("EX", "PX", "KEEPTTL"))),
        (SET, "k v PX", Expected((), "MILLISECONDS")),
        (SCAN, "p", Expected((), "AFTER")),
        ("multi [atomic]", "", Expected(("atomic",))),
        (".mode [table|json|raw]", "", Expected(("table", "json", "raw"))),
        ("ping", "", Expected()),
    ],
)
def test_what_is_expected(syntax: str, words: str, next_: Expected) -> None:
    items = remaining(parse(syntax), words.split())
    assert items is not None
    assert expected(items) == next_


@pytest.mark.parametrize(
    ("syntax", "counts"),
    [
        ("ping", (0, 0)),
        (SET, (2, 5)),
        (SCAN, (0, 3)),
        ("mset KEY VALUE [KEY VALUE ...]", (2, None)),
        (".watch SECONDS COMMAND...", (2, None)),
        (".mode [table|json|raw]", (0, 1)),
    ],
)
def test_how_many_words_a_syntax_takes(syntax: str, counts: tuple[int, int | None]) -> None:
    assert arity(parse(syntax)) == counts


@pytest.mark.parametrize("syntax", ["x [KEY", "x KEY]", "x [A | B", "x [KEY ..."])
def test_brackets_have_to_match(syntax: str) -> None:
    with pytest.raises(ValueError, match="bracket"):
        parse(syntax)
