"""The interactive shell: keys in, results out; the terminal is prompt_toolkit's own stand-in."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input

from cli.prompt import finder as finder_module
from cli.prompt.completer import ShellCompleter
from cli.prompt.finder import Finder
from cli.prompt.history import ShellHistory, history_path
from raftdb.commands.spec import COMMANDS
from tests.cli.prompt import FakeControl
from tests.cli.terminal import WAIT_S, Terminal
from tests.client.fake_node import FakeCluster

Capture = pytest.CaptureFixture[str]

UP, CTRL_C, CTRL_D, CTRL_E, CTRL_R, RIGHT, ALT_ENTER = (
    "\x1b[A",
    "\x03",
    "\x04",
    "\x05",
    "\x12",
    "\x1b[C",
    "\x1b\r",
)
TAB, ENTER = "\t", "\r"


@pytest.fixture(autouse=True)
def blocking_calls() -> list[str]:
    """In place of the detector: the loop that runs here is prompt_toolkit's own, which reads the terminal as
    it likes and serves nobody else. What the shell itself does with files and sockets, it does between two
    prompts, or in threads."""
    return []


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


@pytest.fixture
def terminal(cluster: FakeCluster, keys: PipeInput, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # What is not found in time is not offered, and here no machine is too slow.
    monkeypatch.setattr(finder_module, "FIND_MS_MAX", WAIT_S * 1000)
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
    assert [line.split()[0] for line in tries] == ["set", ".nodes", "help"]


def test_the_shell_of_up_says_where_the_dashboard_is(terminal: Terminal, capsys: Capture) -> None:
    terminal.interpreter.cluster = FakeControl()
    terminal.type(".open\r")
    lines = capsys.readouterr().out.splitlines()
    assert "dashboard: http://127.0.0.1:8001/#token=abc" in lines
    assert lines.index("http://127.0.0.1:8001/#token=abc") > lines.index("try:")


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


@pytest.mark.parametrize("word", [".quit", "quit", "exit"])
def test_there_are_words_to_leave(terminal: Terminal, cluster: FakeCluster, word: str) -> None:
    assert terminal.type(f"set a 1\r{word}\rset a 2\r") == 0
    assert cluster.values[b"a"] == b"1"


def test_a_long_text_is_pasted_in_a_few_steps(terminal: Terminal, cluster: FakeCluster) -> None:
    pressed: list[object] = []

    def count() -> bool:
        assert terminal.shell is not None
        terminal.shell.session.app.key_processor.before_key_press += pressed.append
        return True

    value = "kopi ☕ " * 2_900
    terminal.type(count, f"set k '{value}'\r", terminal.has_run(1))
    assert cluster.values == {b"k": value.encode()}
    assert 0 < len(pressed) < 200


@pytest.mark.parametrize(
    "pasted",
    ["\x1b[31m", "\x1b[0;1m", "\x1b[M!!!", "\x1b[Mzz\xff", "\x1b[<0;1;1M", "\x1b[<99;1;1m", "\x1b[1;1R"],
)
def test_no_escape_sequence_that_is_pasted_ends_the_shell(
    terminal: Terminal, cluster: FakeCluster, pasted: str
) -> None:
    """As in text that was copied with its colours: prompt_toolkit takes them for a mouse that it cannot read."""
    terminal.type(f"set a {pasted}red\r", terminal.has_run(1), "set b 2\r", terminal.has_run(2))
    assert cluster.values == {b"a": b"red", b"b": b"2"}


def test_a_prompt_that_fails_is_there_again_unless_it_fails_for_ever(
    terminal: Terminal, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    failures = iter([2, 4, 100])
    left = [next(failures)]

    def prompt(_session: object) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError("a key that nobody understands")
        left[0] = next(failures)
        return "set a 1"

    monkeypatch.setattr("cli.prompt.shell.PromptSession.prompt", prompt)
    with pytest.raises(ValueError, match="nobody understands"):
        terminal.type(leave=False)
    assert cluster.values == {b"a": b"1"}
    assert capsys.readouterr().err.count("error: prompt: internal error: ValueError: a key that nobody") == 10


def test_ctrl_c_clears_the_line(terminal: Terminal, cluster: FakeCluster) -> None:
    terminal.type(f"set a wrong{CTRL_C}set a right\r")
    assert cluster.values[b"a"] == b"right"


class TestCompletion:
    def test_the_menu_comes_by_itself_and_tab_takes_what_is_alone(
        self, terminal: Terminal, cluster: FakeCluster
    ) -> None:
        menu, word = terminal.has_menu("append "), terminal.has_line("append ")
        terminal.type("appe", menu, TAB, word, "k v\r")
        assert cluster.values[b"k"] == b"v"

    @pytest.mark.parametrize(
        ("typed", "key", "value"),
        [
            ("ms\tkunci satu", b"kunci", b"satu"),
            ("ms kunci satu\x01\x1b[C\x1b[C\t", b"kunci", b"satu"),  # Ctrl-A, twice right
            ("set a 1; in\tby b 5", b"b", b"5"),
            ("APP\tb 5", b"b", b"5"),
            ("append b 5\t\t", b"b", b"5"),
        ],
    )
    def test_for_what_is_known_tab_waits_for_no_menu(
        self, terminal: Terminal, cluster: FakeCluster, typed: str, key: bytes, value: bytes
    ) -> None:
        terminal.type(f"{typed}\r")
        assert cluster.values[key] == value

    def test_keys_come_from_the_cluster(self, terminal: Terminal, cluster: FakeCluster) -> None:
        cluster.values.update({b"user:1": b"1", b"user:2": b"2", b"us": b"3", b"other": b"4"})
        menu = terminal.has_menu("user:1", "user:2")
        terminal.type("get use", menu, TAB, terminal.has_line("get user:"), "1\r")
        assert terminal.has_run(1)()

    def test_also_without_a_leader(self, terminal: Terminal, cluster: FakeCluster) -> None:
        cluster.values[b"user:1"] = b"1"
        cluster.leader = None
        terminal.type("get u", terminal.has_menu("user:1"), CTRL_C)

    def test_one_that_needs_quotes_has_them(
        self, terminal: Terminal, cluster: FakeCluster, capsys: Capture
    ) -> None:
        cluster.values[b"two words\x1b"] = b"here"
        terminal.type("get tw", terminal.has_menu('"two words\\x1b"'), TAB, "\r")
        assert capsys.readouterr().out.endswith('"here"\n')

    def test_tab_looks_up_what_the_menu_has_not_yet(self, terminal: Terminal, cluster: FakeCluster) -> None:
        cluster.values[b"user:1"] = b"1"
        terminal.type("get u\t", terminal.has_line("get user:1"), CTRL_C)

    def test_what_is_typed_meanwhile_is_not_held_up(self, terminal: Terminal, cluster: FakeCluster) -> None:
        cluster.values[b"user:1"] = b"1"
        terminal.type("append u\tx 1\r")
        assert cluster.values[b"ux"] == b"1"

    def test_paths_where_a_path_belongs(
        self, terminal: Terminal, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "scripts").mkdir()
        (tmp_path / "scripts" / "first").write_text("set a 1\nset b 2\n")
        monkeypatch.chdir(tmp_path)
        inside = terminal.has_line(".read scripts/")
        terminal.type(".read s\t", inside, "\t", terminal.has_line(".read scripts/first"), ENTER)
        assert cluster.values == {b"a": b"1", b"b": b"2"}

    def test_completions_have_descriptions(self) -> None:
        (completion,) = completions("strl")
        assert (completion.text, completion.start_position) == ("strlen ", -4)
        assert completion.display_text == "strlen"
        assert "length" in completion.display_meta_text

    @pytest.mark.parametrize(
        ("text", "cursor", "completed"),
        [
            ("appe", 4, "append "),
            ("appe kunci", 4, "append"),
            ("get a; app", 10, "append "),
            ("pi", 2, "ping"),
            (".ki", 3, ".kill "),
            (".prom", 5, ".promote "),
            (".qu", 3, ".quit"),
            (".help strl", 10, "strlen"),
            (".kill n", 7, "n1"),
        ],
    )
    def test_a_space_follows_where_arguments_do(self, text: str, cursor: int, completed: str) -> None:
        (completion,) = completions(text, cursor)
        assert completion.text == completed


def completions(text: str, cursor: int | None = None) -> list[Completion]:
    """What is offered without asking anybody."""
    completer = ShellCompleter(nodes=lambda: ("n1",), finder=Finder(lambda: ()), local=True)
    return list(completer.get_completions(Document(text, cursor), CompleteEvent()))


class TestHint:
    def test_it_is_never_part_of_the_line(self, terminal: Terminal, cluster: FakeCluster) -> None:
        terminal.type(f"append k v{RIGHT}{CTRL_E}\r")  # both accept suggestions
        assert cluster.values == {b"k": b"v"}


class TestTransactions:
    def test_one_typed_line_by_line(self, terminal: Terminal, cluster: FakeCluster, capsys: Capture) -> None:
        terminal.type("set a 1\rbegin\rget a\rset a 2\rshow\rcommit\rget a\r")
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if line.startswith("OK (index ")]
        assert lines[-1] == '"2"'

    def test_ctrl_d_in_an_open_one_asks_once(
        self, terminal: Terminal, cluster: FakeCluster, capsys: Capture
    ) -> None:
        assert terminal.type(f"begin\rset a 1\r{CTRL_D}") == 0
        assert capsys.readouterr().err.splitlines() == [
            "a transaction is open, 1 write waits for commit: once more leaves and forgets it",
            "rolled back: nothing of the transaction happened",
        ]
        assert cluster.values == {}

    def test_and_asks_again_if_one_goes_on_instead(self, terminal: Terminal, cluster: FakeCluster) -> None:
        terminal.type(f"begin\rset a 1\r{CTRL_D}get a\r{CTRL_D}commit\r")
        assert cluster.values == {b"a": b"1"}

    def test_so_do_words(self, terminal: Terminal, cluster: FakeCluster, capsys: Capture) -> None:
        terminal.type("multi\rset a 1\r.quit\rexec\rquit\r", leave=False)
        assert cluster.values == {b"a": b"1"}
        assert "1 command waits for exec" in capsys.readouterr().err

    def test_a_block_of_lines_is_one_line_of_history(
        self, cluster: FakeCluster, keys: PipeInput, tmp_path: Path
    ) -> None:
        terminal = Terminal(cluster, keys, tmp_path / "history")
        block = f"begin{ALT_ENTER}incr a\rincr b\rcommit\r"
        terminal.type(block, terminal.has_run(1))
        assert cluster.values == {b"a": b"1", b"b": b"1"}
        terminal = Terminal(cluster, keys, tmp_path / "history")
        terminal.type(UP, terminal.has_line("begin\nincr a\nincr b\ncommit"), ENTER)
        assert cluster.values == {b"a": b"2", b"b": b"2"}

    def test_an_empty_line_ends_a_block_and_leaves_it_open(
        self, terminal: Terminal, cluster: FakeCluster
    ) -> None:
        terminal.type(f"begin{ALT_ENTER}set a 1\r\r", terminal.has_run(1), "commit\r")
        assert cluster.values == {b"a": b"1"}

    def test_a_block_may_be_pasted(self, terminal: Terminal, cluster: FakeCluster) -> None:
        terminal.type("\x1b[200~begin\nset a 1\ncommit\x1b[201~\r")
        assert cluster.values == {b"a": b"1"}


class TestLocalNodes:
    def test_they_are_controlled_by_dot_commands(self, terminal: Terminal, capsys: Capture) -> None:
        terminal.interpreter.cluster = FakeControl()
        terminal.type(".kill n2\r.kill\r")
        captured = capsys.readouterr()
        assert "n2 killed\n" in captured.out
        assert "  .kill n2" in captured.out
        assert "the syntax is: .kill NODE" in captured.err

    @pytest.mark.parametrize(
        ("answer", "killed"),
        [("y", ["n2"]), ("yes", ["n2"]), ("n", []), ("", []), (CTRL_C, []), (CTRL_D, [])],
    )
    def test_taking_the_majority_away_is_confirmed(
        self, terminal: Terminal, answer: str, killed: list[str], capsys: Capture
    ) -> None:
        control = terminal.interpreter.cluster = FakeControl(running=("n1", "n2"))
        terminal.type(f".kill n2\r{answer}\r")
        assert control.killed == killed
        assert ("nothing was done" in capsys.readouterr().err) == (not killed)

    def test_a_signal_at_the_question_answers_no_and_ends_the_shell(
        self, terminal: Terminal, cluster: FakeCluster
    ) -> None:
        control = terminal.interpreter.cluster = FakeControl(running=("n1", "n2"))

        def is_left() -> bool:
            return terminal.shell is not None and terminal.shell.asks and terminal.shell.leave()

        assert terminal.type(".kill n2; set a 1\r", is_left, leave=False) == 0
        assert control.killed == []
        assert cluster.values == {}

    @pytest.mark.parametrize("running", [("n1", "n2", "n3"), ("n2",)])
    def test_and_what_takes_none_away_is_not(self, terminal: Terminal, running: Sequence[str]) -> None:
        control = terminal.interpreter.cluster = FakeControl(running=running)
        terminal.type(".kill n2\r")
        assert control.killed == ["n2"]


class TestNews:
    def test_a_new_leader_is_told_while_one_types_and_the_line_stays(
        self, terminal: Terminal, cluster: FakeCluster, capsys: Capture
    ) -> None:
        told: list[str] = []

        def leads(node_id: str) -> bool:
            view = None if terminal.shell is None else terminal.shell.monitor.view
            return view is not None and view.leader == node_id

        def change() -> bool:
            cluster.leader = 0
            return True

        def is_told() -> bool:
            told.append(capsys.readouterr().err)
            return "-- n1 leads now, in place of n2 (term 1)" in "".join(told)

        terminal.type("set a", lambda: leads("n2"), change, is_told, terminal.has_line("set a"), " 1\r")
        assert cluster.values == {b"a": b"1"}

    def test_so_is_what_becomes_of_a_node_that_up_started(
        self, terminal: Terminal, cluster: FakeCluster, capsys: Capture
    ) -> None:
        told: list[str] = []

        def end() -> bool:
            if terminal.shell is None or terminal.shell.monitor.view is None:
                return False
            terminal.news.append("node n1 ended with SIGKILL")
            cluster.log.append({"index": 2, "term": 1, "kind": "noop"})  # a change, for the monitor to see
            return True

        def is_told() -> bool:
            told.append(capsys.readouterr().err)
            return "-- node n1 ended with SIGKILL" in "".join(told)

        terminal.type("set a", end, is_told, terminal.has_line("set a"), CTRL_C)

    def test_a_command_that_takes_long_says_what_it_waits_for(
        self, terminal: Terminal, cluster: FakeCluster, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cli.prompt.patience.PATIENCE_S", 0.01)
        told: list[str] = []

        def is_told() -> bool:
            told.append(capsys.readouterr().err)
            return "-- waiting: no" in "".join(told)

        def lead() -> bool:
            cluster.leader = 0
            return True

        cluster.leader = None
        terminal.type("set a 1\r", is_told, lead)
        assert cluster.values == {b"a": b"1"}


class TestHistory:
    def test_lines_are_kept_for_the_next_shell_and_for_their_owner_alone(
        self, cluster: FakeCluster, keys: PipeInput, tmp_path: Path
    ) -> None:
        path = tmp_path / "state" / "history"
        Terminal(cluster, keys, path).type("set a 1\rset a 2\r")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        cluster.values.clear()
        Terminal(cluster, keys, path).type(f"{UP}{UP}\r")
        assert cluster.values == {b"a": b"1"}

    def test_it_is_searched_with_ctrl_r(self, cluster: FakeCluster, keys: PipeInput, tmp_path: Path) -> None:
        Terminal(cluster, keys, tmp_path / "history").type("set apple 1\rset pear 2\rset plum 3\r")
        cluster.values.clear()
        terminal = Terminal(cluster, keys, tmp_path / "history")
        terminal.type(f"{CTRL_R}PEAR{ENTER}")
        assert cluster.values == {b"pear": b"2"}

    def test_a_line_that_begins_as_an_earlier_one_is_suggested(
        self, terminal: Terminal, cluster: FakeCluster
    ) -> None:
        suggested = terminal.has_suggestion("le 5")
        terminal.type(
            "incrby apple 5\rincrby app", suggested, RIGHT, terminal.has_line("incrby apple 5"), ENTER
        )
        assert cluster.values == {b"apple": b"10"}

    def test_secrets_are_kept_nowhere(self, cluster: FakeCluster, keys: PipeInput, tmp_path: Path) -> None:
        path = tmp_path / "history"
        Terminal(cluster, keys, path).type("set a 1\rset db:password x\r set b 2\rauth x\r" + UP + "\r")
        assert "password" not in path.read_text()
        assert [line for line in path.read_text().splitlines() if line.startswith("+")] == ["+set a 1"]
        assert cluster.values == {b"a": b"1", b"db:password": b"x", b"b": b"2"}

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
