"""The answers of a node that does not lead to requests that only the leader serves."""

import logging

from raftdb.errors import Unavailable
from raftdb.frontend.node_api import Node

logger = logging.getLogger("raftdb.http")


def require_leader(node: Node, what: str) -> None:
    """Raise Unavailable (`not_leader` or `no_leader`) unless `node` leads. `what` stands for the request in the log."""
    if node.is_leader():
        return
    leader = node.leader_hint()
    if leader is None:
        raise Unavailable("no_leader", "the cluster has no leader at the moment", hint="retry a little later")
    log_redirect(what, leader.id)
    raise Unavailable("not_leader", f"{leader.id} is the leader", leader=leader)


def log_redirect(what: str, leader: str) -> None:
    """Log that a client was redirected to `leader`."""
    logger.info("redirected", extra={"fields": {"command": what.lower()[:32], "leader": leader}})
