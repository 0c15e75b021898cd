"""`.follow` and `raftdb follow`: a line for each change, until Ctrl-C."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from raftdb import Change, Client
from tests.cli.prompt import Prompt
from tests.cli.test_main import Cli, cli  # noqa: F401 - a fixture

CHANGES = (
    Change(kind="snapshot", key=b"a", value=b"0", revision=3),
    Change(kind="snapshot_end", key=b"", value=None, revision=7),
    Change(kind="put", key=b"a b", value=b"1\x1b", revision=8, previous=b"0"),
    Change(kind="delete", key=b"a", value=None, revision=9, body={"revision": 9, "key": "a"}),
    Change(kind="reset", key=b"", value=None, revision=0),
)

Asked = list[tuple[bytes, dict[str, Any]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What was followed; each time all changes come, then Ctrl-C."""
    asked: Asked = []

    @contextmanager
    def watch(client: Client, prefix: bytes, **options: Any) -> Iterator[Iterator[Change[bytes]]]:
        def changes() -> Iterator[Change[bytes]]:
            yield from CHANGES
            raise KeyboardInterrupt

        asked.append((prefix, options))
        yield changes()

    monkeypatch.setattr(Client, "watch", watch)
    return asked


def test_a_person_sees_a_line_for_each_change_until_ctrl_c(prompt: Prompt, asked: Asked) -> None:
    prompt.interpreter.person = lambda question: True
    lines = prompt.type(".follow a")
    assert [line.split() for line in lines] == [
        ["3", "snapshot", '"a"', '"0"'],
        ["7", "snapshot_end"],
        ["8", "put", '"a', 'b"', '"1\\x1b"', "was", '"0"'],
        ["9", "delete", '"a"'],
        ["reset"],
        [],
    ]
    assert asked == [(b"a", {"after": None, "previous": False, "snapshot": False})]


def test_in_a_script_ctrl_c_ends_that_too(prompt: Prompt, asked: Asked) -> None:
    with pytest.raises(KeyboardInterrupt):
        prompt.type(".follow; set a 1")
    assert asked[0][0] == b""


def test_once_from_the_command_line_ctrl_c_is_how_it_ends(cli: Cli, asked: Asked) -> None:  # noqa: F811
    code, text, _ = cli("follow", "a", "--after", "7", "--prev")
    assert code == 0
    assert text.splitlines()[0] == "3\tsnapshot\ta\t0"
    assert "9\tdelete\ta" in text.splitlines()
    assert asked == [(b"a", {"after": 7, "previous": True, "snapshot": False})]
    told = [json.loads(line) for line in cli("follow", "--snapshot", "-o", "json")[1].splitlines()]
    assert told[3] == {"kind": "delete", "revision": 9, "key": "a"}
    assert told[1] == {"kind": "snapshot_end", "revision": 7}
    assert asked[1] == (b"", {"after": None, "previous": False, "snapshot": True})


def test_what_is_no_revision_is_refused(cli: Callable[..., tuple[int, str, str]]) -> None:  # noqa: F811
    assert cli("follow", "--after", "x")[0] == 2
