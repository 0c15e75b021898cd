"""What nodes have said and do not know any more: those whose folder was put back to an older copy (hazard B108).

The disk that was replaced is kept here. It counts for what the node said from it, with a leader that has not met the
node since. A leader that has counts the present disk instead, and that is in doubt: what is said from it may contradict
what is forgotten. It is over once a committed configuration names a start since. Until then every election and every
commit must be decided by enough others to meet each majority that the forgotten disk can have been part of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from raftdb.core.membership import Configuration
from raftdb.core.model import NO_START, NodeId
from raftdb.core.quorum import majority
from raftdb.core.state import RaftState
from raftdb.errors import InvariantBroken
from raftdb.simulation.shadow import Shadow


@dataclass(slots=True)
class Forgotten:
    """What a disk held before an older copy took its place, and the nonces of the starts since."""

    shadow: Shadow
    nonces: set[str] = field(default_factory=set)
    is_in_doubt: bool = True
    """Until a committed configuration names one of these starts."""

    def is_known_to(self, state: RaftState, node: NodeId) -> bool:
        """True if a node with this state has met `node` since."""
        return state.starts.get(node, NO_START).nonce in self.nonces


class Forgetting:
    """See the module. `witnesses`: the disk that counts of each node, kept up to date by the caller."""

    def __init__(self, witnesses: Mapping[NodeId, Shadow]) -> None:
        self._witnesses = witnesses
        self._forgotten: dict[NodeId, Forgotten] = {}

    def put_back(self, node: NodeId, shadow: Shadow) -> None:
        """A node's disk, which held what `shadow` says, is an older copy of itself from now on."""
        self._forgotten[node] = Forgotten(shadow)

    def introduced(self, node: NodeId, nonce: str) -> None:
        """A node has numbered a start: it is another one than those of which it has forgotten what they said."""
        if node in self._forgotten:
            self._forgotten[node].nonces.add(nonce)

    def named(self, configuration: Configuration) -> None:
        """A configuration is committed: it is younger than all that was said before the starts that it names."""
        for node, gone in self._forgotten.items():
            member = configuration.find(node)
            if member is not None and member.start is not None and member.start.nonce in gone.nonces:
                gone.is_in_doubt = False

    def who(
        self, voters: Sequence[NodeId], state: RaftState, holds: Callable[[Shadow], bool]
    ) -> list[NodeId]:
        """The voters of which a disk holds what this leader counts: the one that each has, or the one that is
        forgotten, for as long as the leader has not met the node since."""
        found = []
        for voter in voters:
            gone, disk = self._forgotten.get(voter), self._witnesses.get(voter)
            if gone is not None and not gone.is_known_to(state, voter):
                disk = gone.shadow
            if disk is not None and holds(disk):
                found.append(voter)
        return found

    def check(self, state: RaftState, voters: Sequence[NodeId], counted: Sequence[NodeId]) -> None:
        """Raise `InvariantBroken` unless those `counted` who forgot nothing meet every majority of `voters`."""
        doubted = [
            node
            for node, gone in sorted(self._forgotten.items())
            if gone.is_in_doubt and gone.is_known_to(state, node)
        ]
        sound = [voter for voter in voters if voter in counted and voter not in doubted]
        if len(voters) - len(sound) >= majority(voters):
            raise InvariantBroken(
                f"{state.id} decides in term {state.term} with {counted}, but {doubted} have forgotten what they said"
            )
