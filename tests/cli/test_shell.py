"""The interactive shell: keys in, results out; the terminal is prompt_toolkit's own stand-in."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input
from prompt_toolkit.output import DummyOutput

from cli.completer import ShellCompleter
from cli.history import ShellHistory, history_path
from cli.interpreter import Interpreter
from cli.output import Output
from cli.shell import Shell
from raftdb.client.sync_client import Client
from raftdb.commands.spec import COMMANDS
from tests.client.fake_node import FakeCluster

Capture = pytest.CaptureFixture[str]


class FakeControl:
    """The nodes of `up`, noted instead of signalled."""

    node_ids: Sequence[str] = ("n1", "n2", "n3")

    def kill(self, node_id: str) -> str:
        return f"{node_id} killed"

    restart = pause = resume = kill


@pytest.fixture(autouse=True)
def blocking_calls() -> list[str]:
    """In place of the detector: the loop that runs here is prompt_toolkit's own, which reads the terminal as
    it likes and serves nobody else. What the shell itself does with files and sockets, it does between two
    prompts."""
    return []


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


class Terminal:
    """A shell on a fake cluster, to which text is typed."""

    def __init__(self, cluster: FakeCluster, keys: PipeInput, history: Path | None = None) -> None:
        self.keys = keys
        self._client = Client(cluster.addresses, timeout_ms=2_000, unreachable_timeout_ms=0)
        self.interpreter = Interpreter(self._client, Output("table"))
        self._history = history
        self.lines = 0

    def type(self, text: str, *, leave: bool = True) -> int:
        """Type and, unless somebody else will, leave with Ctrl-D; the exit code."""
        self.keys.send_text(text + ("\x04" if leave else ""))
        shell = Shell(
            self.interpreter,
            history=ShellHistory(self._history),
            input=self.keys,
            terminal=DummyOutput(),
            after_line=self._count,
        )
        with self._client:
            return shell.run()

    def _count(self) -> None:
        self.lines += 1


@pytest.fixture
def terminal(cluster: FakeCluster, keys: PipeInput) -> Terminal:
    return Terminal(cluster, keys)


def test_a_session_as_the_interface_shows_it(terminal: Terminal, capsys: Capture) -> None:
    lines = ["set kunci satu", "append kunci dua", "get kunci", "strlen kunci", "del kunci", "get kunci"]
    assert terminal.type("".join(f"{line}\r" for line in lines)) == 0
    out = capsys.readouterr().out
    assert out.endswith('OK\nOK\n"satudua"\n7\n"satudua"\n""\n')
    assert terminal.lines == 6


def test_the_banner_names_nodes_and_leader_and_three_things_to_try(
    terminal: Terminal, cluster: FakeCluster, capsys: Capture
) -> None:
    terminal.type("")
    version, *nodes, title, first, second, third = capsys.readouterr().out.splitlines()
    assert version == "raftdb 0.1.0"
    assert nodes == [
        f"  n{number}  http://{node.address}{'  leader' if number == 2 else ''}"
        for number, node in enumerate(cluster.nodes, start=1)
    ]
    assert title == "try:"
    tries = [first, second, third]
    assert [line.split()[0] for line in tries] == ["set", ".nodes", ".help"]


def test_without_a_cluster_the_shell_opens_all_the_same(
    terminal: Terminal, cluster: FakeCluster, capsys: Capture
) -> None:
    for node in cluster.nodes:
        node.stop()
    assert terminal.type("get a\r") == 0
    captured = capsys.readouterr()
    assert "commands will be tried all the same" in captured.out
    assert captured.err.count("no node answers at") == 2


def test_an_error_is_one_line_and_its_hint_and_the_shell_goes_on(terminal: Terminal, capsys: Capture) -> None:
    terminal.type('sett a 1\rset a "1\rset a x; incr a; get b\rget a\r')
    captured = capsys.readouterr()
    assert captured.err == (
        "error: sett: unknown command\n"
        f"hint: did you mean 'set'? its syntax is: {COMMANDS['set'].syntax}\n"
        'error: syntax: unbalanced double quote: " is never closed\n'
        "error: incr: value is not an integer or out of range\n"
    )
    assert captured.out.endswith('OK\n"x"\n')


def test_quit_leaves(terminal: Terminal, cluster: FakeCluster) -> None:
    assert terminal.type("set a 1\r.quit\rset a 2\r") == 0
    assert cluster.values[b"a"] == b"1"


def test_ctrl_c_clears_the_line(terminal: Terminal, cluster: FakeCluster) -> None:
    terminal.type("set a wrong\x03set a right\r")
    assert cluster.values[b"a"] == b"right"


def test_tab_completes(terminal: Terminal, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # The menu comes a moment after the word: each key is typed when what it needs is there.
    def menu(buffer: Buffer) -> None:
        state = buffer.complete_state
        if state is not None and state.completions and buffer.text == "appe":
            terminal.keys.send_text("\t")

    def word(buffer: Buffer) -> None:
        if buffer.text == "append ":
            terminal.keys.send_text("k v\r\x04")

    def session(*arguments: Any, **settings: Any) -> PromptSession[str]:
        session: PromptSession[str] = PromptSession(*arguments, **settings)
        session.default_buffer.on_completions_changed += menu
        session.default_buffer.on_text_changed += word
        return session

    monkeypatch.setattr("cli.shell.PromptSession", session)
    terminal.type("appe", leave=False)
    assert cluster.values[b"k"] == b"v"


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("se\tkunci satu", b"kunci", b"satu"),
        ("se kunci satu\x01\x1b[C\x1b[C\t", b"kunci", b"satu"),  # Ctrl-A, twice right
        ("set a 1; in\tby b 5", b"b", b"5"),
        ("APP\tb 5", b"b", b"5"),
        ("set b 5\t\t", b"b", b"5"),
    ],
)
def test_tab_waits_for_no_menu(
    terminal: Terminal, cluster: FakeCluster, typed: str, key: bytes, value: bytes
) -> None:
    terminal.type(f"{typed}\r")
    assert cluster.values[key] == value


def test_the_hint_is_never_part_of_the_line(terminal: Terminal, cluster: FakeCluster) -> None:
    terminal.type("set k v\x1b[C\x05\r")  # right arrow and Ctrl-E accept suggestions elsewhere
    assert cluster.values == {b"k": b"v"}


def test_dot_commands_of_a_cluster_that_up_started(terminal: Terminal, capsys: Capture) -> None:
    terminal.interpreter.cluster = FakeControl()
    terminal.type(".kill n2\r.kill\r")
    captured = capsys.readouterr()
    assert "n2 killed\n" in captured.out
    assert "  .kill n2" in captured.out
    assert "the syntax is: .kill NODE" in captured.err


def test_completions_have_descriptions() -> None:
    completer = ShellCompleter(nodes=lambda: ("n1",), local=True)
    (completion,) = completer.get_completions(Document("strl"), CompleteEvent())
    assert (completion.text, completion.start_position) == ("strlen ", -4)
    assert completion.display_text == "strlen"
    assert "length" in completion.display_meta_text
    assert [c.text for c in completer.get_completions(Document(".kill "), CompleteEvent())] == ["n1"]


@pytest.mark.parametrize(
    ("text", "cursor", "completed"),
    [
        ("se", 2, "set "),
        ("se kunci", 2, "set"),
        ("get a; app", 10, "append "),
        ("pi", 2, "ping"),
        (".ki", 3, ".kill "),
        (".lo", 3, ".log "),
        (".qu", 3, ".quit"),
        (".help strl", 10, "strlen"),
        (".kill n", 7, "n1"),
    ],
)
def test_a_space_follows_where_arguments_do(text: str, cursor: int, completed: str) -> None:
    completer = ShellCompleter(nodes=lambda: ("n1",), local=True)
    (completion,) = completer.get_completions(Document(text, cursor), CompleteEvent())
    assert completion.text == completed


class TestHistory:
    def test_lines_are_kept_for_the_next_shell_and_for_their_owner_alone(
        self, cluster: FakeCluster, keys: PipeInput, tmp_path: Path
    ) -> None:
        path = tmp_path / "state" / "history"
        Terminal(cluster, keys, path).type("set a 1\rset a 2\r")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        cluster.values.clear()
        Terminal(cluster, keys, path).type("\x1b[A\x1b[A\r")
        assert cluster.values == {b"a": b"1"}

    @pytest.mark.parametrize("kind", ["folder", "below a file"])
    def test_a_history_that_cannot_be_written_is_no_reason_to_fail(
        self, cluster: FakeCluster, keys: PipeInput, tmp_path: Path, kind: str
    ) -> None:
        path = tmp_path / "x" / "history"
        if kind == "folder":
            path.mkdir(parents=True)
        else:
            path.parent.write_text("")
        assert Terminal(cluster, keys, path).type("set a 1\r") == 0
        assert cluster.values == {b"a": b"1"}

    def test_a_file_that_goes_away_meanwhile_is_no_reason_either(self, tmp_path: Path) -> None:
        path = tmp_path / "h" / "history"
        history = ShellHistory(path)
        history.append_string("get \udcff")
        history.save()
        path.unlink()
        os.rmdir(path.parent)
        history.append_string("get b")
        history.save()

    def test_where_it_is(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert history_path() == tmp_path / "raftdb" / "history"
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert history_path() == tmp_path / ".local/state/raftdb/history"
        monkeypatch.setenv("RAFTDB_HISTORY", str(tmp_path / "mine"))
        assert history_path() == tmp_path / "mine"
        monkeypatch.setenv("RAFTDB_HISTORY", "")
        assert history_path() is None
