"""`raftdb shell` without a terminal: -c, -f and stdin."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from cli.main import run
from raftdb.commands.spec import COMMANDS
from tests.client.fake_node import FakeCluster


@pytest.fixture(autouse=True)
def _use(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFTDB_URL", cluster.addresses)


def test_commands_are_separated_by_semicolons(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["shell", "-c", 'set a 1; append a " 2"; get a']) == 0
    assert capsys.readouterr().out == "OK\nOK\n1 2\n"


def test_output_may_be_typed_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["shell", "-o", "table", "-c", "set a 1; get a; get b; strlen a; mget a b"]) == 0
    assert capsys.readouterr().out == 'OK\n"1"\n""\n1\n1) "1"\n2) (nil)\n'
    assert run(["-o", "json", "shell", "-c", "get a; strlen a"]) == 0
    assert [json.loads(line)["result"] for line in capsys.readouterr().out.splitlines()] == ["1", 1]


@pytest.mark.parametrize(
    ("text", "code", "out", "errors"),
    [
        (
            "set a x; incr a; get a",
            1,
            "OK\n",
            "raftdb: error: incr: value is not an integer or out of range\n",
        ),
        (
            "set a x; sett b 1; get a",
            2,
            "OK\n",
            "raftdb: error: sett: unknown command\nhint: did you mean 'set'?",
        ),
        ('set a x; set b "y', 2, "", "raftdb: error: syntax: unbalanced double quote"),
        (
            ".nodez",
            2,
            "",
            "raftdb: error: .nodez: unknown dot-command\nhint: did you mean '.nodes'?\n",
        ),
        ("nodes", 2, "", "raftdb: error: nodes: unknown command\nhint: did you mean '.nodes'?\n"),
        ("comit", 2, "", "raftdb: error: comit: unknown command\nhint: did you mean 'commit'?\n"),
        (
            "help a b",
            2,
            "",
            "raftdb: error: help: wrong number of arguments\nhint: the syntax is: help [COMMAND]\n",
        ),
        (
            ".mode xml",
            2,
            "",
            "raftdb: error: .mode: there is no mode 'xml'\nhint: one of: table, json, raw\n",
        ),
        ("set a x; exit; set a y", 0, "OK\n", ""),
        (
            ".log 1 2 3",
            2,
            "",
            "raftdb: error: .log: wrong number of arguments\nhint: the syntax is: .log [FROM] [LIMIT]\n",
        ),
        (
            ".kill n1",
            2,
            "",
            "raftdb: error: .kill: this shell did not start the cluster\nhint: 'raftdb up' opens",
        ),
        (
            ".log x",
            2,
            "",
            "raftdb: error: .log: 'x' is not a whole number above 0\nhint: the syntax is: .log [FROM] [LIMIT]\n",
        ),
        (
            "setkunci a",
            2,
            "",
            "raftdb: error: setkunci: unknown command\nhint: a space is missing? the syntax is: set KEY VALUE",
        ),
        ("set a x; .quit; set a y", 0, "OK\n", ""),
    ],
)
def test_a_script_stops_at_its_first_error(
    text: str, code: int, out: str, errors: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["shell", "-c", text]) == code
    captured = capsys.readouterr()
    assert captured.out == out
    assert captured.err.startswith(errors)


def test_or_keeps_going_and_ends_with_the_first_errors_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["shell", "--keep-going", "-c", "set a x; incr a; nonsense; get a"]) == 1
    assert capsys.readouterr().out == "OK\nx\n"


def test_a_file_names_the_line_that_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script"
    script.write_bytes(b'# a story\n\nset a "\\x41"; get a\r\nincr a\nget a\n')
    assert run(["shell", "-f", str(script)]) == 1
    assert capsys.readouterr().err == (
        f"raftdb: error: {script}:4: incr: value is not an integer or out of range\n"
    )
    script.write_text("get 'a\n")
    assert run(["shell", "-f", str(script)]) == 2
    assert capsys.readouterr().err.startswith(f"raftdb: error: {script}:1: unbalanced single quote")


@pytest.mark.parametrize("text", ["\ufeffset a 1; get a", "\ufeff# a story\nset a 1\nget a\n"])
def test_a_byte_order_mark_is_no_part_of_a_script(
    cluster: FakeCluster, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script"
    script.write_text(text, encoding="utf-8")
    assert run(["shell", "-f", str(script)]) == 0
    assert run(["shell", "-c", f".read {script}"]) == 0
    assert run(["shell", "-c", text]) == 0
    assert capsys.readouterr().out == "OK\n1\n" * 3
    script.write_text("ping\n\ufeffget a\n", encoding="utf-8")
    assert run(["shell", "-f", str(script)]) == 2, "in the middle it is a character"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_script_in_another_encoding_is_told(
    tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script"
    script.write_text("\ufeffset a 1\n", encoding=encoding)
    assert run(["shell", "-f", str(script)]) == 2
    assert run(["shell", "-c", f".read {script}"]) == 2
    assert capsys.readouterr().err == (
        f"raftdb: error: {script}:1: the script is UTF-16\nhint: save it as UTF-8, and run it again\n" * 2
    )


def test_a_line_without_an_end_ends_the_script_and_not_the_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.run.script.LINE_BYTES_MAX", 100_000)
    assert run(["shell", "--keep-going", "-f", "/dev/zero"]) == 1
    assert run(["shell", "-c", ".read /dev/zero"]) == 1
    assert capsys.readouterr().err == ("raftdb: error: /dev/zero:1: a line has more than 100000 bytes\n" * 2)


def test_errors_are_json_where_results_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-o", "json", "shell", "-c", "set a x; incr a"]) == 1
    assert run(["shell", "-ojson", "-c", "get"]) == 2
    assert run(["shell", "-c", ".mode json; nonsense"]) == 2
    errors = [json.loads(line)["error"] for line in capsys.readouterr().err.splitlines()]
    assert [error["code"] for error in errors] == ["command_failed", "wrong_arity", "unknown_command"]
    assert [error["what"] for error in errors] == ["incr", "get", "nonsense"]


class _Stdin(io.TextIOWrapper):
    pass


def test_commands_on_stdin_run_without_prompt_or_banner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin: TextIO = _Stdin(io.BytesIO(b"set a 1\nget a"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(["shell"]) == 0
    monkeypatch.setattr(sys, "stdin", _Stdin(io.BytesIO(b"\xef\xbb\xbfset a 1\nget a")))
    assert run(["shell", "-f", "-"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("OK\n1\n" * 2, "")


def test_stdin_is_served_line_by_line(cluster: FakeCluster) -> None:
    command = [sys.executable, "-m", "raftdb", "shell"]
    environment = {**os.environ, "RAFTDB_URL": cluster.addresses}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"set a 1\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"OK\n"
        process.stdin.close()
        assert process.wait(10) == 0


def test_dot_commands_describe_the_cluster(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    script = "set a 1; .leader; .status; .nodes; .members; .log; .help; .help set; help nodes"
    assert run(["shell", "-o", "table", "-c", script]) == 0
    out = capsys.readouterr().out
    assert f"n2 {cluster.nodes[1].address}\n" in out
    # The first write registers a session.
    assert "log         1..3, committed 3, applied 3" in out
    assert "    3     1  yes        set a 1\n" in out
    assert ".log [FROM] [LIMIT]" in out
    assert ".kill" not in out
    assert f"{COMMANDS['set'].syntax}\n  Store a value" in out
    assert ".nodes\n  Every node" in out


def test_a_closed_pipe_ends_a_command_quietly(cluster: FakeCluster) -> None:
    cluster.values[b"k"] = b"x" * 1_000_000
    command = [sys.executable, "-m", "raftdb", "get", "k"]
    environment = {**os.environ, "RAFTDB_URL": cluster.addresses}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            command, env=environment, stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")
