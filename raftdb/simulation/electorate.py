"""The configurations in every log, and the rules by which one may follow another.

They are collected from the entries alone, independently of the cores. So the oracle knows which configuration each node
has to use, and whose votes and disks make a majority, whatever the node believes (hazards B35 to B41).
"""

from collections.abc import Iterable, Sequence

from raftdb.core.membership import Configuration
from raftdb.core.model import Entry, EntryKind, Index, NodeId
from raftdb.core.state import RaftState
from raftdb.errors import InvariantBroken
from raftdb.wire.configuration import decode_configuration

NONE = (0, Configuration(()))
NO_PAIR = (None, None)


class Electorate:
    """The configurations of all nodes' logs and states."""

    def __init__(self) -> None:
        self._named: dict[NodeId, list[tuple[Index, Configuration]]] = {}
        """The configurations in the log and the state of each node, oldest first."""
        self._equal: dict[NodeId, tuple[Configuration, Configuration]] = {}
        """For each node the configuration that it used last, and the equal one that is kept here."""

    def begins(self, node: NodeId, entries: Iterable[tuple[Index, EntryKind, bytes]]) -> None:
        """Take the entries in a node's log and state, after a start or an installed snapshot."""
        self._named[node] = [
            (index, decode_configuration(data))
            for index, kind, data in entries
            if kind is EntryKind.CONFIGURATION
        ]

    def in_force(self, node: NodeId) -> tuple[Index, Configuration]:
        """The last configuration of a node's log and state, which the node has to use, with its index."""
        named = self._named[node]
        return named[-1] if named else NONE

    def possible_at(self, node: NodeId, commit_index: Index) -> list[tuple[NodeId, ...]]:
        """The voters of each configuration in a node's log that may be, or become, the cluster's committed one."""
        named = self._named[node]
        first = max((index for index, _ in named if index <= commit_index), default=0)
        return [configuration.voters for index, configuration in named if index >= first]

    def truncated(self, node: NodeId, index: Index) -> None:
        """Drop the configurations from `index` on, because the node's log is truncated there (hazard B37)."""
        named = self._named[node]
        while named and named[-1][0] >= index:
            named.pop()

    def appended(self, node: NodeId, entries: Sequence[Entry]) -> None:
        """Take the configurations among new entries. Raises `InvariantBroken` if one may not follow the one before."""
        for entry in entries:
            if entry.kind is EntryKind.CONFIGURATION:
                configuration = decode_configuration(entry.data)
                before_index, before = self.in_force(node)
                if before_index:
                    check_succession(before, configuration)
                self._named[node].append((entry.index, configuration))

    def check(self, node: NodeId, state: RaftState) -> None:
        """Raise `InvariantBroken` unless the node uses the last configuration in its state and log."""
        index, configuration = self.in_force(node)
        latest, latest_index = state.configurations.latest, state.configurations.latest_index
        pair = self._equal.get(node, NO_PAIR)
        # This is called for every step of every node, and mostly with the same objects as for the step before.
        is_known = pair[0] is latest and pair[1] is configuration
        if latest_index != index or (not is_known and latest != configuration):
            raise InvariantBroken(
                f"{node} goes by the configuration {latest} of {latest_index}, not by that of {index}"
            )
        if not is_known:
            self._equal[node] = (latest, configuration)

    def check_leads(self, node: NodeId, commit_index: Index) -> None:
        """Raise `InvariantBroken` if a leader has committed its own removal (thesis 4.2.2; hazard B40)."""
        index, configuration = self.in_force(node)
        if index <= commit_index and node not in configuration.voters:
            raise InvariantBroken(f"{node} leads, and has committed its own removal at {index}")

    def check_made(self, node: NodeId, commit_index: Index, commits_in_own_term: bool) -> None:
        """Check the configuration that a leader has just appended. `commit_index` is that before the step (hazard
        B38)."""
        if not commits_in_own_term:
            raise InvariantBroken(
                f"{node} changes the members, and has committed nothing in its term (the correction of 2015)"
            )
        earlier = self._named[node][-2][0]
        if earlier > commit_index:
            raise InvariantBroken(f"{node} changes the members, and the change {earlier} is not committed")


def check_succession(before: Configuration, after: Configuration) -> None:
    """Raise `InvariantBroken` unless at most one voter changes, removed ids are kept and do not return, and each new
    voter was a learner whose folder is named."""
    if len(set(before.voters) ^ set(after.voters)) > 1:
        raise InvariantBroken(f"more than one voter changes: {before.voters}, {after.voters}")
    gone = set(before.ids).difference(after.ids)
    if set(after.removed) != gone.union(before.removed):
        raise InvariantBroken(f"removed ids are not kept: {before.removed} and {gone}, {after.removed}")
    for member in after.members:
        known = before.find(member.id)
        if member.voter and member.id not in before.voters and (known is None or member.uuid is None):
            raise InvariantBroken(f"{member} votes, and was no learner before, or its folder is not named")
        if known is not None and known.uuid not in (None, member.uuid):
            raise InvariantBroken(f"{member} is another folder than {known}")
