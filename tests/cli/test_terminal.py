"""What the shell looks like in a real terminal. The cluster is a fake one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.tmux import TMUX, Tmux
from tests.client.fake_node import FakeCluster

pytestmark = pytest.mark.skipif(
    TMUX is None, reason="tmux is not installed: it is the terminal of these tests"
)

Start = Callable[..., Tmux]
CYAN, GREY, GREEN, RED = "36", "90", "32", "31"


@pytest.fixture
def start(cluster: FakeCluster, tmp_path: Path) -> Iterator[Start]:
    """Opens the shell in a terminal, and closes it in the end."""
    terminals: list[Tmux] = []

    def start(**environment: str) -> Tmux:
        # The checkout that is being tested, wherever the terminal's program is started.
        environment = {"PYTHONPATH": os.getcwd(), "RAFTDB_HISTORY": str(tmp_path / "history"), **environment}
        terminals.append(Tmux(tmp_path, ["shell", "--connect", cluster.addresses], environment))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.stop()


def test_the_first_screen_says_who_is_there_and_what_to_try(start: Start) -> None:
    terminal = start()
    lines = terminal.wait_for(r" n2 leads · term 1 · commit 1 · 3 of 3 up · \d+(\.\d)? ms", "n2>")
    assert lines[0] == "raftdb 0.1.0"
    assert lines[2].endswith("leader")
    assert lines[4] == "try:"
    assert lines[8] == "n2>"
    assert not any(lines[9:23]), "nothing between the prompt and the bar at the bottom"


def test_a_line_is_coloured_hinted_and_completed(start: Start, cluster: FakeCluster) -> None:
    cluster.values.update({b"user:1": b"1", b"user:2": b"2"})
    terminal = start()
    terminal.wait_for("n2>")
    terminal.type("append ")
    terminal.wait_for("n2> append KEY VALUE")
    assert (terminal.style_of("append"), terminal.style_of("KEY VALUE")) == (CYAN, GREY)
    terminal.type("us")
    terminal.wait_for("n2> append us VALUE")
    lines = terminal.wait_for_menu(" +user:2 +key")
    assert any(line.split() == ["user:1", "key"] for line in lines)
    terminal.press("Tab")
    terminal.wait_for("n2> append user: VALUE")
    terminal.type('1 "x')
    terminal.wait_for('n2> append user:1 "x')
    assert terminal.style_of('"x') == RED
    terminal.type('"')
    terminal.wait_for('n2> append user:1 "x"')
    assert terminal.style_of('"x"') == GREEN
    terminal.press("Enter")
    terminal.wait_for("OK")
    assert cluster.values[b"user:1"] == b"1x"


def test_a_hint_takes_no_second_line(start: Start) -> None:
    terminal = start()
    terminal.wait_for("n2>")
    key = "k" * 40
    terminal.type(f"set {key} v ")
    lines = terminal.wait_for(rf"n2> set {key} v \[EX SECONDS \| .*…")
    assert not any("KEEPTTL]" in line for line in lines)


def test_the_prompt_tells_the_state_of_a_transaction(start: Start) -> None:
    terminal = start()
    terminal.wait_for("n2>")
    terminal.enter("begin")
    terminal.wait_for(r"n2\*>")
    terminal.enter("set a 1")
    terminal.wait_for("QUEUED")
    terminal.wait_for(" n2 leads .* 1 write waits for commit")
    terminal.enter("commit")
    terminal.wait_for(r"OK \(index \d+\)")
    terminal.wait_for("n2>")
    terminal.enter("multi")
    terminal.enter("nonsense")
    terminal.wait_for("n2!>")
    terminal.wait_for(" n2 leads .* exec will refuse it")
    terminal.enter("exec")
    terminal.wait_for("error: exec: EXECABORT: .*")
    terminal.wait_for("n2>")


def test_a_new_leader_is_told_above_the_line_being_typed(start: Start, cluster: FakeCluster) -> None:
    terminal = start()
    terminal.wait_for(" n2 leads .*")
    terminal.type("append kunci sa")
    terminal.wait_for("n2> append kunci sa")
    cluster.leader = 2
    lines = terminal.wait_for("-- n3 leads now, in place of n2 .*", "n3> append kunci sa")
    assert [line for line in lines if "append kunci" in line] == ["n3> append kunci sa"]
    terminal.enter("tu")
    terminal.wait_for("OK")
    assert cluster.values == {b"kunci": b"satu"}


def test_a_block_is_written_on_several_lines(start: Start, cluster: FakeCluster) -> None:
    terminal = start()
    terminal.wait_for("n2>")
    terminal.type("begin")
    terminal.press("M-Enter")
    terminal.enter("set a 1")
    terminal.wait_for("n2> begin", r"\.\.\. set a 1")
    terminal.enter("commit")
    terminal.wait_for(r"OK \(index \d+\)")
    assert cluster.values == {b"a": b"1"}


def test_a_command_that_is_repeated_shows_its_answer_in_one_place(start: Start, cluster: FakeCluster) -> None:
    terminal = start()
    terminal.wait_for("n2>")
    terminal.enter(".watch 0.1 get visits")
    terminal.wait_for('""')
    cluster.values[b"visits"] = b"7"
    lines = terminal.wait_for('"7"')
    assert sum(line.startswith("every 0.1 s: get visits") for line in lines) == 1
    assert '""' not in lines
    terminal.press("C-c")
    terminal.wait_for("n2>")
    terminal.wait_for(" n2 leads .*")


def test_without_colours_there_are_none(start: Start) -> None:
    terminal = start(NO_COLOR="1")
    terminal.wait_for("n2>")
    terminal.enter("nonsense")
    terminal.wait_for("hint: .*")
    terminal.type("append ")
    terminal.wait_for("n2> append KEY VALUE")
    coloured = {"30", "31", "32", "33", "34", "35", "36", "37", "90", "91"}
    codes = {code for line in terminal.screen(styled=True) for code in line.split("\x1b[")[1:]}
    assert not {code.partition("m")[0] for code in codes} & coloured


def test_it_ends_with_ctrl_d(start: Start, tmp_path: Path) -> None:
    terminal = start()
    terminal.wait_for("n2>")
    terminal.enter("set a 1")
    terminal.wait_for("OK")
    terminal.press("C-d")
    terminal.wait_for_end()
    assert "+set a 1" in (tmp_path / "history").read_text()
