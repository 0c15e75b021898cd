"""Stepping back, and the election timer: what every role falls back to (thesis 3.3, 3.4)."""

from raftdb.core import reads, timing
from raftdb.core.model import NodeId, Role, Term
from raftdb.core.state import RaftState


def become_follower(state: RaftState, term: Term, leader_id: NodeId | None) -> None:
    """Follow `leader_id` (None: nobody yet) in `term`. Entering a new term forgets the old vote; within the same
    term it is kept (hazard B04)."""
    enters = term > state.term
    if enters:
        state.set_hard_state(term, None)
    if state.role is not Role.FOLLOWER:
        state.trace("became follower", term=term, leader=leader_id, was=state.role.value)
    elif leader_id is not None and (enters or leader_id != state.leader_id):
        state.trace("follows", leader=leader_id, term=term)
    elif enters:
        state.trace("entered a term", term=term)
    if state.leadership is not None:
        reads.drop_all(state, state.leadership)
    state.role = Role.FOLLOWER
    state.leader_id = leader_id
    state.candidacy = None
    state.has_given_way = False
    state.answers_told.clear()
    state.leadership = None
    restart_election_timer(state)


def restart_election_timer(state: RaftState) -> None:
    """Wait anew for a leader (thesis 3.4)."""
    state.election_elapsed_ticks = 0
    state.election_deadline_ticks = timing.draw_election_timeout(state)
