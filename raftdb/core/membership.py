"""Who is in the cluster: configurations, and how they follow the log (thesis 4.1).

A configuration is an entry of the log. It counts from the moment it is appended, committed or not, and goes back
when the entry is truncated (hazard B37); so a node always follows the latest one in its log. The first entry of
every log is the configuration that the cluster was bootstrapped with, the same on each first member; a node that
joins later has none until the leader sends it the log. `changes` says which configuration may follow which.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from raftdb.core.block import Block, entries_of
from raftdb.core.model import EntryKind, Index, Member, NodeId

MEMBERS_MAX = 64
"""Most members of a cluster, learners counted."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members at one point of the log, sorted by id, and the ids that were members before, sorted.

    A removed id is never a member again: what was promised, or forgotten, under it belongs to a node that is gone
    (hazard B41). The ids are here and nowhere else, so they are wherever the configuration is: in the log, in the
    state, in every snapshot.
    """

    members: tuple[Member, ...]
    removed: tuple[NodeId, ...] = ()
    birth: str | None = None
    """A random name for the life of the cluster; None until its first leader has written it down. Folders that are made
    anew at the old addresses make a cluster with the same members but another life."""

    def __post_init__(self) -> None:
        ids = [member.id for member in self.members]
        if ids != sorted(set(ids)):
            raise ValueError(f"members are not unique and sorted by id: {ids}")
        if list(self.removed) != sorted(set(self.removed).difference(ids)):
            raise ValueError(f"removed ids are not unique and sorted, or still members: {self.removed}")

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """Ids of the members that vote and count, sorted."""
        return tuple(member.id for member in self.members if member.voter)

    @property
    def ids(self) -> tuple[NodeId, ...]:
        """Ids of all members, sorted."""
        return tuple(member.id for member in self.members)

    def find(self, node: NodeId) -> Member | None:
        """The member with that id, or None."""
        return next((member for member in self.members if member.id == node), None)


class Form(NamedTuple):
    """How a configuration is encoded as the data of its entry, in at most `bytes_max` bytes. It is injected, because
    the core knows the meaning of a configuration but not its encoding."""

    encode: Callable[[Configuration], bytes]
    decode: Callable[[bytes], Configuration]
    bytes_max: int


class ConfigurationHistory:
    """The configurations of the log by index: the latest is in force, earlier ones are what truncation returns to."""

    def __init__(self, form: Form, recovered: Iterable[tuple[Index, Configuration]]) -> None:
        self.form = form
        self._history = list(recovered)
        self._refresh()

    def _refresh(self) -> None:
        """Compute the values that are needed for every message once per change."""
        self.latest = self._history[-1][1] if self._history else Configuration(())
        self.latest_index = self._history[-1][0] if self._history else 0
        self.voters = self.latest.voters
        self.ids = self.latest.ids
        self._found = {member.id: member for _, one in self._history for member in one.members}

    def appended(self, blocks: Iterable[Block]) -> bool:
        """Take up the configurations in blocks just appended; True if there was one."""
        named = [block for block in blocks if block.kind is EntryKind.CONFIGURATION]
        found = [(entry.index, self.form.decode(entry.data)) for entry in entries_of(named)]
        if found:
            self._history.extend(found)
            self._refresh()
        return bool(found)

    def truncated_from(self, index: Index) -> bool:
        """Go back to what was in force before `index`; True if that changed anything."""
        kept = [item for item in self._history if item[0] < index]
        if len(kept) == len(self._history):
            return False
        self._history = kept
        self._refresh()
        return True

    def reset(self, index: Index, data: bytes) -> None:
        """Begin anew with the configuration that a snapshot carries; uncommitted ones are gone with the log (B35)."""
        self._history = [(index, self.form.decode(data))]
        self._refresh()

    def compacted_to(self, index: Index) -> None:
        """Forget what was in force before the one at `index`: nothing there is ever truncated."""
        committed = [item for item in self._history if item[0] <= index]
        self._history = committed[-1:] + [item for item in self._history if item[0] > index]
        self._refresh()

    def committed_at(self, commit_index: Index) -> tuple[Index, Configuration]:
        """The last configuration at or below `commit_index`: the one a snapshot carries (hazard B35)."""
        committed = [item for item in self._history if item[0] <= commit_index]
        return committed[-1] if committed else (0, Configuration(()))

    def possible_at(self, commit_index: Index) -> list[Configuration]:
        """The configurations that may turn out to be the cluster's, given that `commit_index` is committed: the last
        committed one, and all after it."""
        first = self.committed_at(commit_index)[0]
        return [configuration for index, configuration in self._history if index >= first]

    def find(self, node: NodeId) -> Member | None:
        """The member with that id in the latest configuration that has one: also of a node just removed."""
        return self._found.get(node)
