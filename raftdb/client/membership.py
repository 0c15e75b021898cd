"""Members and leadership: what the calls about the cluster itself send and understand. No I/O.

A change is sent again only if it surely was not made; `OutcomeUnknown` says that somebody has to look. While another
change is under way the leader asks for patience (`busy`), which these calls have, up to their deadline.
"""

from collections.abc import Mapping
from urllib.parse import quote

from raftdb.client import answers
from raftdb.client.addresses import parse_member_address
from raftdb.client.flow import Method
from raftdb.client.model import Membership
from raftdb.client.protocol import MEMBERS_REQUEST, Kind, Request
from raftdb.errors import LeaderHint

MEMBERSHIP: Method[Membership] = Method(MEMBERS_REQUEST, answers.membership_of)
"""Who is in the cluster."""


def add(
    node_id: str, http: str, *, redis: str | None = None, learner: bool = False, force: bool = False
) -> Method[Membership]:
    """`POST /v1/members`."""
    content: dict[str, object] = {"id": node_id, "http": parse_member_address(http)}
    optional = {"redis": redis, "learner": learner or None, "force": force or None}
    content.update({name: value for name, value in optional.items() if value is not None})
    return _change("POST", "/v1/members", content)


def remove(node_id: str, *, force: bool = False) -> Method[Membership]:
    """`DELETE /v1/members/{id}`."""
    return _change("DELETE", f"{_path(node_id)}{_forced(force)}")


def promote(node_id: str, *, force: bool = False) -> Method[Membership]:
    """`POST /v1/members/{id}/promote`."""
    return _change("POST", f"{_path(node_id)}/promote{_forced(force)}")


def move(node_id: str, http: str, *, redis: str | None = None) -> Method[Membership]:
    """`POST /v1/members/{id}/address`."""
    content = {"http": parse_member_address(http)}
    if redis is not None:
        content["redis"] = redis
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
