"""A member's part when a node with the cluster's secret joins (`raftdb.transport.joining`)."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from raftdb.core.events import AddMember
from raftdb.core.model import Member
from raftdb.endpoint import BadAddress, Endpoint, RedisAddresses, parse_reachable_endpoint
from raftdb.errors import CODES, RaftdbError, RequestRefused, Unavailable
from raftdb.server.local_node import LocalNode
from raftdb.transport import JoinAnswer
from raftdb.wire.fields import is_node_id

logger = logging.getLogger("raftdb.server")


class TakingIn:
    """Answers nodes that join the cluster of `node`, and have proved that they know its secret."""

    def __init__(self, node: LocalNode, cluster_id: str) -> None:
        self._node = node
        self._cluster_id = cluster_id

    async def answer(self, facts: Mapping[str, Any] | None) -> JoinAnswer:
        """The answer to one that asks which cluster this is (None), or to be taken in with these facts."""
        leader = self._node.leader_hint()
        body: dict[str, object] = {
            "cluster_id": self._cluster_id,
            "leader": None if leader is None or self._node.is_leader() else str(leader.endpoint),
        }
        try:
            if facts is None:
                status, content = 200, dict(self._node.membership())
            else:
                status, content = 200, {"index": await self._take_in(member_of(facts))}
        except RaftdbError as error:
            status = CODES[error.code].status if error.code in CODES else 500
            content = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        return status, json.dumps(body | content).encode()

    async def _take_in(self, member: Member) -> int:
        """Add the node, and return the index of the change. Raises RaftdbError."""
        if not self._node.is_leader():
            raise Unavailable("not_leader", "another node leads")
        fields = {"id": member.id, "http": member.http}
        logger.info("a node that has proved itself joins", extra={"fields": fields})
        return (await self._node.change_members(AddMember(member), force=False)).index


def member_of(facts: Mapping[str, Any]) -> Member:
    """The node that these facts are of. Raises RequestRefused."""
    name = facts.get("id")
    if not is_node_id(name):
        raise RequestRefused("bad_request", "a node that joins has no id")
    http = _address(facts.get("http"))
    redis = [None if facts.get(key) is None else _address(facts[key]) for key in ("redis", "redis_cluster")]
    return Member(str(name), http, RedisAddresses(*redis), voter=False)


def _address(text: object) -> Endpoint:
    try:
        return parse_reachable_endpoint(text)
    except BadAddress as error:
        raise RequestRefused("bad_request", f"a node that joins has no address: {error.message}") from None
