"""`raftdb cluster`: what is asked of the leader, what is shown, and what a person is told who waits in vain."""

import json
from collections.abc import Callable
from io import StringIO

import pytest

from cli.admin import members
from cli.console.failures import CommandError
from cli.console.output import Output
from cli.main import run
from cli.subcommands.cluster import cluster as cluster_command
from cli.subcommands.options import summary_of
from raftdb.client.model import Member, Membership
from raftdb.client.sync_client import Client
from tests.client.fake_node import Canned, FakeCluster, error

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["--connect", cluster.addresses, "--timeout", "5", "cluster", *arguments])
        return code, *capsys.readouterr()

    return call


def member(node_id: str, *, voter: bool = True, **more: object) -> dict[str, object]:
    body = {
        "id": node_id,
        "http": f"127.0.0.1:800{node_id[1:]}",
        "redis": None,
        "voter": voter,
        "alive": True,
    }
    return {**body, **more}


def body_of(*listed: dict[str, object], **more: object) -> dict[str, object]:
    return {"members": list(listed), "removed": [], "last_index": 100, **more}


CHANGED = body_of(member("n1"), member("n4", voter=False), index=7, removed=["n3"])


@pytest.mark.parametrize(
    ("arguments", "request_", "sent"),
    [
        (["add", "n4", "127.0.0.1:8004"], "POST /v1/members", {"id": "n4", "http": "127.0.0.1:8004"}),
        (
            ["add", "n4", "http://127.0.0.1:8004/", "--learner", "--force"],
            "POST /v1/members",
            {"id": "n4", "http": "127.0.0.1:8004", "learner": True, "force": True},
        ),
        (["remove", "n3"], "DELETE /v1/members/n3", None),
        (["remove", "n3", "--force"], "DELETE /v1/members/n3?force=true", None),
        (["promote", "n4"], "POST /v1/members/n4/promote", None),
        (["promote", "n4", "--force"], "POST /v1/members/n4/promote?force=true", None),
        (["address", "n4", "http://h:1"], "POST /v1/members/n4/address", {"http": "h:1"}),
    ],
)
def test_a_change_is_asked_of_the_leader_once(
    cluster: FakeCluster, cli: Cli, arguments: list[str], request_: str, sent: object
) -> None:
    leader = cluster.nodes[1]
    leader.script.append(Canned(body=CHANGED))
    code, out, errors = cli(*arguments)
    assert (code, errors) == (0, "")
    assert out == "members\tn1 n4 (learner)\nremoved\tn3\n"
    assert [f"{method} {path}" for method, path in leader.requests] == [request_]
    assert leader.bodies[-1] == sent


@pytest.mark.parametrize(("arguments", "sent"), [(["transfer"], {}), (["transfer", "n3"], {"to": "n3"})])
def test_the_leadership_is_handed_over(
    cluster: FakeCluster, cli: Cli, arguments: list[str], sent: object
) -> None:
    leader = cluster.nodes[1]
    leader.script.append(Canned(body={"leader": {"id": "n3", "http": "127.0.0.1:8003"}}))
    assert cli(*arguments) == (0, "leader\tn3 127.0.0.1:8003\n", "")
    assert leader.requests == [("POST", "/v1/leader/transfer")]
    assert leader.bodies[-1] == sent


def test_the_members_are_listed(cluster: FakeCluster, cli: Cli) -> None:
    listed = body_of(
        member("n1", match_index=100),
        member("n2", match_index=90, last_contact_seconds=0.0312, suspicion=0.24),
        member("n4", voter=False, joining=True, alive=False, suspicion=100.0, problem="no route to host"),
        member("n5", voter=False),
    )
    cluster.nodes[1].script.append(Canned(body=listed))
    code, out, errors = cli("members", "-o", "table")
    assert code == 0
    assert errors == "n4 is not reached at 127.0.0.1:8004: no route to host\n"
    rows = [line.split() for line in out.splitlines()]
    headers = ["member", "http", "redis", "redis-cluster", "voter", "match", "alive", "contact", "suspicion"]
    assert rows[0] == headers
    assert rows[2] == ["n2", "127.0.0.1:8002", "-", "-", "yes", "90", "yes", "0.03", "s", "0.2"]
    assert rows[3] == ["n4", "127.0.0.1:8004", "-", "-", "joining", "-", "no", "-", "100.0"]
    assert rows[4][4] == "no"
    cluster.nodes[1].script.append(Canned(body=listed))
    code, out, errors = cli("members", "-o", "json")
    assert (json.loads(out), errors) == (listed, "")


def test_a_refusal_says_why(cluster: FakeCluster, cli: Cli) -> None:
    words = "without n3 the cluster has 2 voters and needs 2 of them, but only 1 (n2) would be alive"
    cluster.nodes[1].script.append(error(409, "conflict", words, hint="bring n1 back first"))
    code, out, errors = cli("remove", "n3")
    assert (code, out) == (5, "")
    assert errors == f"raftdb: error: cluster: {words}\nhint: bring n1 back first\n"


def test_a_change_that_is_under_way_is_waited_for(cluster: FakeCluster, cli: Cli) -> None:
    cluster.nodes[1].script += [error(503, "busy", "another change"), Canned(body=CHANGED)]
    assert cli("remove", "n3")[0] == 0
    assert len(cluster.nodes[1].requests) == 2


def test_a_change_that_may_have_been_made_is_not_asked_for_again(cluster: FakeCluster, cli: Cli) -> None:
    for lost in (error(504, "outcome_unknown", "no majority"), Canned(cut=True)):
        cluster.nodes[1].requests.clear()
        cluster.nodes[1].script.append(lost)
        code, _, errors = cli("remove", "n3")
        assert code == 3
        assert "outcome unknown" in errors
        assert [method for method, _ in cluster.nodes[1].requests] == ["DELETE"]


def test_a_node_that_catches_up_is_waited_for(cluster: FakeCluster, cli: Cli) -> None:
    joining = [member("n4", voter=False, joining=True, match_index=held) for held in (0, 50)]
    cluster.nodes[1].script += [
        Canned(202, body_of(joining[0], pending=True)),
        Canned(body=body_of(joining[1])),
        Canned(body=body_of(member("n4", match_index=100))),
    ]
    assert cli("add", "n4", "127.0.0.1:8004")[:2] == (0, "members\tn4\nremoved\t-\n")


def test_a_node_is_replaced_only_when_the_new_one_votes(cluster: FakeCluster, cli: Cli) -> None:
    leader = cluster.nodes[1]
    leader.script += [
        Canned(body=body_of(member("n3"))),
        Canned(202, body_of(member("n3"), member("n4", voter=False, joining=True), pending=True)),
        Canned(body=body_of(member("n3"), member("n4"))),
        Canned(body=body_of(member("n4"), removed=["n3"])),
    ]
    code, out, errors = cli("replace", "n3", "n4", "127.0.0.1:8004")
    assert (code, out) == (0, "members\tn4\nremoved\tn3\n")
    assert "n4 is a voter; n3 is removed now" in errors
    asked = [f"{method} {path}" for method, path in leader.requests]
    assert asked == ["GET /v1/members", "POST /v1/members", "GET /v1/members", "DELETE /v1/members/n3"]


@pytest.mark.parametrize("voter", [True, False])
def test_a_new_node_that_has_joined_by_itself_is_not_added_again(
    cluster: FakeCluster, cli: Cli, voter: bool
) -> None:
    leader = cluster.nodes[1]
    joined = body_of(member("n3"), member("n4", voter=voter))
    rest = [] if voter else [Canned(body=body_of(member("n3"), member("n4")))]
    leader.script += [Canned(body=joined), *rest, Canned(body=body_of(member("n4"), removed=["n3"]))]
    assert cli("replace", "n3", "n4", "http://127.0.0.1:8004")[0] == 0
    assert "POST" not in [method for method, _ in leader.requests]


@pytest.mark.parametrize("voter", [True, False])
def test_a_new_node_that_joins_by_itself_meanwhile_takes_the_place(
    cluster: FakeCluster, cli: Cli, voter: bool
) -> None:
    """It is no member when the command looks, and one when the command adds it."""
    leader = cluster.nodes[1]
    joined = body_of(member("n3"), member("n4", voter=voter))
    rest = [] if voter else [Canned(body=body_of(member("n3"), member("n4")))]
    leader.script += [
        Canned(body=body_of(member("n3"))),
        error(409, "conflict", "n4 is a member already: a voter at 127.0.0.1:8004"),
        Canned(body=joined),
        *rest,
        Canned(body=body_of(member("n4"), removed=["n3"])),
    ]
    code, out, errors = cli("replace", "n3", "n4", "127.0.0.1:8004")
    assert (code, out) == (0, "members\tn4\nremoved\tn3\n"), errors


def test_a_new_node_that_is_elsewhere_takes_no_place(cluster: FakeCluster, cli: Cli) -> None:
    leader = cluster.nodes[1]
    refused = error(409, "conflict", "n4 is a member already: a voter at 127.0.0.1:8004")
    members = Canned(body=body_of(member("n3"), member("n4")))
    leader.script += [members, refused, members]
    code, _, errors = cli("replace", "n3", "n4", "127.0.0.1:9999")
    assert code == 5
    assert "n4 is a member already" in errors
    assert "DELETE" not in [method for method, _ in leader.requests]


def test_who_replaces_a_node_that_is_not_there_adds_nothing(cluster: FakeCluster, cli: Cli) -> None:
    cluster.nodes[1].script.append(Canned(body=body_of(member("n1"))))
    code, _, errors = cli("replace", "n3", "n4", "127.0.0.1:8004")
    assert code == 5
    assert "n3 is not a member" in errors
    assert len(cluster.nodes[1].requests) == 1


def test_a_node_cannot_take_its_own_place(cluster: FakeCluster, cli: Cli) -> None:
    """It would only be removed, for good."""
    code, _, errors = cli("replace", "n3", "n3", "127.0.0.1:8003")
    assert code == 2
    assert "n3 cannot replace itself" in errors
    assert "hint: name another id; if n3 has only moved: 'raftdb cluster address n3 127.0.0.1:8003'" in errors
    assert cluster.nodes[1].requests == []


class Waiting:
    """What a person sees who waits for a node: the answers come one per question, and time passes by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[Membership]) -> None:
        self.now_s = 0.0
        self.text = StringIO()
        client = Client("127.0.0.1:1")
        left = iter(answers[1:])
        monkeypatch.setattr(client, "membership", lambda: next(left, answers[-1]))
        self._client = client
        self._first = answers[0]

    def follow(self) -> Membership:
        return members.follow(
            self._client,
            Output("table", errors=self.text),
            self._first,
            "n4",
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def at(held: int | None, *, alive: bool = True, problem: str | None = None) -> Membership:
    n4 = Member(
        id="n4",
        http="127.0.0.1:8004",
        redis=None,
        voter=False,
        joining=True,
        match_index=held,
        alive=alive,
        problem=problem,
    )
    return Membership(members=(n4,), removed=(), last_index=1000)


def test_progress_is_told_for_as_long_as_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    voter = Membership(
        members=(
            Member(id="n4", http="127.0.0.1:8004", redis=None, voter=True, match_index=1000, alive=True),
        ),
        removed=(),
        last_index=1000,
    )
    waiting = Waiting(monkeypatch, [*(at(held) for held in range(0, 1000, 10)), voter])
    assert waiting.follow() is voter
    lines = waiting.text.getvalue().splitlines()
    assert 20 <= len(lines) <= 30
    assert lines[0] == "n4 is a learner, and holds 40 of 1000 entries (4 %)"


def test_a_node_that_is_not_there_is_given_up_with_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, [at(0, alive=False, problem="connection refused")])
    with pytest.raises(CommandError) as stalled:
        waiting.follow()
    assert members.STALL_S <= waiting.now_s < members.STALL_S + 1
    assert (stalled.value.exit_code, stalled.value.code) == (3, "outcome_unknown")
    assert "but it is not reached at 127.0.0.1:8004: connection refused" in stalled.value.message
    for command in ("serve --id n4 --join", "cluster remove n4", "cluster address n4"):
        assert command in (stalled.value.hint or "")
    assert "not reached at 127.0.0.1:8004: connection refused" in waiting.text.getvalue()


def test_a_node_that_comes_no_further_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, [at(0), at(300)])
    with pytest.raises(CommandError, match="no further than entry 300"):
        waiting.follow()


def test_a_node_that_is_removed_meanwhile_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, [at(0), Membership(members=(), removed=("n4",), last_index=1000)])
    with pytest.raises(CommandError, match="was removed before") as removed:
        waiting.follow()
    assert (removed.value.exit_code, removed.value.code) == (5, "conflict")


@pytest.mark.parametrize("action", cluster_command.commands)
def test_every_action_has_its_help(
    cluster: FakeCluster, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cluster", action, "--help"]) == 0
    assert summary_of(cluster_command.commands[action]) in " ".join(capsys.readouterr().out.split())


def test_the_overview_has_all_actions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cluster", "--help"]) == 0
    text = capsys.readouterr().out
    for name, action in cluster_command.commands.items():
        assert f"{name:<9} {summary_of(action)}" in text


@pytest.mark.parametrize(
    "arguments",
    [[], ["explode"], ["add"], ["add", "n4"], ["remove"], ["replace", "n1", "n2"], ["status", "x"]],
)
def test_wrong_usage_is_2_and_asks_nobody(cluster: FakeCluster, cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments)[0] == 2
    assert not any(node.requests for node in cluster.nodes)


def test_options_stand_before_or_behind_the_action(cluster: FakeCluster, cli: Cli) -> None:
    first = cli("-o", "json", "status")
    assert first[0] == 0
    assert [node["id"] for node in json.loads(first[1])["nodes"]] == ["n1", "n2", "n3"]
    assert json.loads(cli("status", "-o", "json")[1])["nodes"]
