"""What the log says to people."""

import pytest

from cli.admin.log import describe_entry
from raftdb.client.model import Json, LogEntry


@pytest.mark.parametrize(
    ("kind", "command", "arguments", "body", "shown"),
    [
        ("noop", None, (), {}, "(noop)"),
        ("", None, (), {}, "(unknown)"),
        ("command", "set", (b"a", b"x y"), {}, 'set a "x y"'),
        (
            "command",
            "transaction",
            (),
            {
                "mode": "atomic",
                "commands": [
                    {"command": "set", "args": ["a", "1"]},
                    {"command": "del", "args": [{"base64": "/w=="}]},
                ],
            },
            'transaction atomic: set a 1; del "\\xff"',
        ),
    ],
)
def test_an_entry_is_shown_as_one_would_type_it(
    kind: str, command: str | None, arguments: tuple[bytes, ...], body: Json, shown: str
) -> None:
    entry = LogEntry(index=1, term=1, kind=kind, command=command, arguments=arguments, body=body)
    assert describe_entry(entry) == shown
