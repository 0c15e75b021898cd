"""What the requests that wait may know of their node in a turn."""

from collections.abc import Callable
from typing import NamedTuple

from raftdb.core.state import RaftState
from raftdb.errors import RaftdbError, Unavailable
from raftdb.machine.layer import KeyValueView
from raftdb.node.turn import Inputs, State


class World(NamedTuple):
    """What the waiters may know of their node in a turn. `refusal` says why none may wait here; None if they may.
    `is_ready`: the state has all that any leader before has answered. `takes_writes`: something may be proposed."""

    view: KeyValueView
    applied: tuple[int, int]
    now_ms: float
    refusal: Callable[[], RaftdbError] | None
    is_ready: bool
    takes_writes: bool


def world_of(
    core: RaftState,
    state: State,
    inputs: Inputs,
    refusal: Callable[[], RaftdbError],
    *,
    is_installing: bool,
    takes_writes: bool,
) -> World:
    """The world of a turn of a replica."""
    why: Callable[[], RaftdbError] | None = refusal
    if core.leadership is not None:
        why = _stopping if inputs.is_stopping else None
    is_ready = not is_installing and is_up_to_date(core, state)
    return World(state, state.applied, inputs.now_ms, why, is_ready, takes_writes and not inputs.disk_is_full)


def is_up_to_date(core: RaftState, state: State) -> bool:
    """Whether this node leads, and its state has all that any leader before has answered."""
    return core.leadership is not None and state.applied[0] >= core.leadership.term_start_index


def _stopping() -> Unavailable:
    return Unavailable("no_leader", "this node is stopping", hint="ask another node")
