"""Showing the oracle every step of a replica's core, not only whole turns."""

from raftdb.core import invariants
from raftdb.core.events import Event, ReadRequested
from raftdb.core.model import NodeId
from raftdb.core.update import Update
from raftdb.node.replica import Replica
from raftdb.simulation.oracle import Oracle


def observe(replica: Replica, oracle: Oracle, node: NodeId) -> None:
    """Let the oracle check the state of this core after every step."""
    raft = replica.raft
    plain_step, snapshot = raft.step, invariants.snapshot

    def step(event: Event) -> Update:
        state = raft.state
        before, persisted_index = snapshot(state), state.log.persisted_index
        if isinstance(event, ReadRequested):
            oracle.asked(node, event.request_ids)
        update = plain_step(event)
        oracle.stepped(node, before, persisted_index, state, update)
        return update

    raft.step = step  # type: ignore[method-assign]
