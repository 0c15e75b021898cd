"""Which parts of a line are shown in which style, on plain strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.line.highlight import spans


def styled(text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.style) for span in spans(text)]


@pytest.mark.parametrize(
    ("text", "styles"),
    [
        ("get kunci", [("get", "command")]),
        ("SET k 15", [("SET", "command"), ("15", "number")]),
        ('set k "a b"', [("set", "command"), ('"a b"', "string")]),
        ("set 'k' -1.5", [("set", "command"), ("'k'", "string"), ("-1.5", "number")]),
        ("ge", [("ge", "command")]),
        ("ge k", [("ge", "unknown")]),
        ("xyz", [("xyz", "unknown")]),
        ("get a; xyz b", [("get", "command"), ("xyz", "unknown")]),
        ("multi atomic", [("multi", "command"), ("atomic", "option")]),
        (".mode JSON", [(".mode", "command"), ("JSON", "option")]),
        ("# all of it", [("# all of it", "comment")]),
        ("get a; # why", [("get", "command"), ("# why", "comment")]),
        ("begin\nset a 1", [("begin", "command"), ("set", "command"), ("1", "number")]),
        (
            ".watch 2 incrby a 5",
            [(".watch", "command"), ("2", "number"), ("incrby", "command"), ("5", "number")],
        ),
        ('set k "a b', [("set", "command"), ('"a b', "error")]),
        ('set k "a"b', [("set", "command"), ('"a"', "string"), ("b", "error")]),
        ('set k "a\\qb" x', [("set", "command"), ('"a', "string"), ('\\qb" x', "error")]),
        ("", []),
    ],
)
def test_styles(text: str, styles: list[tuple[str, str]]) -> None:
    assert styled(text) == styles


@given(st.text(alphabet="ab \"'\\;\n#1x.", max_size=30) | st.text(max_size=30))
def test_spans_are_in_order_and_within_their_lines_whatever_is_typed(text: str) -> None:
    position = 0
    for span in spans(text):
        assert position <= span.start < span.end <= len(text)
        assert "\n" not in text[span.start : span.end]
        position = span.end
