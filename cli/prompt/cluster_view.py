"""The shell's view of the cluster, and the lines that it prints about changes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from raftdb.client.model import Member, NodeStatus
from raftdb.client.pace import SLOW_MS

SLOW_ANSWERS_TOLD = 2
"""Slow answers in a row after which the network counts as slow, because one answer may be late by chance."""
LEADERLESS_MS_TOLD = 3_000
"""A cluster without a leader is reported after this time, because elections take about a second."""
LEADERLESS_ANSWERS_TOLD = 5
"""On a slow network it is reported after this many times the last leader's answer, because answers may be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNews:
    """One node's latest status (None: it does not answer), and how long the answer took."""

    status: NodeStatus | None
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """The cluster by the answers of all nodes. `leader` is None if no node says that it leads; `latency_ms` is how long
    the leader took to answer for its status. `down` has the nodes that do not answer, by id, sorted; `parted`
    those that do, but are not heard by the leader. A majority is counted among the `voters`, without learners."""

    leader: str | None
    leader_address: str | None
    term: int
    commit_index: int
    nodes: int
    down: tuple[str, ...]
    voters: int
    voters_up: int
    latency_ms: float | None
    parted: tuple[str, ...] = ()

    @property
    def nodes_up(self) -> int:
        """The number of nodes that answer, and that the leader hears if there is one."""
        return self.nodes - len(self.down) - len(self.parted)

    @property
    def is_slow(self) -> bool:
        """True if the leader's status takes so long that the network to it must be slow."""
        return self.latency_ms is not None and self.latency_ms >= SLOW_MS

    @property
    def majority(self) -> int:
        """The number of voters that have to be up."""
        return self.voters // 2 + 1


def view_of(news: Mapping[str, NodeNews], members: Mapping[str, Member]) -> ClusterView:
    """The view from the news of all nodes, by address. `members` has the known members, by address.

    If two nodes say that they lead, the one of the newer term counts.
    """
    answers = [(address, item, item.status) for address, item in news.items() if item.status is not None]
    leaders = [answer for answer in answers if answer[2].role == "leader"]
    leaders.sort(key=lambda answer: (-answer[2].term, answer[2].id))
    address, item, status = leaders[0] if leaders else (None, None, None)
    down = [name for name, silent in news.items() if silent.status is None]
    unheard = () if status is None else tuple(one.id for one in status.members if one.alive is False)
    parted = {name for name, _, answer in answers if answer.id in unheard}
    voters = [name for name in news if name not in members or members[name].voter]
    return ClusterView(
        leader=None if status is None else status.id,
        leader_address=address,
        term=max((answer[2].term for answer in answers), default=0),
        commit_index=max((answer[2].commit_index for answer in answers), default=0),
        nodes=len(news),
        down=tuple(sorted(members[name].id if name in members else name for name in down)),
        voters=len(voters),
        voters_up=sum(name not in down and name not in parted for name in voters),
        latency_ms=None if item is None else item.latency_ms,
        parted=tuple(sorted(answer.id for name, _, answer in answers if name in parted)),
    )


def in_seconds(milliseconds: float) -> str:
    """A time in seconds, for people."""
    return f"{milliseconds / 1000:.1f} s"


class Announcer:
    """Turns successive views into lines for people: about a new leader, a cluster without one for long, and a network
    that is slow, or no longer slow."""

    def __init__(self) -> None:
        self._latency_ms: float | None = None
        self._slow_answers = 0
        self._told_slow = False
        self._leader: str | None = None
        self._leaderless_since_ms: float | None = None
        self._told_leaderless = False

    def see(self, view: ClusterView, now_ms: float) -> str | None:
        """The line about a change in `view`; None if there is none. The first leader is not reported."""
        if view.leader is None:
            return self._see_none(view, now_ms)
        before, was_told = self._leader, self._told_leaderless
        self._leader = view.leader
        self._leaderless_since_ms = None
        self._told_leaderless = False
        is_same = before in (None, view.leader)
        if is_same and not was_told:
            return self._see_pace(view)
        instead = "" if is_same else f", in place of {before}"
        return f"{view.leader} leads now{instead} (term {view.term})"

    def _see_pace(self, view: ClusterView) -> str | None:
        """The line about a change of the network's speed, or None. Views come with the news of any node, so each answer
        of the leader is counted only once."""
        if view.latency_ms is None or view.latency_ms == self._latency_ms:
            return None
        self._latency_ms = view.latency_ms
        self._slow_answers = self._slow_answers + 1 if view.is_slow else 0
        if not self._told_slow and self._slow_answers >= SLOW_ANSWERS_TOLD:
            self._told_slow = True
            return f"the network is slow: {view.leader}, which leads, answers after {in_seconds(view.latency_ms)}"
        if self._told_slow and self._slow_answers == 0:
            self._told_slow = False
            return f"the network is not slow any more: {view.leader} answers after {view.latency_ms:.0f} ms"
        return None

    def _see_none(self, view: ClusterView, now_ms: float) -> str | None:
        if self._leaderless_since_ms is None:
            self._leaderless_since_ms = now_ms
        told_after_ms = max(LEADERLESS_MS_TOLD, LEADERLESS_ANSWERS_TOLD * (self._latency_ms or 0.0))
        if self._told_leaderless or now_ms - self._leaderless_since_ms < told_after_ms:
            return None
        self._told_leaderless = True
        if view.nodes_up == 0:
            return "no node answers"
        if view.voters_up >= view.majority:
            return f"no leader, though {view.voters_up} of {view.voters} nodes are up: they may not hear each other"
        return f"no leader: {view.voters_up} of {view.voters} nodes are up, {view.majority} are needed"
