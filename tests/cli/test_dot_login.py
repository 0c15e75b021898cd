"""`.login` and `.logout`: who the shell is, for its commands, its monitor and its prompt."""

from collections.abc import Iterator

import pytest
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input

from cli.prompt import monitor as monitor_module
from cli.prompt.monitor import Monitor
from cli.prompt.status_line import prompt as prompt_of
from cli.run.transactions import State
from raftdb.client.credentials import Credentials
from raftdb.errors import RequestRefused, Unauthenticated
from tests.cli.prompt import Prompt
from tests.cli.terminal import Terminal
from tests.cli.test_monitor import wait_until
from tests.client.fake_node import FakeCluster
from tests.client.test_credentials import BASIC, BEARER, PASSWORD, SECRET, sent_by

Capture = pytest.CaptureFixture[str]


def answering(prompt: Prompt, *answers: str) -> list[str]:
    """Let the person type these, unseen; the list gets the questions."""
    questions: list[str] = []
    waiting = list(answers)

    def ask(question: str) -> str:
        questions.append(question)
        return waiting.pop(0)

    prompt.interpreter.secret = ask
    return questions


def who(prompt: Prompt) -> str | None:
    return prompt.interpreter.user


def test_a_password_or_a_token_is_asked_for(prompt: Prompt, cluster: FakeCluster) -> None:
    cluster.users = {BASIC: "ana", BEARER: "job"}
    with pytest.raises(Unauthenticated):
        prompt.type("get k")
    questions = answering(prompt, PASSWORD, SECRET)
    assert prompt.type(".login ana") == ["logged in as ana"]
    assert who(prompt) == "ana"
    assert prompt.type("get k") == ['""']
    assert prompt.type(".login") == ["logged in as job"]
    assert who(prompt) == "job"
    assert questions == ["password of ana: ", "token: "]
    assert prompt.type(".nodes")[-1].split()[0] == "n3"
    assert prompt.type(".logout") == ["logged out"]
    assert who(prompt) is None
    with pytest.raises(Unauthenticated):
        prompt.type("get k")


def test_after_a_wrong_password_all_is_as_before(prompt: Prompt, cluster: FakeCluster) -> None:
    cluster.users = {BEARER: "job"}
    answering(prompt, SECRET, PASSWORD, "", "two words")
    prompt.type(".login")
    with pytest.raises(Unauthenticated):
        prompt.type(".login ana")
    assert prompt.type(".login ana") == ["nothing was done"]
    with pytest.raises(RequestRefused, match="visible ASCII"):
        prompt.type(".login")
    assert prompt.interpreter.user == "job"
    assert prompt.type("get k") == ['""']


def test_a_transaction_has_one_user_and_a_script_asks_nobody(prompt: Prompt, cluster: FakeCluster) -> None:
    with pytest.raises(RequestRefused, match="a script is not asked"):
        prompt.type(".login ana")
    answering(prompt)
    prompt.type("begin")
    for line in (".login ana", ".logout"):
        with pytest.raises(RequestRefused, match="a transaction is open"):
            prompt.type(line)
    assert prompt.state is State.BEGIN


def test_where_there_are_no_users_that_is_said(prompt: Prompt, cluster: FakeCluster) -> None:
    answering(prompt, PASSWORD)
    assert prompt.type(".login ana") == ["this cluster has no users, and serves everybody"]
    assert prompt.interpreter.user is None


def test_the_prompt_says_who() -> None:
    def text(user: str | None) -> str:
        return "".join(piece for _, piece in prompt_of("n1", State.BEGIN, user))

    assert (text(None), text("ana")) == ("n1*> ", "ana@n1*> ")
    assert "\x1b" not in text("\x1b[2J")


def test_the_monitor_sends_no_refused_password_twice(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes let an address wait from which wrong ones come, and the monitor asks twice a second."""
    monkeypatch.setattr(monitor_module, "INTERVAL_S", 0.01)
    monkeypatch.setattr(monitor_module, "REFUSED_INTERVAL_S", 0.01)
    cluster.users = {BASIC: "ana"}
    node = cluster.nodes[0]
    credentials = Credentials(user="ana", password="wrong")
    monitor = Monitor([node.address], credentials=credentials)
    monitor.start()
    try:
        wait_until(lambda: len(node.credentials) == 1 and monitor.view is not None)
        # A token may be one that the node does not know yet.
        credentials.replace(token=SECRET)
        wait_until(lambda: len(node.credentials) >= 4)
        assert len({header for header in node.credentials if header != BEARER}) == 1
        assert node.credentials.count(BEARER) >= 3
        credentials.replace(user="ana", password=PASSWORD)
        wait_until(lambda: monitor.view is not None and monitor.view.leader == "n2")
    finally:
        monitor.stop()


@pytest.fixture
def blocking_calls() -> list[str]:
    """In place of the detector: the loop that runs here is prompt_toolkit's own."""
    return []


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


@pytest.mark.usefixtures("blocking_calls")
def test_a_person_logs_in_and_the_password_is_neither_shown_nor_kept(
    cluster: FakeCluster, keys: PipeInput, capsys: Capture
) -> None:
    cluster.users = {BASIC: "ana"}
    terminal = Terminal(cluster, keys)

    def asks() -> bool:
        return terminal.shell is not None and terminal.shell.asks

    assert terminal.type(".login ana\r", asks, f"{PASSWORD}\r", terminal.has_run(1), "set k v\r") == 0
    captured = capsys.readouterr()
    assert "error: connect: nobody is served here without being a user" in captured.err
    assert "hint: .login USER" in captured.err
    assert "logged in as ana\nOK\n" in captured.out
    assert PASSWORD not in captured.out + captured.err
    assert terminal.shell is not None
    history = list(terminal.shell.session.history.get_strings())
    assert history == [".login ana", "set k v"]


@pytest.mark.usefixtures("blocking_calls")
def test_a_shell_that_begins_as_somebody_says_who_or_forgets_it(
    cluster: FakeCluster, keys: PipeInput, capsys: Capture
) -> None:
    cluster.users = {BASIC: "ana"}
    terminal = Terminal(cluster, keys)
    terminal.client.credentials.replace(user="ana", password=PASSWORD)
    terminal.type("get k\r")
    assert terminal.interpreter.user == "ana"
    terminal = Terminal(cluster, keys)
    terminal.client.credentials.replace(user="ana", password="wrong")
    terminal.type("get k\r")
    assert terminal.interpreter.user is None
    assert terminal.client.credentials.is_empty
    assert len(sent_by(cluster)) == 3, "the right one, the wrong one once, and none"
