"""Commands with a dot that need no processes: the form of results, files, repetition."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.console.failures import CommandError, exit_code_of
from cli.line.dot_words import DOT_WORDS
from cli.run.context import Quit
from cli.run.dot_commands import DOT_COMMANDS
from cli.run.transactions import State
from raftdb.errors import RaftdbError, RequestRefused
from tests.cli.prompt import FakeControl, Prompt
from tests.client.fake_node import Canned, FakeCluster


def test_every_word_with_a_dot_is_carried_out() -> None:
    assert list(DOT_COMMANDS) == list(DOT_WORDS)


def test_the_form_of_results_is_said_and_changed(prompt: Prompt) -> None:
    prompt.type("set a 1")
    assert prompt.type(".mode") == ["table"]
    assert prompt.type(".mode RAW; get a; .mode") == ["1", "raw"]
    assert json.loads(prompt.type(".mode json; get a")[0])["result"] == "1"
    with pytest.raises(RequestRefused, match="no mode 'xml'"):
        prompt.type(".mode xml")


def test_the_address_of_the_dashboard_is_said(prompt: Prompt, cluster: FakeCluster) -> None:
    assert prompt.type(".open") == [f"http://{cluster.nodes[0].address}/"]


class TestRead:
    def test_a_file_runs_in_the_shell(self, prompt: Prompt, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("# a story\nset a 1\nbegin\nset b 2\n")
        assert prompt.type(f".read {script}") == ["OK", "OK", "QUEUED"]
        assert prompt.state is State.BEGIN

    def test_the_first_error_ends_it_and_says_where(self, prompt: Prompt, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("set a x\nincr a\nset a y\n")
        with pytest.raises(CommandError, match="not an integer") as caught:
            prompt.type(f".read {script}")
        assert caught.value.what == f"{script}:2: incr"
        assert exit_code_of(caught.value) == 1
        assert prompt.type("get a") == ['"x"']

    def test_what_cannot_be_read_is_an_error(self, prompt: Prompt, tmp_path: Path) -> None:
        script = tmp_path / "script"
        with pytest.raises(CommandError, match="No such file"):
            prompt.type(f".read {script}")
        script.write_text(f".read {script}\n")
        with pytest.raises(CommandError, match=r"cannot contain \.read"):
            prompt.type(f".read {script}")

    def test_it_may_leave(self, prompt: Prompt, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("set a 1\n.quit\nset a 2\n")
        with pytest.raises(Quit):
            prompt.type(f".read {script}")
        assert not prompt.interpreter.is_reading


class TestWatch:
    @pytest.fixture
    def turns(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Lets time go by at once: what happens in each interval; then Ctrl-C."""

        def turns(*happens: Callable[[], object]) -> None:
            left = list(happens)

            def sleep(seconds: float) -> None:
                assert seconds == 2
                if not left:
                    raise KeyboardInterrupt
                left.pop(0)()

            monkeypatch.setattr("cli.run.repeat.sleep", sleep)

        return turns

    def test_a_command_is_repeated_until_ctrl_c(self, prompt: Prompt, turns: Callable[..., None]) -> None:
        prompt.interpreter.person = lambda question: True
        turns(lambda: None, lambda: None)
        assert prompt.type(".watch 2 incrby visits 5") == ["5", "10", "15", ""]

    def test_in_a_script_ctrl_c_ends_that_too(self, prompt: Prompt, turns: Callable[..., None]) -> None:
        turns()
        with pytest.raises(KeyboardInterrupt):
            prompt.type(".watch 2 ping; set a 1")
        assert prompt.lines == ["PONG"]

    def test_an_error_is_shown_and_it_goes_on(
        self, prompt: Prompt, cluster: FakeCluster, turns: Callable[..., None]
    ) -> None:
        prompt.interpreter.person = lambda question: True
        turns(lambda: cluster.values.update({b"a": b"1"}))
        cluster.values[b"a"] = b"x"
        assert prompt.type(".watch 2 incr a") == [
            "error: incr: value is not an integer or out of range",
            "2",
            "",
        ]

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (".watch 2 nonsense", "unknown command"),
            (".watch 2 get", "wrong number of arguments"),
            (".watch 2 .watch 2 ping", "cannot be repeated"),
            (".watch 2 commit", "cannot be repeated"),
            (".watch 2 .quit", "cannot be repeated"),
            (".watch never ping", "not a number of seconds"),
            (".watch 0 ping", "not a number of seconds"),
            (".watch nan ping", "not a number of seconds"),
            ("begin; .watch 2 get a", "a transaction is open"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, prompt: Prompt, turns: Callable[..., None], line: str, why: str
    ) -> None:
        turns()
        with pytest.raises(RaftdbError, match=why):
            prompt.type(line)


CHANGED = {
    "members": [{"id": "n1", "http": "h:1"}, {"id": "n4", "http": "h:4", "voter": False}],
    "removed": ["n3"],
    "index": 7,
}


class TestMembers:
    @pytest.mark.parametrize(
        ("line", "request_", "sent"),
        [
            (".add n4 http://h:4", ("POST", "/v1/members"), {"id": "n4", "http": "h:4"}),
            (
                ".add n4 h:4 LEARNER force",
                ("POST", "/v1/members"),
                {"id": "n4", "http": "h:4", "learner": True, "force": True},
            ),
            (".remove n3", ("DELETE", "/v1/members/n3"), None),
            (".remove n3 force", ("DELETE", "/v1/members/n3?force=true"), None),
            (".promote n4 force", ("POST", "/v1/members/n4/promote?force=true"), None),
        ],
    )
    def test_members_change(
        self, prompt: Prompt, cluster: FakeCluster, line: str, request_: tuple[str, str], sent: object
    ) -> None:
        leader = cluster.nodes[1]
        leader.script.append(Canned(body=CHANGED))
        shown = prompt.type(line)
        assert [text.split() for text in shown] == [["members", "n1", "n4", "(learner)"], ["removed", "n3"]]
        assert leader.requests[-1] == request_
        assert leader.bodies[-1] == sent

    @pytest.mark.parametrize(("line", "sent"), [(".transfer", {}), (".transfer n3", {"to": "n3"})])
    def test_the_lead_is_handed_over(
        self, prompt: Prompt, cluster: FakeCluster, line: str, sent: object
    ) -> None:
        cluster.nodes[1].script.append(Canned(body={"leader": {"id": "n3", "http": "h:3"}}))
        assert prompt.type(line) == ["leader  n3 h:3"]
        assert cluster.nodes[1].bodies[-1] == sent

    def test_a_person_is_asked_before_a_member_goes(self, prompt: Prompt, cluster: FakeCluster) -> None:
        asked: list[str] = []

        def refuse(question: str) -> bool:
            asked.append(question)
            return False

        prompt.interpreter.person = refuse
        prompt.type(".remove n3")
        assert asked == ["n3 is removed for good, and its id is never used again. Go on?"]
        assert not any(method == "DELETE" for node in cluster.nodes for method, _ in node.requests)

    def test_a_shell_of_up_starts_one_more_and_stops_one_that_is_removed(
        self, prompt: Prompt, cluster: FakeCluster
    ) -> None:
        n4 = {"id": "n4", "http": "h:4", "voter": False}
        cluster.nodes[1].script += [
            Canned(body={"members": [n4], "removed": [], "last_index": 7}),
            Canned(body={"members": [{**n4, "voter": True}], "removed": [], "last_index": 7}),
            Canned(body={"members": [{**n4, "voter": True}], "removed": ["n2"], "last_index": 8}),
        ]
        with pytest.raises(RequestRefused, match="wrong number of arguments") as caught:
            prompt.type(".add")
        assert "only a shell of 'raftdb up' starts nodes itself" in (caught.value.hint or "")
        prompt.interpreter.cluster = FakeControl()
        shown = [line.split() for line in prompt.type(".add; .remove n2")]
        assert shown[:2] == [["members", "n4"], ["removed", "-"]]
        assert shown[2:] == [["members", "n4"], ["removed", "n2"], ["n2", "was", "stopped"]]
        question = DOT_COMMANDS[".remove"].question(prompt.interpreter, ["n2"])
        assert question == "n2 is removed for good with its data, and its id is never used again. Go on?"

    def test_a_word_that_is_not_known_changes_nothing(self, prompt: Prompt, cluster: FakeCluster) -> None:
        for line in (".add n4 h:4 voter", ".remove n3 now", ".promote n4 learner"):
            with pytest.raises(RequestRefused, match="is not known here"):
                prompt.type(line)
        assert not any(node.requests for node in cluster.nodes)
