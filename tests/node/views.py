"""Views of nodes that are nothing but their consensus state, or a made-up one."""

from typing import Any, cast

from raftdb.node.replica import Replica
from raftdb.node.view import NodeView


class _Holder:
    """A replica, as far as a view of its consensus state goes; it asks for `state` each time it is asked."""

    def __init__(self, holder: Any) -> None:
        self.raft = holder


def view_of(holder: Any) -> NodeView:
    """A view of the consensus state that `holder.state` is at the time."""
    return NodeView(cast(Replica, _Holder(holder)))
