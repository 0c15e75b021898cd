"""Values from files and from stdin, where they are asked for; any other value is what it is."""

import io
import sys
from pathlib import Path

import pytest

from cli.console.failures import CommandError
from cli.main import run
from cli.run.expansion import expanded
from raftdb.errors import RaftdbError
from tests.cli.prompt import Prompt
from tests.client.fake_node import FakeCluster

BYTES = b"\x00\xff@\n"


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo"
    path.write_bytes(BYTES)
    return str(path)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    monkeypatch.setenv("RAFTDB_URL", cluster.addresses)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from\nstdin\n")))


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [
        (["-x", "set", "k", "@{}"], BYTES),
        (["--expand", "set", "k", "@{}", "EX", "60"], BYTES),
        (["-x", "set", "k", "@-"], b"from\nstdin\n"),
        (["-x", "set", "k", "@-", "KEEPTTL"], b"from\nstdin\n"),
        (["-x", "set", "k"], b"from\nstdin\n"),
        (["-x", "set", "k", "@@{}"], b"@{}"),
        (["-x", "set", "k", "@@-"], b"@-"),
        (["set", "k", "@{}"], b"@{}"),
        (["set", "k", "@-"], b"@-"),
        (["set", "k", "-x"], b"-x"),
        (["set", "k", "-"], b"-"),
        (["set", "k", "--"], b"--"),
        (["set", "--", "k", "-x"], b"-x"),
    ],
)
def test_what_is_stored(
    cluster: FakeCluster, stdin: None, photo: str, arguments: list[str], stored: bytes
) -> None:
    assert run([argument.format(photo) for argument in arguments]) == 0
    assert cluster.values == {b"k": stored.replace(b"{}", photo.encode())}


@pytest.mark.parametrize("command", ["append k @{}", "mset a 1 k @{}", "getset k @{}", "cas k 0 @{}"])
def test_every_command_takes_them_at_the_prompt_too(
    prompt: Prompt, cluster: FakeCluster, photo: str, command: str
) -> None:
    prompt.type(f".expand {command.format(photo)}")
    assert cluster.values[b"k"] == BYTES
    prompt.type("set k @x; .expand set other @@x; begin; .expand set k @@y; commit")
    assert (cluster.values[b"k"], cluster.values[b"other"]) == (b"@y", b"@x")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (".expand set k @nowhere", "cannot read nowhere: No such file or directory"),
        (".expand set k @", "a path is not empty"),
        (".expand set k @~nosuchuser/x", "there is no user 'nosuchuser'"),
        (".expand set k @-", "commands come from stdin here"),
        (".expand set k @/dev/zero", "a value has more than"),
        (".expand .read @x", "'.read' is not a command of the database"),
        (".expand begin", "'begin' is not a command of the database"),
        (".expand set k", "wrong number of arguments for 'set'"),
    ],
)
def test_what_cannot_be_read_is_an_error(
    prompt: Prompt, cluster: FakeCluster, line: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RaftdbError) as caught:
        prompt.type(line)
    assert why in caught.value.message
    assert cluster.values == {}


def test_stdin_is_read_once() -> None:
    with pytest.raises(CommandError, match="only once"):
        expanded([b"a", b"@-", b"b", b"@-"], "mset", io.BytesIO(b""))
