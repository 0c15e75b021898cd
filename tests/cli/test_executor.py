"""Transactions as they are typed: what is answered, and what becomes of the keys. The cluster is a fake one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.console.failures import Interrupted
from cli.line.words import WORDS, ShellCommand
from cli.main import run
from cli.run.transactions import State
from raftdb.client.sync_client import Client
from raftdb.errors import Conflict, OutcomeUnknown, RaftdbError, ReplyError, RequestRefused, Unavailable
from tests.cli.prompt import Prompt
from tests.client.fake_node import LOSE_REPLY, FakeCluster

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def other(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses) as client:
        yield client


class TestBegin:
    def test_reads_are_answered_at_once_and_writes_with_the_commit(
        self, prompt: Prompt, cluster: FakeCluster
    ) -> None:
        prompt.type("set a 1")
        assert prompt.type("begin; get a; set a 2; get a; incr a; strlen a; mget a b") == [
            "OK",
            '"1"',
            "QUEUED",
            '"2"',
            "QUEUED",
            "1",
            '1) "3"',
            "2) (nil)",
        ]
        assert cluster.values == {b"a": b"1"}
        assert prompt.type("commit") == [f"OK (index {len(cluster.log)})"]
        assert cluster.values == {b"a": b"3"}
        assert prompt.state is State.IDLE

    def test_rollback_forgets(self, prompt: Prompt, cluster: FakeCluster) -> None:
        assert prompt.type("begin; set a 2; rollback; get a") == ["OK", "QUEUED", "OK", '""']
        assert cluster.values == {}

    def test_a_conflict_names_the_key_and_changes_nothing(
        self, prompt: Prompt, cluster: FakeCluster, other: Client
    ) -> None:
        prompt.type("set a 1; begin; get a; set a 2; set b 2")
        other.set("a", "9")
        with pytest.raises(Conflict) as caught:
            prompt.type("commit")
        assert prompt.lines == ["CONFLICT a"]
        assert caught.value.message == "nothing was changed: a key has changed since it was read"
        assert cluster.values == {b"a": b"9"}
        assert prompt.state is State.IDLE

    def test_what_was_only_written_conflicts_with_nobody(
        self, prompt: Prompt, cluster: FakeCluster, other: Client
    ) -> None:
        prompt.type("begin; incr a")
        other.set("a", "9")
        prompt.type("commit")
        assert cluster.values == {b"a": b"10"}

    def test_show_tells_what_was_read_and_what_waits(self, prompt: Prompt) -> None:
        assert prompt.type("begin; show") == ["OK", "(nothing yet)"]
        prompt.type('get a; set b "x y"')
        assert [line.split() for line in prompt.type("show")] == [
            ["what", "revision"],
            ["read", "a", "-"],
            ["write", "set", "b", '"x', 'y"'],
        ]

    @pytest.mark.parametrize("line", ["scan", "keys a", "dbsize"])
    def test_ranges_are_refused_with_a_reason(self, prompt: Prompt, line: str) -> None:
        with pytest.raises(RequestRefused, match="others add meanwhile") as caught:
            prompt.type(f"begin; {line}")
        assert "before begin" in (caught.value.hint or "")
        assert prompt.state is State.BEGIN

    def test_a_write_that_would_fail_is_refused_and_not_kept(self, prompt: Prompt) -> None:
        with pytest.raises(ReplyError):
            prompt.type("begin; set a x; incr a")
        assert prompt.type("show")[1:] == ["write  set a x"]

    def test_a_commit_without_a_leader_may_be_tried_again(self, prompt: Prompt, cluster: FakeCluster) -> None:
        prompt.type("begin; set a 1")
        cluster.leader = None
        with pytest.raises(Unavailable):
            prompt.type("commit")
        assert prompt.state is State.BEGIN
        cluster.leader = 2
        prompt.type("commit")
        assert cluster.values == {b"a": b"1"}

    def test_a_commit_whose_answer_is_lost_happens_once(self, prompt: Prompt, cluster: FakeCluster) -> None:
        """B53"""
        prompt.type("set other 1; begin; incr a")
        cluster.nodes[1].script = [LOSE_REPLY]
        assert prompt.type("commit")[0].startswith("OK (index ")
        assert cluster.values[b"a"] == b"1"

    def test_a_commit_of_which_nobody_knows_is_never_repeated_by_itself(self, cluster: FakeCluster) -> None:
        with Client(cluster.addresses, timeout_ms=2_000, sessions=False) as client:
            prompt = Prompt(client)
            prompt.type("begin; incr a")
            cluster.nodes[1].script = [LOSE_REPLY]
            with pytest.raises(OutcomeUnknown):
                prompt.type("commit")
        assert prompt.state is State.IDLE
        assert cluster.values == {b"a": b"1"}

    def test_an_empty_one_has_nothing_to_do(self, prompt: Prompt) -> None:
        assert prompt.type("begin; commit") == ["OK", "OK (there was nothing to do)"]


class TestMulti:
    def test_commands_are_queued_and_run_as_one(self, prompt: Prompt, cluster: FakeCluster) -> None:
        entries = len(cluster.log)
        assert prompt.type("multi; set a 1; incr a; get a; exec") == [
            "OK",
            "QUEUED",
            "QUEUED",
            "QUEUED",
            "1) OK",
            "2) 2",
            '3) "2"',
        ]
        assert len(cluster.log) == entries + 2  # a session, and all of it
        assert prompt.type("multi; exec") == ["OK", "(empty list)"]

    def test_an_error_stands_in_its_place_and_the_others_run(
        self, prompt: Prompt, cluster: FakeCluster
    ) -> None:
        prompt.type("set a x; multi; incr a; set b 1; exec")
        assert prompt.lines[-2:] == ["1) (error) value is not an integer or out of range", "2) OK"]
        assert cluster.values == {b"a": b"x", b"b": b"1"}

    def test_an_atomic_one_does_nothing_then(self, prompt: Prompt, cluster: FakeCluster) -> None:
        prompt.type("set a x; multi atomic; set b 1; incr a")
        with pytest.raises(ReplyError) as caught:
            prompt.type("exec")
        assert caught.value.failed_command == 1
        assert cluster.values == {b"a": b"x"}
        assert prompt.state is State.IDLE

    @pytest.mark.parametrize("typed", ["incr", "decr", "INCR"])
    def test_a_command_that_fails_is_called_what_it_was_called(self, prompt: Prompt, typed: str) -> None:
        prompt.type(f"set a x; multi atomic; set b 1; {typed} a; show")
        assert prompt.lines[-1] == f"queued  {typed} a"
        with pytest.raises(ReplyError) as caught:
            prompt.type("exec")
        assert caught.value.message == f"command 2 ({typed}): value is not an integer or out of range"

    @pytest.mark.parametrize("line", ["nonsense", "set a", "incrby a x"])
    def test_what_cannot_be_queued_makes_exec_refuse(
        self, prompt: Prompt, cluster: FakeCluster, line: str
    ) -> None:
        with pytest.raises(RequestRefused) as caught:
            prompt.type(f"multi; set a 1; {line}")
        assert (caught.value.hint or "").endswith("exec will refuse what is queued; discard forgets it")
        assert prompt.type("set b 1") == ["QUEUED"]
        with pytest.raises(ReplyError, match="EXECABORT"):
            prompt.type("exec")
        assert cluster.values == {}
        assert prompt.type("set b 1") == ["OK"]

    def test_a_watched_key_that_changes_makes_exec_answer_nil(
        self, prompt: Prompt, cluster: FakeCluster, other: Client
    ) -> None:
        prompt.type("set a 1; watch a missing; multi; set a 2")
        other.delete("a")
        other.set("a", "1")
        with pytest.raises(Conflict) as caught:
            prompt.type("exec")
        assert prompt.lines == ["(nil)"]
        assert caught.value.keys == (b"a",)
        assert cluster.values == {b"a": b"1"}
        assert prompt.type("multi; set a 3; exec")[-1] == "1) OK"

    def test_own_writes_count_too_and_unwatch_forgets(self, prompt: Prompt, cluster: FakeCluster) -> None:
        prompt.type("watch a; set a 1; multi; set a 2")
        with pytest.raises(Conflict):
            prompt.type("exec")
        prompt.type("watch a; set a 1; unwatch; multi; set a 2; exec")
        assert cluster.values == {b"a": b"2"}

    def test_a_key_that_is_watched_twice_is_watched_since_the_first_time(
        self, prompt: Prompt, other: Client
    ) -> None:
        prompt.type("watch a")
        other.set("a", "1")
        with pytest.raises(Conflict):
            prompt.type("watch a; multi; exec")

    def test_show_tells_what_is_watched_and_queued(self, prompt: Prompt) -> None:
        prompt.type("watch a; multi; set b 1")
        assert [line.split() for line in prompt.type("show")][1:] == [
            ["watched", "a", "-"],
            ["queued", "set", "b", "1"],
        ]


def test_json_has_all_of_it(client: Client, other: Client, cluster: FakeCluster) -> None:
    prompt = Prompt(client, "json")
    prompt.type('set a "\\xff"; begin; get a; set b 1; show; commit')
    ok, begun, read, queued, shown, committed = map(json.loads, prompt.lines)
    assert ok["result"] == "OK"
    assert (begun, read, queued) == ({"result": "OK"}, {"result": {"base64": "/w=="}}, {"result": "QUEUED"})
    assert shown == {
        "read": [{"key": "a", "revision": cluster.state.revisions[b"a"]}],
        "write": [{"command": "set", "args": ["b", "1"]}],
    }
    assert committed == {"result": "OK", "index": len(cluster.log)}
    prompt.type("begin; get a; set a 2")
    other.set("a", "1")
    with pytest.raises(Conflict):
        prompt.type("commit")
    assert [json.loads(line) for line in prompt.lines] == [{"results": None, "conflict": ["a"]}]


class TestScripts:
    @pytest.fixture(autouse=True)
    def _use(self, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAFTDB_URL", cluster.addresses)

    def test_a_commit_is_a_line(self, cluster: FakeCluster, capsys: Capture) -> None:
        assert run(["shell", "-c", "begin; get a; set a 1; commit"]) == 0
        index = next(entry["index"] for entry in cluster.log if entry["kind"] == "transaction")
        assert capsys.readouterr() == (f"OK\n\nQUEUED\nOK {index}\n", "")

    def test_a_conflict_has_its_exit_code(self, capsys: Capture) -> None:
        assert run(["shell", "-c", "watch a; set a 1; multi; set a 2; exec; set b 1"]) == 5
        captured = capsys.readouterr()
        assert captured.out == "OK\nOK\nOK\nQUEUED\n\n"
        assert captured.err == (
            "raftdb: error: exec: nothing was changed: a key has changed since it was watched\n"
            "hint: watch again, and read again\n"
        )

    def test_a_transaction_that_is_open_in_the_end_is_an_error(
        self, cluster: FakeCluster, capsys: Capture
    ) -> None:
        assert run(["shell", "-c", "begin; set a 1"]) == 1
        assert capsys.readouterr().err == (
            "raftdb: error: begin: the script ended in the middle of its transaction, of which nothing happened\n"
        )
        assert run(["shell", "-c", "multi; set a 1; .quit"]) == 1
        assert capsys.readouterr().err.startswith("raftdb: error: multi: the script ended")
        assert cluster.values == {}

    def test_an_error_in_one_ends_script_and_transaction(self, cluster: FakeCluster, capsys: Capture) -> None:
        assert run(["shell", "-c", "begin; set a 1; scann; commit"]) == 2
        first, _, second = capsys.readouterr().err.splitlines()
        assert first == "raftdb: error: scann: unknown command"
        assert second.startswith("raftdb: error: begin: the script ended")
        assert cluster.values == {}

    def test_keeping_going_a_doomed_multi_does_nothing(self, cluster: FakeCluster) -> None:
        assert run(["shell", "--keep-going", "-c", "multi; set a 1; nonsense; exec; set b 1"]) == 2
        assert cluster.values == {b"b": b"1"}


@pytest.mark.parametrize(
    "word", [word for word in WORDS.values() if word.examples], ids=lambda word: word.name
)
def test_the_examples_of_help_are_true(prompt: Prompt, word: ShellCommand) -> None:
    for example in word.examples:
        assert prompt.type(example.line) == example.reply.split("\n")


def test_a_refusal_is_one_of_ours(prompt: Prompt) -> None:
    for line in ("commit", "exec", "discard", "rollback", "show", "multi now"):
        with pytest.raises(RaftdbError) as caught:
            prompt.type(line)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("before", "line", "may_have_changed"),
    [
        ("", "get a", False),
        ("", "scan", False),
        ("", "set a 1", True),
        ("", ".status", False),
        ("", ".transfer n1", True),
        ("", ".read script", True),
        ("watch b", "multi; set a 1; exec", True),
        ("", "watch a", False),
        ("begin", "get a", False),
        ("begin; set a 1", "commit", True),
        ("", ".watch 1 incr a", True),
        ("", ".watch 1 get a", False),
    ],
)
def test_only_what_may_have_changed_something_is_warned_of(
    client: Client,
    prompt: Prompt,
    before: str,
    line: str,
    may_have_changed: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "script").write_text("incr a")
    monkeypatch.chdir(tmp_path)
    prompt.type(before)
    with monkeypatch.context() as patch:
        patch.setattr(client, "_own_calls", interrupt)
        with pytest.raises(Interrupted) as caught:
            prompt.type(line)
    assert caught.value.may_have_changed == may_have_changed
