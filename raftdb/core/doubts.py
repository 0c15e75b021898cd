"""Nodes whose folder was put back have forgotten what they said; this decides when they count again.

A folder that is put back to an older copy of itself (`cp -a`, a snapshot of a virtual machine) has forgotten votes that
it gave and entries that it acknowledged. A leader elected with its next vote may lack what a majority has on disk.

The peers find that out (`raftdb.node.starts`): each start of a node has a number and a nonce, a peer that meets the
node writes them down before it counts anything the node says, and a node whose start does not follow the one written
down was put back. `PeerMet` brings the verdict. From then on:

* Its votes and acknowledgements count for nothing by themselves (`quorum`): not in elections, for commit, in the rounds
  of reads, nor for the contact with a majority. No node votes for it, and it does not stand for election once it knows.
* The leader unlearns its match index and refills it like any follower that lags. Nothing else takes a match index back;
  a refusal never does (hazard B13).
* The leader appends a configuration that names the start in which it was met. That entry is younger than everything
  that was forgotten. Once a majority has it, without those in doubt, every later majority shares a voter with that one
  who knows it all, and the folder counts again. Each node finds that out for itself, from its own commit index.

A configuration that names an earlier start settles nothing: it may have been committed before the folder was put back.
No configuration settles anything while too few voters are left that have forgotten nothing: two of three that were put
back have lost what only they knew. Then no node leads until people decide (`raftdb recover`).
"""

from raftdb.core import leader
from raftdb.core.events import PeerMet
from raftdb.core.model import NodeId, Role
from raftdb.core.progress import Progress
from raftdb.core.roles import become_follower
from raftdb.core.state import RaftState


def met(state: RaftState, event: PeerMet) -> None:
    """A node was met: note whether its folder is in doubt; if this meeting has shown that it was put back, act on
    that."""
    node = event.node
    if event.doubted and not _is_settled(state, node, event.doubted):
        state.doubts[node] = event.doubted
    else:
        state.doubts.pop(node, None)
    if not event.put_back or (node == state.id and node not in state.doubts):
        return
    if node == state.id:
        state.trace("this node's folder was put back to an older copy", level="warning", term=state.term)
        if state.role is not Role.FOLLOWER:
            become_follower(state, state.term, None)
        return
    # A node that is no member may claim this of itself as often as it likes, so it is no warning.
    is_member = state.configurations.find(node) is not None
    level = "warning" if is_member else "debug"
    state.trace("the folder of a node was put back to an older copy", level=level, node=node)
    _unlearn(state, node)


def _unlearn(state: RaftState, node: NodeId) -> None:
    """Find out anew where the log of a follower ends."""
    leadership = state.leadership
    if leadership is None or node not in leadership.progress:
        return
    state.unlearned += 1
    progress = leadership.progress[node] = Progress(next_index=state.log.last_index + 1)
    leader.send_entries(state, node, progress, even_if_empty=True)


def unsettled(state: RaftState) -> bool:
    """True if somebody is in doubt whose start the leader has met, and no configuration names it yet."""
    latest = state.configurations.latest
    members = (latest.find(node) for node in state.doubts if node in state.starts)
    return any(member is not None and member.start != state.starts[member.id] for member in members)


def settle(state: RaftState) -> None:
    """After any step: a node counts again once a committed configuration names a start of it that came after the
    doubt."""
    if not state.doubts:
        return
    settled = [node for node, nonces in sorted(state.doubts.items()) if _is_settled(state, node, nonces)]
    for node in settled:
        del state.doubts[node]
        state.trace("a node that was put back counts again", node=node, commit_index=state.commit_index)
    if settled and state.leadership is not None:
        leader.advance_commit(state, state.leadership)


def _is_settled(state: RaftState, node: NodeId, nonces: tuple[str, ...]) -> bool:
    member = state.configurations.committed_at(state.commit_index)[1].find(node)
    return member is not None and member.start is not None and member.start.nonce in nonces
