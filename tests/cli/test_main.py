"""One-shot commands, their output and their exit codes."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest

from cli.console.failures import LOG_IN
from cli.main import run
from cli.program import SUB_COMMANDS
from cli.subcommands.options import summary_of
from raftdb import __main__ as entry
from raftdb.client.model import Answer
from raftdb.client.sync_client import Client
from raftdb.commands.spec import COMMANDS
from raftdb.packages import foreign_package
from tests.client.fake_node import Canned, FakeCluster, error
from tests.interface import documented_codes

Result = tuple[int, str, str]
Cli = Callable[..., Result]

SHELL_HINT = "hint: it is a command of the shell: 'raftdb shell'; 'raftdb help begin' tells more\n"
SPACE_HINT = f"hint: a space is missing? the syntax is: {COMMANDS['set'].syntax}\n"
OPTIONS_HINT = "hint: the syntax is: get KEY; options go before the command: raftdb -ojson ... get ...\n"
COUNTS = (["up", "--nodes"], ["log", "--from"], ["log", "--limit"])
NO_COUNTS = ("0", "-1", "x", "1.5", "\u0663", "")


def not_a_count(command: list[str], number: str) -> str:
    name, option = command
    why = f"{number!r} is not a whole number above 0"
    return f"raftdb: error: {name}: argument {option}: {why}\nhint: see 'raftdb {name} --help'\n"


@pytest.fixture
def cli(cluster: FakeCluster, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    def call(*arguments: str) -> Result:
        # What starts a cluster of its own takes no other.
        options = [] if arguments[:1] == ("up",) else ["--connect", cluster.addresses, "--timeout", "2"]
        code = run([*options, *arguments])
        captured = capsysbinary.readouterr()
        return code, captured.out.decode("utf-8", "surrogateescape"), captured.err.decode()

    return call


def test_the_first_five_minutes(cli: Cli) -> None:
    assert cli("set", "kunci", "satu") == (0, "OK\n", "")
    assert cli("append", "kunci", "dua") == (0, "OK\n", "")
    assert cli("get", "kunci") == (0, "satudua\n", "")
    assert cli("strlen", "kunci") == (0, "7\n", "")
    assert cli("del", "kunci") == (0, "satudua\n", "")
    assert cli("get", "kunci") == (4, "\n", "")
    assert cli("ping") == (0, "PONG\n", "")


def test_an_empty_value_is_not_a_missing_key(cli: Cli) -> None:
    cli("set", "k", "")
    assert cli("get", "k") == (0, "\n", "")
    assert cli("strlen", "lain")[0] == 0


@pytest.mark.parametrize("value", ["-yori-mo-anata", "--help", "-o", "--", "", "two words", "\udcff"])
def test_arguments_are_taken_verbatim(cli: Cli, value: str) -> None:
    assert cli("append", "k", value)[0] == 0
    assert cli("get", "k") == (0, f"{value}\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_alone_is_help_and_runs_nothing(cluster: FakeCluster, cli: Cli, option: str) -> None:
    for name, spec in COMMANDS.items():
        code, out, errors = cli(name, option)
        assert (code, errors) == (0, "")
        assert out.startswith(f"{spec.syntax}\n")
        assert spec.examples[0].line in out
    assert not any(node.requests for node in cluster.nodes)


def test_two_dashes_lead_to_a_key_that_looks_like_an_option(cluster: FakeCluster, cli: Cli) -> None:
    assert cli("set", "--", "--help", "x")[0] == 0
    assert cli("get", "--", "--help") == (0, "x\n", "")
    assert cli("set", "--", "--", "-h")[0] == 0
    assert cluster.values == {b"--help": b"x", b"--": b"-h"}


def test_a_command_without_a_value_is_told_where_options_go(cli: Cli) -> None:
    for words in (["-o", "json"], ["--output=json", ""], ["--timeout", "3"]):
        errors = cli("set", "k", "v", *words)[2]
        assert f"options go before the command: raftdb {words[0]} ... set ..." in errors
    assert "options go" not in cli("set", "k", "v", "w")[2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_result_that_cannot_be_written_is_told(cluster: FakeCluster) -> None:
    command = [sys.executable, "-m", "raftdb", "--connect", cluster.addresses, "set", "k", "v"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=30)
        assert done.returncode == 1
        reason = "no space left on device"
        assert done.stderr.decode() == f"raftdb: error: output: the result cannot be written: {reason}\n"
        assert cluster.values == {b"k": b"v"}
        assert subprocess.run([*command, "w"], stderr=full, check=False, timeout=30).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["log", "-h"], ["get", "-h"], ["help"], ["--version"], ["completion", "bash"]]
)
def test_so_is_help_that_cannot_be_written(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run(arguments) == 1
    assert capsys.readouterr().err.endswith("output: the result cannot be written: no space left on device\n")


def test_an_option_without_its_value_is_told_with_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "-o", "json", "--limit"]) == 2
    told = json.loads(capsys.readouterr().err)["error"]
    assert (told["what"], told["message"]) == ("log", "option '--limit' requires an argument")


@pytest.mark.parametrize(
    ("form", "value", "missing"), [("table", '"a\\nb"\n', '""\n'), ("raw", "a\nb\n", "\n")]
)
def test_forms_of_output(cli: Cli, form: str, value: str, missing: str) -> None:
    cli("set", "k", "a\nb")
    assert cli("-o", form, "get", "k")[1] == value
    assert cli(f"--output={form}", "get", "lain") == (4, missing, "")


def test_json_is_the_answer_as_the_node_gave_it(cli: Cli) -> None:
    cli("set", "k", "v")
    code, out, _ = cli("-ojson", "get", "k")
    assert (code, json.loads(out)) == (0, {"result": "v", "index": 2, "term": 1, "revision": 2})


def test_lists_are_numbered_or_one_per_line(cli: Cli) -> None:
    cli("set", "a", "1")
    assert cli("-o", "table", "mget", "a", "b")[1] == '1) "1"\n2) (nil)\n'
    assert cli("mget", "a", "b")[1] == "1\n\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["get"],
            2,
            "raftdb: error: get: wrong number of arguments\nhint: the syntax is: get KEY\n",
        ),
        (["gett", "k"], 2, "raftdb: error: gett: unknown command\nhint: did you mean 'raftdb get'?\n"),
        (["setkunci", "a"], 2, "raftdb: error: setkunci: unknown command\n" + SPACE_HINT),
        (
            ["get", "k", "-ojson"],
            2,
            "raftdb: error: get: wrong number of arguments\n" + OPTIONS_HINT,
        ),
        (["shel"], 2, "raftdb: error: shel: unknown command\nhint: did you mean 'raftdb shell'?\n"),
        (["begin"], 2, "raftdb: error: begin: unknown command\n" + SHELL_HINT),
        (["get", ""], 1, "raftdb: error: get: a key must not be empty\n"),
        (["get", "k" * 481], 1, "raftdb: error: get: a key has 481 bytes: the limit is 480\n"),
        (["incrby", "n", "x"], 2, None),
        (["-o", "xml", "get", "k"], 2, None),
        (
            ["--timeout", "soon", "get", "k"],
            2,
            (
                "raftdb: error: argument --timeout: 'soon' is not a number of seconds above 0 and up to 86400\n"
                "hint: see 'raftdb --help'\n"
            ),
        ),
        (["--connect", "nowhere", "get", "k"], 2, None),
        (["cluster", "explode"], 2, None),
        *[
            ([*command, number], 2, not_a_count(command, number))
            for command in COUNTS
            for number in NO_COUNTS
        ],
        (["shell", "-f", "/nowhere/at/all"], 2, None),
    ],
)
def test_what_no_node_has_to_be_asked(
    cluster: FakeCluster, cli: Cli, arguments: list[str], code: int, message: str | None
) -> None:
    got, out, errors = cli(*arguments)
    assert (got, out) == (code, "")
    assert errors == message if message is not None else errors.startswith("raftdb: error: ")
    assert not any(node.requests for node in cluster.nodes)


@pytest.mark.parametrize(
    "code", sorted(set(documented_codes()) - {"not_leader", "no_leader", "no_quorum", "busy"})
)
def test_each_error_code_has_its_exit_code(cluster: FakeCluster, cli: Cli, code: str) -> None:
    status, exit_code = documented_codes()[code]
    cluster.nodes[1].script.append(error(status, code, "because", hint="do this"))
    cluster.nodes[0].script.append(Canned(body={"leader": cluster.leader_body()}))
    got, out, errors = cli("set", "k", "v")
    unknown = "outcome unknown: " if code == "outcome_unknown" else ""
    assert (got, out) == (exit_code, "")
    hint = LOG_IN if code == "unauthenticated" else "do this"
    assert errors == f"raftdb: error: set: {unknown}because\nhint: {hint}\n"


def test_a_failing_command_is_told_and_is_1(cli: Cli) -> None:
    cli("set", "k", "text")
    assert cli("incr", "k") == (1, "", "raftdb: error: incr: value is not an integer or out of range\n")


def test_no_leader_is_3(cluster: FakeCluster, cli: Cli) -> None:
    cluster.leader = None
    code, _, errors = cli("--timeout", "0.3", "get", "k")
    assert code == 3
    assert errors.startswith("raftdb: error: get: ")
    assert "no leader" in errors


def test_nobody_there_is_3_soon_and_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert run(["--connect", f"127.0.0.1:{closed.getsockname()[1]}", "get", "k"]) == 3
    errors = capsys.readouterr().err
    assert "connection refused" in errors
    assert "\nhint: is the cluster running? 'raftdb up' starts one" in errors


def test_the_cluster_is_named_by_the_environment(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAFTDB_URL", f"http://{cluster.nodes[0].address}")
    assert run(["ping"]) == 0
    assert capsys.readouterr().out == "PONG\n"


def test_an_internal_error_is_a_message_and_with_debug_a_traceback(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("cli.subcommands.oneshot.run", fail)
    code, _, errors = cli("get", "k")
    assert (code, errors) == (
        1,
        "raftdb: error: get: internal error: ZeroDivisionError: oops\nhint: --debug shows where\n",
    )
    assert "Traceback" in cli("--debug", "get", "k")[2]
    assert "Traceback" not in cli("get", "--debug")[2]


def test_ctrl_c_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.subcommands.oneshot.run", interrupt)
    assert cli("get", "k")[0] == 130


def test_the_log_shows_its_end_or_what_is_asked_for(cli: Cli) -> None:
    for number in range(30):
        cli("set", "k", f"v {number}")
    lines = cli("log")[1].splitlines()
    assert (len(lines), lines[0], lines[-1]) == (20, '12\t1\tyes\tset k "v 10"', '31\t1\tyes\tset k "v 29"')
    assert cli("log", "--from", "1", "--limit", "2")[1] == '1\t1\tyes\t(noop)\n2\t1\tyes\tset k "v 0"\n'
    table = cli("-o", "table", "log", "--limit", "1")[1]
    assert table.splitlines()[0].split() == ["index", "term", "committed", "entry"]
    assert "the log holds 1..31, committed up to 31" in table
    page = json.loads(cli("log", "-o", "json", "--limit", "2")[1])
    assert [entry["index"] for entry in page["entries"]] == [30, 31]


def test_a_long_log_is_read_in_pages(cluster: FakeCluster, cli: Cli) -> None:
    cluster.log += [{"index": index, "term": 1, "kind": "noop"} for index in range(2, 2501)]
    assert len(cli("log", "--limit", "2400")[1].splitlines()) == 2400
    assert cli("log", "--limit", "9999")[1].splitlines()[0] == "1\t1\tyes\t(noop)"


def test_cluster_status_shows_every_node(cluster: FakeCluster, cli: Cli) -> None:
    cluster.nodes[2].stop()
    code, out, _ = cli("cluster", "status")
    roles = [line.split("\t")[2] for line in out.splitlines()]
    assert (code, roles) == (0, ["follower", "leader", "unreachable"])
    nodes = json.loads(cli("cluster", "status", "-o", "json")[1])["nodes"]
    assert [node["id"] for node in nodes] == ["n1", "n2", "n3"]
    for node in cluster.nodes:
        node.stop()
    assert cli("cluster", "status")[0] == 3


def test_a_node_that_answers_is_live_whoever_asks(cluster: FakeCluster, cli: Cli) -> None:
    """What asks for the health of a container is no user."""
    assert cli("cluster", "live") == (0, "", "")
    cluster.users = {}
    assert cli("cluster", "live") == (0, "", "")
    for node in cluster.nodes[:2]:
        node.stop()
    assert cli("cluster", "live")[0] == 0
    cluster.nodes[2].stop()
    assert cli("cluster", "live")[0] == 3


@pytest.mark.parametrize("arguments", [["--help"], ["help"], ["-h"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    text = capsys.readouterr().out
    for name in [*SUB_COMMANDS, "append KEY VALUE", "--connect"]:
        assert f"  {name}" in text


@pytest.mark.parametrize("name", SUB_COMMANDS)
def test_the_overview_says_what_the_command_itself_says(name: str) -> None:
    assert SUB_COMMANDS[name].summary == summary_of(SUB_COMMANDS[name].load())


def test_help_of_one_command_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "begin"]) == 0
    assert capsys.readouterr().out.startswith("begin\n  Open a transaction")
    assert run(["help", "append"]) == 0
    assert '> get kunci\n  "satudua"' in capsys.readouterr().out


@pytest.mark.parametrize("columns", [60, 80, 110])
def test_help_is_broken_between_words_where_the_terminal_ends(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(["help"]) == 0
    text = capsys.readouterr().out
    commands = text[text.index("values:") : text.index("in the shell also:")]
    for spec in COMMANDS.values():
        assert spec.summary in " ".join(commands.split())
    syntaxes = {f"  {spec.syntax}" for spec in COMMANDS.values()}
    assert [line for line in commands.splitlines() if len(line) > columns and line not in syntaxes] == []
    for name, shown in ((spec.name, spec.summary) for spec in COMMANDS.values()):
        assert run(["help", name]) == 0
        syntax, *lines = capsys.readouterr().out.split("\n  >")[0].splitlines()
        assert syntax == COMMANDS[name].syntax
        assert " ".join(" ".join(lines).split()) == shown
        assert max(map(len, lines)) <= columns


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "usage: raftdb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "starts"),
    [
        (["up"], True),
        (["--timeout", "1", "serve", "--id", "n1"], True),
        (["simulate"], True),
        (["learn"], True),
        (["restore", "file", "--data", "folder"], True),
        (["doctor", "folder"], True),
        (["backup", "file"], False),
        (["get", "up"], False),
        (["shell", "-c", "ping"], False),
        ([], False),
    ],
)
def test_only_servers_need_storage(
    cluster: FakeCluster,
    arguments: list[str],
    starts: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    import storage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAFTDB_URL", cluster.addresses)
    monkeypatch.setattr(storage, "RAFTDB_VERSION", "9.9.9")
    code = run(arguments)
    message = f"raftdb: error: start: the package 'storage' at {storage.__file__} is of raftdb 9.9.9; "
    assert capsys.readouterr().err.startswith(message) is starts
    assert code == 2 or not starts


def test_a_foreign_package_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cli as package

    monkeypatch.setattr(package, "RAFTDB_VERSION", "9.9.9")
    assert entry.main(["ping"]) == 2
    errors = capsys.readouterr().err
    assert f"'cli' at {package.__file__} is of raftdb 9.9.9; this is raftdb 0.1.0" in errors
    monkeypatch.delattr(package, "RAFTDB_VERSION")
    assert entry.main(["ping"]) == 2
    assert "is not raftdb's" in capsys.readouterr().err
    assert "cannot be imported" in (foreign_package("no_such_package_of_ours") or "")


def test_errors_are_json_where_results_are(cli: Cli) -> None:
    for arguments in (
        ["-o", "json", "get"],
        ["--output=json", "nonsense"],
        ["log", "-ojson", "--limit", "x"],
    ):
        code, out, errors = cli(*arguments)
        assert (code, out) == (2, "")
        assert json.loads(errors)["error"].keys() == {"code", "message", "what", "hint"}
    assert cli("set", "k", "-ojson")[0] == 0
    assert cli("set", "-ojson")[2].startswith("raftdb: error: set: "), "it is an argument there"


@pytest.mark.parametrize(("name", "warns"), [("get", False), ("set", True)])
def test_ctrl_c_warns_of_a_write_and_of_nothing_else(
    cli: Cli, name: str, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.subcommands.oneshot.execute", interrupt)
    warning = "raftdb: interrupted: a write that was sent may still take effect\n" if warns else ""
    assert cli(name, "k", "v") == (130, "", warning)


def test_a_command_may_wait_and_is_refused_here_if_its_wait_is_malformed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[bytes]] = []

    def execute(client: Client, name: str, arguments: Sequence[bytes], **options: object) -> Answer:
        asked.append(arguments)
        return Answer(value=[], index=1, term=1)

    monkeypatch.setattr(Client, "execute", execute)
    assert cli("receive", "mail", "VISIBILITY", "60", "WAIT", "5") == (0, "\n", "")
    assert asked == [[b"mail", b"VISIBILITY", b"60", b"WAIT", b"5"]]
    for malformed in (["WAIT"], ["WAIT", "51"], ["WAIT", "1", "SOON"]):
        assert cli("receive", "mail", *malformed)[0] == 2
    assert len(asked) == 1


def test_a_name_too_long_is_no_internal_error(cli: Cli) -> None:
    code, _, errors = cli("backup", "n" * 300)
    assert code == 1
    assert errors.endswith(": File name too long\n")


@pytest.mark.parametrize(
    ("arguments", "what", "option"),
    [
        (["--timeout", "1", "up", "--no-shell"], "up --no-shell", "--timeout"),
        (["--connect", "h:1", "up"], "up", "--connect"),
        (["-o", "json", "serve"], "serve", "--output"),
        (["--consistency", "stale", "simulate"], "simulate", "--consistency"),
        (["--timeout", "1", "doctor", "x"], "doctor", "--timeout"),
        (["--connect", "h:1", "restore", "x", "--data", "y"], "restore", "--connect"),
        (["--connect", "h:1", "recover", "--data", "y"], "recover", "--connect"),
        (["-x", "shell"], "shell", "--expand"),
        (["--consistency", "stale", "cluster", "status"], "cluster", "--consistency"),
        (["--consistency", "stale", "log"], "log", "--consistency"),
        (["--consistency", "stale", "snapshot"], "snapshot", "--consistency"),
        (["--consistency", "stale", "backup", "x"], "backup", "--consistency"),
    ],
)
def test_an_option_that_means_nothing_to_a_command_is_refused(
    arguments: list[str], what: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    errors = StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    assert run(arguments) == 2
    told = errors.getvalue()
    if arguments[0] == "-o":
        assert json.loads(told)["error"]["message"] == f"{option} means nothing here"
    else:
        assert told.startswith(f"raftdb: error: {what}: {option} means nothing here\nhint: ")
    assert list(tmp_path.iterdir()) == []
