"""Who the command line is: by which option, variable, file or answer; and that nothing says a secret."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.console import login
from cli.console.failures import LOG_IN, CommandError
from cli.main import run
from raftdb.client.credentials import Credentials
from tests.cli.test_main import Cli, Result
from tests.client.fake_node import FakeCluster
from tests.client.test_credentials import BASIC, BEARER, PASSWORD, SECRET, sent_by

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def cli(cluster: FakeCluster, capfd: Capture) -> Cli:
    def call(*arguments: str) -> Result:
        code = run(["--connect", cluster.addresses, "--timeout", "5", *arguments])
        captured = capfd.readouterr()
        assert SECRET not in captured.out + captured.err
        assert PASSWORD not in captured.out + captured.err
        return code, captured.out, captured.err

    return call


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person types next, unseen; the questions take its place."""
    answers: list[str] = []

    def asked(question: str, stream: object) -> str:
        if not answers:
            raise EOFError
        return answers.pop(0)

    monkeypatch.setattr("getpass.getpass", asked)
    monkeypatch.setattr(login, "is_terminal", lambda stream: True)
    return answers


def secret_file(folder: Path, content: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_token_from_a_file_or_the_environment(
    cluster: FakeCluster, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    cluster.users = {BEARER: "ana"}
    option = ["--token-file", secret_file(tmp_path, f"{SECRET}\n")]
    words = [*option, "whoami"] if place == "before" else ["whoami", *option]
    assert cli(*words) == (0, "ana\n", "")
    monkeypatch.setenv("RAFTDB_TOKEN_FILE", option[1])
    assert cli("whoami") == (0, "ana\n", "")
    monkeypatch.delenv("RAFTDB_TOKEN_FILE")
    monkeypatch.setenv("RAFTDB_TOKEN", SECRET)
    assert cli("-o", "json", "whoami") == (0, '{"user": "ana"}\n', "")
    assert cli("set", "k", "v") == (0, "OK\n", "")
    assert sent_by(cluster) == {BEARER}


CALLS = [
    ("get", "k"),
    ("cluster", "status"),
    ("cluster", "members"),
    ("cluster", "transfer"),
    ("snapshot",),
    ("log",),
    ("backup", "-"),
    ("follow",),
    ("shell", "-c", "get k"),
    ("shell", "-c", ".nodes"),
    ("whoami",),
    ("user", "list"),
    ("role", "remove", "app"),
    ("token", "create", "ana", "job"),
]


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_every_command_says_who_asks_and_a_refusal_has_a_next_step(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    cluster.users = {BASIC: "ana"}
    monkeypatch.setenv("RAFTDB_TOKEN", SECRET)
    code, out, errors = cli(*words)
    assert (code, out) == (1, "")
    assert errors.splitlines()[-2].endswith("nobody is served here without being a user")
    assert errors.splitlines()[-1] == f"hint: {LOG_IN}"
    assert sent_by(cluster) == {BEARER}


def test_a_user_whose_password_is_in_the_environment_or_typed(
    cluster: FakeCluster, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: list[str]
) -> None:
    cluster.users = {BASIC: "ana"}
    person.append(PASSWORD)
    assert cli("--user", "ana", "whoami") == (0, "ana\n", "")
    monkeypatch.setenv("RAFTDB_PASSWORD", PASSWORD)
    assert cli("--user", "ana", "whoami") == (0, "ana\n", "")
    monkeypatch.setenv("RAFTDB_USER", "ana")
    assert cli("whoami") == (0, "ana\n", "")
    monkeypatch.delenv("RAFTDB_PASSWORD")
    monkeypatch.setenv("RAFTDB_PASSWORD_FILE", secret_file(tmp_path, f"{PASSWORD}\r\n"))
    assert cli("whoami") == (0, "ana\n", "")
    assert sent_by(cluster) == {BASIC}


def test_the_password_of_one_user_is_not_sent_for_another(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch, person: list[str]
) -> None:
    cluster.users = {BASIC: "ana"}
    monkeypatch.setenv("RAFTDB_USER", "root")
    monkeypatch.setenv("RAFTDB_PASSWORD", "of root alone")
    person.append(PASSWORD)
    assert cli("--user", "ana", "whoami") == (0, "ana\n", "")
    assert sent_by(cluster) == {BASIC}


def test_an_option_comes_before_the_environment(
    cluster: FakeCluster, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.users = {BEARER: "ana"}
    monkeypatch.setenv("RAFTDB_TOKEN", "another")
    assert cli("--token-file", secret_file(tmp_path, SECRET), "whoami") == (0, "ana\n", "")


def wrong(environment: dict[str, str], *words: str) -> tuple[dict[str, str], tuple[str, ...]]:
    return environment, words


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (wrong({}, "--user", "ana", "--token-file", "x"), "exclude each other"),
        (wrong({"RAFTDB_USER": "ana", "RAFTDB_TOKEN": SECRET}), "exclude each other"),
        (wrong({"RAFTDB_TOKEN": SECRET, "RAFTDB_TOKEN_FILE": "x"}), "exclude each other"),
        (wrong({}, "--user", "ana"), "there is no password for the user ana"),
        (wrong({"RAFTDB_USER": "ana"}), "there is no password for the user ana"),
        (wrong({}, "--token-file", "/no/such/file"), "cannot read the token: /no/such/file: No such file"),
        (wrong({}, "--token-file", os.devnull), "is empty"),
        (wrong({"RAFTDB_TOKEN": f"{SECRET} {SECRET}"}), "visible ASCII"),
        (wrong({"RAFTDB_PASSWORD": PASSWORD}, "--user", "a:b"), "no colon"),
    ],
)
def test_what_cannot_be_is_wrong_usage(
    cluster: FakeCluster,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[dict[str, str], tuple[str, ...]],
    why: str,
) -> None:
    environment, words = given
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, errors = cli(*words, "whoami")
    assert (code, out) == (2, "")
    assert why in errors
    assert sent_by(cluster) == set()


def test_nothing_typed_is_no_password(cluster: FakeCluster, cli: Cli, person: list[str]) -> None:
    code, _, errors = cli("--user", "ana", "whoami")
    assert (code, errors) == (2, "raftdb: error: log in: nothing was typed\n")


def test_a_file_that_others_may_read_is_said(tmp_path: Path, capfd: Capture) -> None:
    assert login.read_secret(Path(secret_file(tmp_path, SECRET, 0o644)), "the token") == SECRET
    assert "others may read" in capfd.readouterr().err
    assert login.read_secret(Path(secret_file(tmp_path, SECRET)), "the token") == SECRET
    assert capfd.readouterr().err == ""


def test_a_secret_may_come_on_stdin_and_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{PASSWORD}\n".encode())))
    assert login.read_secret(Path("-"), "the password") == PASSWORD
    with pytest.raises(CommandError, match="too long"):
        login.read_secret(Path(secret_file(tmp_path, "x" * (login.SECRET_BYTES_MAX + 1))), "the token")


@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ([PASSWORD, PASSWORD], PASSWORD),
        ([PASSWORD, "another"], None),
        ([PASSWORD], None),
        ([], None),
    ],
)
def test_a_new_password_is_typed_twice(person: list[str], typed: list[str], made: str | None) -> None:
    person += typed
    ask: Callable[[], str] = lambda: login.new_password(None, "ana")  # noqa: E731
    if made is not None:
        assert ask() == made
    else:
        with pytest.raises(CommandError):
            ask()


def test_without_any_of_it_nobody_is_meant() -> None:
    assert repr(login.credentials(None, None)) == repr(Credentials())
