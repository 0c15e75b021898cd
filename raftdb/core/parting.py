"""How removed members learn of it (thesis 4.2.2).

A removed node gets no more messages from later leaders, and would go on asking for votes for ever. So the leader that
removes it keeps sending it the log, until the node has answered a heartbeat that told it that its removal is committed.
The leader does so for a bounded time only, for a removed node is often a dead one; a node that misses it learns of its
removal from the peers, which refuse it by name. It never counts for anything, and disturbs nobody: no living leader's
followers listen to a candidate (thesis 6.2).
"""

from raftdb.core import timing
from raftdb.core.model import NodeId
from raftdb.core.state import Leadership, RaftState

PARTING_TIMEOUTS = 10
"""Election timeouts for which a removed node that answers gets the log."""


def note_round(state: RaftState, leadership: Leadership) -> None:
    """A heartbeat round begins: note for which removed nodes it is the first to tell them that their removal is
    committed."""
    for node, parting in leadership.parting.items():
        told = min(state.commit_index, leadership.progress[node].match_index)
        if parting.round is None and told >= parting.index:
            parting.round = leadership.round


def answered(state: RaftState, leadership: Leadership, node: NodeId, round_: int) -> None:
    """A node has answered a heartbeat: if it knows of its removal now, stop sending to it."""
    parting = leadership.parting.get(node)
    if parting is not None and parting.round is not None and round_ >= parting.round:
        _forget(state, leadership, node, "knows")


def tick(state: RaftState, leadership: Leadership) -> None:
    """A tick has passed: stop sending to removed nodes that do not answer or take too long."""
    timeout_ticks = timing.patience_ticks(state, leadership)
    for node, parting in list(leadership.parting.items()):
        parting.ticks += 1
        is_alive = leadership.progress[node].is_alive(timeout_ticks)
        if parting.ticks >= PARTING_TIMEOUTS * timeout_ticks or not is_alive:
            _forget(state, leadership, node, "does not answer" if not is_alive else "takes too long")


def _forget(state: RaftState, leadership: Leadership, node: NodeId, why: str) -> None:
    del leadership.parting[node], leadership.progress[node]
    state.output.peers_changed = True
    state.trace("parted from a removed node", node=node, why=why)
