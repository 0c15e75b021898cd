"""What `raftdb up` says to a person, with a stand-in for the nodes' processes."""

import signal
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from cli.console.failures import EXIT_FAILED, CommandError
from cli.local import left_over
from cli.local.folder import LocalFolder, NodePlace
from cli.main import run
from cli.subcommands import up
from raftdb.client.credentials import Credentials
from raftdb.client.sync_client import Client

Capture = pytest.CaptureFixture[str]


class FakeCluster:
    """Nodes that start at once; n2 leads."""

    signals: ClassVar[list[signal.Signals]] = []
    credentials: ClassVar[list[Credentials]] = []
    networks: ClassVar[list[tuple[str | None, int | None]]] = []

    def __init__(
        self,
        folder: LocalFolder,
        nodes: Sequence[NodePlace],
        *,
        logs_to_files: bool,
        dashboard: str,
        network: str | None,
        network_seed: int | None,
        credentials: Credentials,
    ) -> None:
        FakeCluster.credentials.append(credentials)
        FakeCluster.networks.append((network, network_seed))
        self.places = nodes
        self.dashboard = dashboard
        self.dashboard_url = None if dashboard == "off" else f"http://{nodes[0].http}/#{dashboard}"
        self.has_failed = (folder.path / "n1.log").exists()

    def start(self) -> SimpleNamespace:
        if self.has_failed:
            raise CommandError("up", "node n1 ended", exit_code=EXIT_FAILED)
        return SimpleNamespace(id="n2")

    def take_exits(self) -> list[str]:
        return []

    def all_stopped(self) -> bool:
        """The signals of the test, one each time it is asked."""
        signal.raise_signal(FakeCluster.signals.pop(0))
        return False

    def stop(self) -> None:
        pass


class FakeControl:
    """Nobody listens for pages."""

    def __init__(self, cluster: FakeCluster) -> None:
        pass

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take_news(self) -> list[str]:
        return []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFolder]:
    FakeCluster.signals = [signal.SIGTERM]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(up, "LocalCluster", FakeCluster)
    monkeypatch.setattr(up, "PageControl", FakeControl)
    yield LocalFolder(tmp_path / "local")
    for number, handler in handlers.items():
        signal.signal(number, handler)


def addresses(folder: LocalFolder) -> str:
    lines = [f"  {n.id}  http://{n.http}{'  leader' if n.id == 'n2' else ''}\n" for n in folder.load()]
    return "".join(lines)


def greeting(folder: LocalFolder) -> str:
    return f"{addresses(folder)}dashboard: http://{folder.load()[0].http}/#write\n"


def test_without_a_shell_addresses_leader_and_end_are_told(folder: LocalFolder, capsys: Capture) -> None:
    assert run(["up", "--no-shell", "--data", str(folder.path)]) == 0
    stopped = f"stopped; the data stays in {folder.path}\n"
    assert capsys.readouterr() == (greeting(folder) + stopped, "")


def test_without_a_dashboard_none_is_told(folder: LocalFolder, capsys: Capture) -> None:
    assert run(["up", "--no-shell", "--dashboard", "off", "--data", str(folder.path)]) == 0
    stopped = f"stopped; the data stays in {folder.path}\n"
    assert capsys.readouterr() == (addresses(folder) + stopped, "")


def test_a_network_is_told_and_set_in_its_own_words(folder: LocalFolder, capsys: Capture) -> None:
    FakeCluster.networks = []
    words = ["--network", "Delay 0.1s  50ms", "--network-seed", "7"]
    assert run(["up", "--no-shell", "--data", str(folder.path), *words]) == 0
    assert FakeCluster.networks == [("delay 100ms 50ms", 7)]
    said = "network between the nodes: delay 100ms 50ms, seed 7\n"
    stopped = f"stopped; the data stays in {folder.path}\n"
    assert capsys.readouterr() == (f"{greeting(folder)}{said}{stopped}", "")


def test_words_that_are_no_network_are_refused_before_anything_starts(
    folder: LocalFolder, capsys: Capture
) -> None:
    assert run(["up", "--no-shell", "--data", str(folder.path), "--network", "loss 5"]) == 2
    error = capsys.readouterr().err
    assert "loss is a share of the messages" in error
    assert "hint: loss 5%" in error
    assert not folder.path.exists()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_shell_alone_greets_a_person_and_the_end_is_told(
    folder: LocalFolder, is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def shell(*arguments: object, **options: object) -> int:
        print("the shell")
        return 0

    monkeypatch.setattr(up, "run_on_terminal_or_stdin", shell)
    monkeypatch.setattr(up, "is_terminal", lambda stream: is_terminal)
    assert run(["up", "--data", str(folder.path)]) == 0
    stopped = f"stopped; the data stays in {folder.path}\n"
    if is_terminal:
        assert capsys.readouterr() == (f"the shell\n{stopped}", "")
    else:
        assert capsys.readouterr() == ("the shell\n", greeting(folder) + stopped)


def test_a_start_that_fails_is_an_error_and_no_stop(folder: LocalFolder, capsys: Capture) -> None:
    folder.path.mkdir()
    folder.create(1)
    folder.log_path("n1").touch()
    assert run(["up", "--no-shell", "--data", str(folder.path)]) == 1
    assert capsys.readouterr() == ("", "raftdb: error: up: node n1 ended\n")


class Person(StringIO):
    """What a person types at a terminal, up to Ctrl-D."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("ignored", "ends"), [(True, False), (False, True)])
def test_a_terminal_that_closes_ends_it_unless_nohup_said_no(
    folder: LocalFolder, capsys: Capture, ignored: bool, ends: bool
) -> None:
    FakeCluster.signals = [signal.SIGHUP, signal.SIGTERM]
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    assert run(["up", "--no-shell", "--data", str(folder.path)]) == 0
    assert FakeCluster.signals == ([signal.SIGTERM] if ends else [])


@pytest.mark.parametrize(
    ("typed", "deletes"), [("", False), ("n\n", False), ("\n", False), ("y", True), (" YES \n", True)]
)
def test_a_question_is_answered_by_yes_or_it_is_no(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch, capsys: Capture, typed: str, deletes: bool
) -> None:
    folder.path.mkdir()
    old = folder.create(1)
    folder.data_path("n1").mkdir()
    monkeypatch.setattr("sys.stdin", Person(typed))
    assert run(["up", "--fresh", "--no-shell", "--data", str(folder.path)]) == (0 if deletes else 1)
    captured = capsys.readouterr()
    assert captured.err.startswith(f"delete 1 node in {folder.path} with all data? [y/N] ")
    assert captured.err.endswith("raftdb: error: up: nothing was deleted\n") == (not deletes)
    assert (folder.load() == old) == (not deletes)


def test_nodes_of_an_up_that_was_killed_end_before_anything_else(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    done: list[str] = []
    monkeypatch.setattr(left_over, "end", lambda folder, nodes, tell: done.append(f"end {len(nodes)}"))
    monkeypatch.setattr(LocalFolder, "check_addresses", lambda self, nodes: done.append("check"))
    monkeypatch.setattr(LocalFolder, "wipe", lambda self, nodes: done.append("wipe"))
    folder.path.mkdir()
    folder.create(2)
    assert run(["up", "--fresh", "--yes", "--no-shell", "--data", str(folder.path)]) == 0
    assert done == ["end 2", "wipe", "end 2", "check"]


def test_the_options_before_it_are_those_of_its_shell(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    made: list[tuple[Sequence[str], dict[str, object]]] = []

    class NotedClient(Client):
        def __init__(self, addresses: Sequence[str], **settings: Any) -> None:
            made.append((addresses, settings))
            super().__init__(addresses, **settings)

    monkeypatch.setattr("cli.subcommands.options.Client", NotedClient)
    monkeypatch.setattr(up, "run_on_terminal_or_stdin", lambda *arguments, **options: 0)
    assert run(["--timeout", "1", "up", "--data", str(folder.path)]) == 0
    ((addresses, settings),) = made
    assert list(addresses) == [node.http for node in folder.load()]
    assert (settings["timeout_ms"], settings["unreachable_timeout_ms"]) == (1_000, 1_000)
    assert settings["credentials"] is FakeCluster.credentials[-1]
    assert FakeCluster.credentials[-1].is_empty


def test_a_cluster_that_has_users_is_started_by_one(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(up, "run_on_terminal_or_stdin", lambda *arguments, **options: 0)
    monkeypatch.setenv("RAFTDB_PASSWORD", "battery-staple")
    assert run(["up", "--user", "ana", "--data", str(folder.path)]) == 0
    assert repr(FakeCluster.credentials[-1]) == "<Credentials of 'ana'>"
