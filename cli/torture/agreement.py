"""Whether the nodes agree, once all faults are healed: by what they say, and at the end by what they have on disk."""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from raftdb.client.model import NodeStatus
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError
from raftdb.server.state_digest import state_digest

RECOVERY_S_MAX = 90.0
"""How long healed nodes may take until all of them agree: far longer than they need, for machines that do much else."""
PERIOD_S = 0.1
STATUS_TIMEOUT_MS = 3_000.0

Statuses = dict[str, NodeStatus | None]


class NotRecovered(Exception):
    """The nodes did not come to agree in time."""


def wait_agreed(
    places: Callable[[], Sequence[tuple[str, str]]], look: Callable[[Collection[str] | None], None]
) -> int:
    """Wait until all nodes name the same leader, are the members, vote, and have applied the same index; returns that
    index.

    `look` is called meanwhile with the ids of the members, as the leader told them, None if nobody leads. Raises
    `NotRecovered`, with what each node said last.
    """
    end_s = time.monotonic() + RECOVERY_S_MAX
    while True:
        statuses = ask_all(places())
        look(_members(statuses))
        index = agreed_index(statuses)
        if index is not None:
            return index
        if time.monotonic() > end_s:
            said = "; ".join(f"{node_id}: {_in_words(status)}" for node_id, status in statuses.items())
            raise NotRecovered(
                f"{RECOVERY_S_MAX:g} s after all was healed the nodes did not agree yet: {said}"
            )
        time.sleep(PERIOD_S)


def agreed_index(statuses: Statuses) -> int | None:
    """The index that all nodes have applied, if all of them answered, and follow one leader in one term."""
    known = [status for status in statuses.values() if status is not None]
    if len(known) < len(statuses) or not known:
        return None
    views = {
        (
            status.term,
            None if status.leader is None else status.leader.id,
            status.commit_index,
            status.applied_index,
        )
        for status in known
    }
    if len(views) != 1:
        return None
    ((_term, leader, commit_index, applied_index),) = views
    voters = {frozenset(member.id for member in status.members if member.voter) for status in known}
    is_whole = voters == {frozenset(statuses)} and _members(statuses) == set(statuses)
    return applied_index if is_whole and leader in statuses and commit_index == applied_index else None


def _members(statuses: Statuses) -> set[str] | None:
    """The ids of all members, as whoever leads in the highest term says; None if nobody does."""
    leading = [status for status in statuses.values() if status is not None and status.role == "leader"]
    if not leading:
        return None
    return {member.id for member in max(leading, key=lambda status: status.term).members}


def digests(folders: dict[str, Path], index: int) -> dict[str, str]:
    """The digest of the state of each stopped node at `index`, or why it has none."""
    found = {}
    for node_id, data in folders.items():
        try:
            found[node_id] = state_digest(data, index)
        except RaftdbError as error:
            found[node_id] = f"none: {error.message}"
    return found


def ask_all(places: Sequence[tuple[str, str]]) -> Statuses:
    """What each node says of itself, by id; None if it does not answer, or another node does."""
    statuses: Statuses = {}
    with Client([address for _, address in places], sessions=False) as client:
        for node_id, address in places:
            try:
                status = client.status(address, timeout_ms=STATUS_TIMEOUT_MS)
                statuses[node_id] = status if status.id == node_id else None
            except RaftdbError:
                statuses[node_id] = None
    return statuses


def _in_words(status: NodeStatus | None) -> str:
    if status is None:
        return "no answer"
    leader = "none" if status.leader is None else status.leader.id
    applied = f"applied {status.applied_index} of {status.commit_index}"
    return f"{status.role}, term {status.term}, leader {leader}, {applied}"
