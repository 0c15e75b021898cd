"""The request of each method about the cluster itself (nodes, members, leadership, log, backup), and how its answer is
read. No I/O.

A change of the members is sent again only if it surely was not made; after `OutcomeUnknown` the caller has to look.
While another change is under way the leader answers `busy`, and these calls try again up to their deadline.
"""

from collections.abc import Mapping
from urllib.parse import quote

from raftdb.client import answers
from raftdb.client.addresses import parse_member_address
from raftdb.client.flow import Method
from raftdb.client.given import whole
from raftdb.client.http1 import Sink
from raftdb.client.json_body import object_of
from raftdb.client.model import AuditEvent, Json, LogPage, Member, Membership, NodeStatus
from raftdb.client.protocol import STATUS_REQUEST, Kind, Request
from raftdb.errors import LeaderHint

_MEMBERS_REQUEST = Request("GET", "/v1/members", None, Kind.READ)

STATUS: Method[NodeStatus] = Method(STATUS_REQUEST, answers.status_of)
MEMBERS: Method[tuple[Member, ...]] = Method(_MEMBERS_REQUEST, answers.members_of)
MEMBERSHIP: Method[Membership] = Method(_MEMBERS_REQUEST, answers.membership_of)
NETWORK: Method[Json] = Method(Request("GET", "/v1/network", None, Kind.ANY_NODE), object_of)
SNAPSHOT: Method[int] = Method(Request("POST", "/v1/snapshot", None, Kind.TASK), answers.snapshot_index_of)


def request_log(first: int | None, limit: int) -> Method[LogPage]:
    """A page of the leader's log: up to `limit` entries from index `first` on (None: the leader chooses)."""
    start = "" if first is None else f"from={whole(first, 'the first index')}&"
    target = f"/v1/request_log?{start}limit={whole(limit, 'the limit')}"
    return Method(Request("GET", target, None, Kind.READ), answers.log_page_of)


def audit(limit: int) -> Method[tuple[AuditEvent, ...]]:
    """`GET /v1/audit`."""
    target = f"/v1/audit?limit={whole(limit, 'the limit')}"
    return Method(Request("GET", target, None, Kind.ANY_NODE), answers.audit_of)


def change_network(change: Json) -> Method[Json]:
    """`PUT /v1/network`."""
    return Method(Request("PUT", "/v1/network", change, Kind.ANY_NODE), object_of)


def backup(sink: Sink) -> Method[int]:
    """Stream a backup into `sink`; the result is the index of its last entry."""
    return Method(Request("GET", "/v1/backup", None, Kind.TASK), answers.backup_index_of, sink)


def add(
    node_id: str,
    http: str,
    *,
    redis: str | None = None,
    redis_cluster: str | None = None,
    learner: bool = False,
    force: bool = False,
) -> Method[Membership]:
    """`POST /v1/members`."""
    content: dict[str, object] = {"id": node_id, "http": parse_member_address(http)}
    optional = {
        "redis": redis,
        "redis_cluster": redis_cluster,
        "learner": learner or None,
        "force": force or None,
    }
    content.update({name: value for name, value in optional.items() if value is not None})
    return _change("POST", "/v1/members", content)


def remove(node_id: str, *, force: bool = False) -> Method[Membership]:
    """`DELETE /v1/members/{id}`."""
    return _change("DELETE", f"{_path(node_id)}{_forced(force)}")


def promote(node_id: str, *, force: bool = False) -> Method[Membership]:
    """`POST /v1/members/{id}/promote`."""
    return _change("POST", f"{_path(node_id)}/promote{_forced(force)}")


def move(
    node_id: str, http: str, *, redis: str | None = None, redis_cluster: str | None = None
) -> Method[Membership]:
    """`POST /v1/members/{id}/address`."""
    content = {"http": parse_member_address(http)}
    optional = {"redis": redis, "redis_cluster": redis_cluster}
    content.update({name: address for name, address in optional.items() if address is not None})
    return _change("POST", f"{_path(node_id)}/address", content)


def transfer(node_id: str | None = None) -> Method[LeaderHint]:
    """`POST /v1/leader/transfer`."""
    content: Mapping[str, object] = {} if node_id is None else {"to": node_id}
    request = Request("POST", "/v1/leader/transfer", content, Kind.CHANGE)
    return Method(request, answers.new_leader_of)


def _change(method: str, target: str, content: Mapping[str, object] | None = None) -> Method[Membership]:
    return Method(Request(method, target, content, Kind.CHANGE), answers.membership_of)


def _path(node_id: str) -> str:
    return f"/v1/members/{quote(node_id, safe='')}"


def _forced(force: bool) -> str:
    return "?force=true" if force else ""
