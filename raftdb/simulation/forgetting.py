"""What nodes have forgotten that they said, because their folder was put back to an older copy (hazard B108).

The disk that was replaced is kept here. For a leader that has not met the node since, that disk counts. For a leader
that has, the present disk counts, and it is in doubt, because its answers may contradict the forgotten ones. The doubt
ends when a committed configuration names a start since then. Until then every election and every commit needs enough
other nodes to overlap with each majority that the forgotten disk may have been part of.
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
    """The disk that an older copy has replaced, and the nonces of the starts since."""

    shadow: Shadow
    nonces: set[str] = field(default_factory=set)
    is_in_doubt: bool = True
    """True until a committed configuration names one of these starts."""

    def is_known_to(self, state: RaftState, node: NodeId) -> bool:
        """True if a node with this state has met `node` since."""
        return state.starts.get(node, NO_START).nonce in self.nonces


class Forgetting:
    """The forgotten disks of all nodes. `witnesses` has the disk of each node that counts; the caller updates it."""

    def __init__(self, witnesses: Mapping[NodeId, Shadow]) -> None:
        self._witnesses = witnesses
        self._forgotten: dict[NodeId, Forgotten] = {}

    def put_back(self, node: NodeId, shadow: Shadow) -> None:
        """Keep the disk of a node, as `shadow` has it, because it is replaced by an older copy."""
        self._forgotten[node] = Forgotten(shadow)

    def introduced(self, node: NodeId, nonce: str) -> None:
        """Note a new start of a node whose disk was replaced."""
        if node in self._forgotten:
            self._forgotten[node].nonces.add(nonce)

    def named(self, configuration: Configuration) -> None:
        """End the doubts about nodes of which a committed configuration names a new start."""
        for node, gone in self._forgotten.items():
            member = configuration.find(node)
            if member is not None and member.start is not None and member.start.nonce in gone.nonces:
                gone.is_in_doubt = False

    def who(
        self, voters: Sequence[NodeId], state: RaftState, holds: Callable[[Shadow], bool]
    ) -> list[NodeId]:
        """The voters for which `holds` is true of the disk that counts for this leader: the present one, or the
        forgotten one if the leader has not met the node since."""
        found = []
        for voter in voters:
            gone, disk = self._forgotten.get(voter), self._witnesses.get(voter)
            if gone is not None and not gone.is_known_to(state, voter):
                disk = gone.shadow
            if disk is not None and holds(disk):
                found.append(voter)
        return found

    def check(self, state: RaftState, voters: Sequence[NodeId], counted: Sequence[NodeId]) -> None:
        """Raise `InvariantBroken` unless the nodes in `counted` that forgot nothing overlap with every majority of
        `voters`."""
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
