"""What the shell knows of the cluster at a moment, and which of its changes deserve a line. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from raftdb.client.model import NodeStatus

LEADERLESS_MS_TOLD = 3_000
"""Elections take about a second: only a cluster without a leader for longer than this is news by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNews:
    """One node's latest status (None: it does not answer), and how long it took to answer."""

    status: NodeStatus | None
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """The cluster as all nodes together tell it. `leader` is None if no node leads, as far as one can see from here;
    `latency_ms` is how long it took to answer, without a vote or a disk."""

    leader: str | None
    leader_address: str | None
    term: int
    commit_index: int
    nodes_up: int
    nodes: int
    latency_ms: float | None

    @property
    def majority(self) -> int:
        """How many nodes have to be up."""
        return self.nodes // 2 + 1


def view_of(news: Mapping[str, NodeNews]) -> ClusterView:
    """The view that the news of all nodes, by address, make together.

    Two nodes may both say that they lead: the one of the newer term does.
    """
    answers = [(address, item, item.status) for address, item in news.items() if item.status is not None]
    leaders = [answer for answer in answers if answer[2].role == "leader"]
    leaders.sort(key=lambda answer: (-answer[2].term, answer[2].id))
    address, item, status = leaders[0] if leaders else (None, None, None)
    return ClusterView(
        leader=None if status is None else status.id,
        leader_address=address,
        term=max((answer[2].term for answer in answers), default=0),
        commit_index=max((answer[2].commit_index for answer in answers), default=0),
        nodes_up=len(answers),
        nodes=len(news),
        latency_ms=None if item is None else item.latency_ms,
    )


class Announcer:
    """Turns views, one after the other, into lines for people: a new leader, and a cluster without one for long."""

    def __init__(self) -> None:
        self._leader: str | None = None
        self._leaderless_since_ms: float | None = None
        self._told_leaderless = False

    def see(self, view: ClusterView, now_ms: float) -> str | None:
        """The line that `view` deserves, or None. The first leader is no news."""
        if view.leader is None:
            return self._see_none(view, now_ms)
        before, was_told = self._leader, self._told_leaderless
        self._leader = view.leader
        self._leaderless_since_ms = None
        self._told_leaderless = False
        is_same = before in (None, view.leader)
        if is_same and not was_told:
            return None
        instead = "" if is_same else f", in place of {before}"
        return f"{view.leader} leads now{instead} (term {view.term})"

    def _see_none(self, view: ClusterView, now_ms: float) -> str | None:
        if self._leaderless_since_ms is None:
            self._leaderless_since_ms = now_ms
        if self._told_leaderless or now_ms - self._leaderless_since_ms < LEADERLESS_MS_TOLD:
            return None
        self._told_leaderless = True
        if view.nodes_up == 0:
            return "no node answers"
        return f"no leader: {view.nodes_up} of {view.nodes} nodes are up, {view.majority} are needed"
