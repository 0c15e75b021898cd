"""Prompt and bar, the view of the cluster that they show, and what of it is news. On plain values."""

from dataclasses import replace
from typing import Any

import pytest

from cli.prompt.cluster_view import (
    LEADERLESS_ANSWERS_TOLD,
    LEADERLESS_MS_TOLD,
    Announcer,
    ClusterView,
    NodeNews,
    view_of,
)
from cli.prompt.status_line import Fragments, continuation, prompt, toolbar
from cli.run.transactions import Queued, State, Transactions
from raftdb.client.model import Member, NodeStatus
from raftdb.client.sync_client import Client
from raftdb.client.sync_transaction import Transaction

MEMBERS = {
    f"a:{number}": Member(
        id=f"n{number}", http=f"a:{number}", redis=None, voter=number < 4, match_index=None, alive=None
    )
    for number in range(1, 5)
}
DOWN = NodeNews(status=None)


def news(node_id: str, *, role: str = "follower", term: int = 1, commit: int = 0) -> NodeNews:
    fields: dict[str, Any] = dict.fromkeys(
        ("first_index", "last_index", "applied_index", "checkpoint_index", "uptime_seconds"), 0
    )
    status = NodeStatus(
        id=node_id,
        cluster_id="c",
        version="0",
        role=role,
        term=term,
        leader=None,
        commit_index=commit,
        members=(),
        **fields,
    )
    return NodeNews(status=status, latency_ms=float(node_id[1:]))


def text(fragments: Fragments) -> str:
    return "".join(piece for _, piece in fragments)


def writing(key: str) -> Transaction[bytes]:
    transaction = Client("127.0.0.1:1").transaction()
    transaction.set(key, "1")
    return transaction


def view(leader: str | None, *, up: int = 3, term: int = 1, latency_ms: float = 0.84) -> ClusterView:
    return ClusterView(
        leader=leader,
        leader_address=None,
        term=term,
        commit_index=7,
        nodes=3,
        down=("n3", "n2", "n1")[: 3 - up][::-1],
        voters=3,
        voters_up=up,
        latency_ms=None if leader is None else latency_ms,
    )


class TestView:
    def test_it_joins_what_all_nodes_say(self) -> None:
        seen = view_of(
            {"a:1": news("n1", commit=9), "a:2": news("n2", role="leader", term=3), "a:3": DOWN}, MEMBERS
        )
        assert seen == ClusterView(
            leader="n2",
            leader_address="a:2",
            term=3,
            commit_index=9,
            nodes=3,
            down=("n3",),
            voters=3,
            voters_up=2,
            latency_ms=2.0,
        )

    def test_of_two_leaders_the_one_of_the_newer_term_leads(self) -> None:
        seen = view_of(
            {"a:1": news("n1", role="leader", term=3), "a:2": news("n2", role="leader", term=4)}, MEMBERS
        )
        assert (seen.leader, seen.term) == ("n2", 4)

    def test_a_learner_is_no_part_of_a_majority(self) -> None:
        all_nodes = {"a:1": news("n1"), "a:2": news("n2"), "a:3": DOWN, "a:4": news("n4")}
        seen = view_of(all_nodes, MEMBERS)
        assert (seen.nodes, seen.nodes_up, seen.voters, seen.voters_up, seen.majority) == (4, 3, 3, 2, 2)

    def test_who_is_not_heard_by_the_leader_is_cut_off(self) -> None:
        leading = news("n2", role="leader")
        assert leading.status is not None
        heard = {1: True, 2: True, 3: False, 4: False}
        members = tuple(replace(MEMBERS[f"a:{number}"], alive=alive) for number, alive in heard.items())
        leading = replace(leading, status=replace(leading.status, members=members))
        seen = view_of({"a:1": news("n1"), "a:2": leading, "a:3": news("n3"), "a:4": DOWN}, MEMBERS)
        assert (seen.down, seen.parted, seen.nodes_up, seen.voters_up) == (("n4",), ("n3",), 2, 2)
        assert "2 of 4 up (n4 down, n3 cut off)" in text(toolbar(seen, Transactions()))

    def test_no_leader_and_nobody_at_all(self) -> None:
        assert view_of({"a:1": news("n1", role="candidate")}, MEMBERS).leader is None
        nobody = view_of({"a:1": DOWN, "a:2": DOWN}, {})
        assert (nobody.leader, nobody.down, nobody.nodes_up, nobody.majority) == (None, ("a:1", "a:2"), 0, 2)


class TestAnnouncer:
    def test_the_first_leader_and_the_same_again_are_no_news(self) -> None:
        announcer = Announcer()
        assert announcer.see(view("n1"), 0) is None
        assert announcer.see(view("n1", term=2), 500) is None

    def test_a_new_leader_is(self) -> None:
        announcer = Announcer()
        announcer.see(view("n1"), 0)
        assert announcer.see(view(None), 500) is None
        assert announcer.see(view("n3", term=2), 1000) == "n3 leads now, in place of n1 (term 2)"
        assert announcer.see(view("n3", term=2), 1500) is None

    def test_a_cluster_without_a_leader_for_long_is_told_once_and_so_is_its_end(self) -> None:
        announcer = Announcer()
        announcer.see(view("n1"), 0)
        assert announcer.see(view(None, up=1), 100) is None
        line = announcer.see(view(None, up=1), 100 + LEADERLESS_MS_TOLD)
        assert line == "no leader: 1 of 3 nodes are up, 2 are needed"
        assert announcer.see(view(None, up=1), 200 + LEADERLESS_MS_TOLD) is None
        assert announcer.see(view("n1", term=4), 9_000) == "n1 leads now (term 4)"

    def test_so_is_one_that_never_had_one(self) -> None:
        announcer = Announcer()
        announcer.see(view(None, up=0), 0)
        assert announcer.see(view(None, up=0), LEADERLESS_MS_TOLD) == "no node answers"
        assert announcer.see(view("n1"), 9_000) == "n1 leads now (term 1)"

    def test_a_slow_network_is_told_once_and_so_is_its_end(self) -> None:
        """One late answer is none, and neither is the same one seen again with the news of another node."""
        announcer = Announcer()
        told = [
            announcer.see(view("n1", latency_ms=latency_ms), 0)
            for latency_ms in (0.84, 2100.0, 2100.0, 1.0, 2100.0, 2200.0, 2300.0, 90.0, 91.0)
        ]
        assert [line for line in told if line is not None] == [
            "the network is slow: n1, which leads, answers after 2.2 s",
            "the network is not slow any more: n1 answers after 90 ms",
        ]

    def test_on_a_slow_network_an_answer_that_was_lost_is_no_lost_leader(self) -> None:
        announcer = Announcer()
        announcer.see(view("n1"), 0)
        announcer.see(view("n1", latency_ms=2000.0), 0)
        assert announcer.see(view(None, up=2), 100) is None
        assert announcer.see(view(None, up=2), 100 + LEADERLESS_MS_TOLD) is None
        line = announcer.see(view(None, up=2), 100 + LEADERLESS_ANSWERS_TOLD * 2000)
        assert line == "no leader, though 2 of 3 nodes are up: they may not hear each other"


def test_the_bar_calls_a_slow_network_so() -> None:
    shown = text(toolbar(view("n1", latency_ms=2100.0), Transactions()))
    assert shown == " n1 leads · term 1 · commit 7 · 3 of 3 up · slow network: 2100 ms"


@pytest.mark.parametrize(
    ("node", "state", "shown"),
    [
        ("n1", State.IDLE, "n1> "),
        ("n1", State.BEGIN, "n1*> "),
        ("n1", State.MULTI, "n1*> "),
        ("n1", State.DOOMED, "n1!> "),
        (None, State.IDLE, "?> "),
        ("n" * 63, State.IDLE, "n" * 19 + "…> "),
    ],
)
def test_prompts(node: str | None, state: State, shown: str) -> None:
    assert text(prompt(node, state)) == shown


def test_a_block_is_indented_as_far_as_the_prompt() -> None:
    assert text(continuation(len("n1*> "))) == ".... "


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (None, " connecting ..."),
        (view("n2", term=5), " n2 leads · term 5 · commit 7 · 3 of 3 up · 0.8 ms"),
        (view(None, up=1), " no leader · term 1 · commit 7 · 1 of 3 up (n2, n3 down)"),
        (view("n1", up=2), " n1 leads · term 1 · commit 7 · 2 of 3 up (n3 down) · 0.8 ms"),
        (view(None, up=0), " no node answers: commands are tried all the same"),
    ],
)
def test_the_bar_tells_how_the_cluster_is(seen: ClusterView | None, shown: str) -> None:
    assert text(toolbar(seen, Transactions())) == shown


@pytest.mark.parametrize(
    ("transactions", "shown"),
    [
        (Transactions(State.BEGIN, writing("a")), " · 1 write waits for commit"),
        (Transactions(State.BEGIN), " · 0 writes wait for commit"),
        (Transactions(State.MULTI, queued=[Queued("ping", ())] * 2), " · 2 commands wait for exec"),
        (Transactions(State.DOOMED), " · exec will refuse it"),
    ],
)
def test_and_what_an_open_transaction_holds(transactions: Transactions, shown: str) -> None:
    assert text(toolbar(view("n2"), transactions)).endswith(shown)


def test_a_name_that_a_terminal_would_obey_is_escaped() -> None:
    hostile = "n\u202e\x9b2J"
    shown = [*prompt(hostile, State.IDLE), *toolbar(view(hostile), Transactions())]
    assert text(shown).isprintable()
    assert text(shown).startswith("n\\u202e\\x9b2J> ")
