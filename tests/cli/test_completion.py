"""Completion in bash, zsh and fish: what is offered where, and the script that a shell reads."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import run
from cli.program import SUB_COMMANDS
from cli.subcommands.completion import SHELLS
from cli.subcommands.options import COMPLETION_VARIABLE, summary_of
from raftdb.commands.spec import COMMANDS

BASH = shutil.which("bash")
ASK = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$(($# - 2))
_raftdb_completion "$2"
echo "${COMPREPLY[*]}"
"""
"""Reads the script, and then asks as Tab does: the words typed are the arguments."""


def offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str, *words: str
) -> list[str]:
    """The lines that a shell gets when the last of these words is being completed."""
    monkeypatch.setenv(COMPLETION_VARIABLE, f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["raftdb", *words]))
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
    assert run([]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["clu"], ["plain,cluster"]),
        (["inc"], ["plain,incr", "plain,incrby"]),
        (["cluster", "re"], ["plain,remove", "plain,replace"]),
        (["-o", "json", "cluster", "t"], ["plain,transfer"]),
        (["log", "--f"], ["plain,--from"]),
        (["log", "-h"], ["plain,-h"]),
        (["--cons"], ["plain,--consistency"]),
        (["-o", "j"], ["plain,json"]),
        (["--consistency", ""], ["plain,linearizable", "plain,stale"]),
        (["completion", ""], [f"plain,{shell}" for shell in SHELLS]),
        (["backup", "mon"], ["file,mon"]),
        (["nonsense", "x"], []),
        (["--connect", "h:1", "serve", "--pe"], ["plain,--peers"]),
    ],
)
def test_what_is_offered(
    words: list[str], lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [line for line in offered(monkeypatch, capsys, "bash", *words) if line] == lines


def test_every_command_is_offered_in_the_order_of_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = offered(monkeypatch, capsys, "bash", "")
    assert lines == [f"plain,{name}" for name in [*SUB_COMMANDS, *COMMANDS]]


def test_zsh_and_fish_show_what_each_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summary_of(SUB_COMMANDS["doctor"].load())
    assert offered(monkeypatch, capsys, "zsh", "doc") == ["plain", "doctor", summary]
    assert offered(monkeypatch, capsys, "fish", "pin") == [f"plain,ping\t{COMMANDS['ping'].summary}"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_asks_this_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{COMPLETION_VARIABLE}={shell}_complete" in script
    program = shutil.which(shell)
    if program is not None:
        checked = subprocess.run([program, "-n"], input=script, text=True, check=False, timeout=30)
        assert checked.returncode == 0


def test_a_shell_that_is_not_known_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert BASH is not None
    run(["completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    # What is typed as `raftdb`: this checkout, run by this Python.
    program = tmp_path / "raftdb"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{os.getcwd()}" exec "{sys.executable}" -m raftdb "$@"\n')
    program.chmod(0o755)
    command = [BASH, "-c", ASK, "bash", str(tmp_path / "script"), str(program), "cluster", "tr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("transfer\n", "")
