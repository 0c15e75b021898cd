"""Members and leadership: what the calls about the cluster itself send, and the calls of both clients. No I/O.

A change is sent again only if it surely was not made; `OutcomeUnknown` says that somebody has to look. While another
change is under way the leader asks for patience (`busy`), which these calls have, up to their deadline.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

from raftdb.client import answers
from raftdb.client.addresses import parse_member_address
from raftdb.client.flow import Method
from raftdb.client.model import Membership
from raftdb.client.protocol import MEMBERS_REQUEST, Kind, Request
from raftdb.errors import LeaderHint

T = TypeVar("T")

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


class MemberCalls(ABC):
    """The calls of `raftdb.client.sync_client.Client` about members and leadership."""

    @abstractmethod
    def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        """Make one call, from beginning to end."""

    def membership(self, *, timeout_ms: float | None = None) -> Membership:
        """The members as the leader knows them, and the ids that are gone."""
        return self._run(MEMBERSHIP, timeout_ms)

    def add_member(
        self,
        node_id: str,
        http: str,
        *,
        redis: str | None = None,
        learner: bool = False,
        force: bool = False,
        timeout_ms: float | None = None,
    ) -> Membership:
        """Take in the node `node_id`, reached at `http` (HOST:PORT), as a learner that becomes a voter once it has
        caught up; with `learner` it stays one. `pending` in the answer: it is not there yet, and goes on."""
        return self._run(add(node_id, http, redis=redis, learner=learner, force=force), timeout_ms)

    def remove_member(
        self, node_id: str, *, force: bool = False, timeout_ms: float | None = None
    ) -> Membership:
        """Take the node out for good. `force`: even if fewer voters than a majority are alive then."""
        return self._run(remove(node_id, force=force), timeout_ms)

    def promote_member(
        self, node_id: str, *, force: bool = False, timeout_ms: float | None = None
    ) -> Membership:
        """Make a learner a voter."""
        return self._run(promote(node_id, force=force), timeout_ms)

    def move_member(
        self, node_id: str, http: str, *, redis: str | None = None, timeout_ms: float | None = None
    ) -> Membership:
        """The node is reached at another address from now on."""
        return self._run(move(node_id, http, redis=redis), timeout_ms)

    def transfer_leadership(
        self, node_id: str | None = None, *, timeout_ms: float | None = None
    ) -> LeaderHint:
        """Let the node (None: whichever voter is furthest) lead; where it is, once it does."""
        return self._run(transfer(node_id), timeout_ms)


class AsyncMemberCalls(ABC):
    """The calls of `raftdb.client.async_client.AsyncClient` about members and leadership; see `MemberCalls`."""

    @abstractmethod
    async def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        """Make one call, from beginning to end."""

    async def membership(self, *, timeout_ms: float | None = None) -> Membership:
        """See `MemberCalls.membership`."""
        return await self._run(MEMBERSHIP, timeout_ms)

    async def add_member(
        self,
        node_id: str,
        http: str,
        *,
        redis: str | None = None,
        learner: bool = False,
        force: bool = False,
        timeout_ms: float | None = None,
    ) -> Membership:
        """See `MemberCalls.add_member`."""
        return await self._run(add(node_id, http, redis=redis, learner=learner, force=force), timeout_ms)

    async def remove_member(
        self, node_id: str, *, force: bool = False, timeout_ms: float | None = None
    ) -> Membership:
        """See `MemberCalls.remove_member`."""
        return await self._run(remove(node_id, force=force), timeout_ms)

    async def promote_member(
        self, node_id: str, *, force: bool = False, timeout_ms: float | None = None
    ) -> Membership:
        """See `MemberCalls.promote_member`."""
        return await self._run(promote(node_id, force=force), timeout_ms)

    async def move_member(
        self, node_id: str, http: str, *, redis: str | None = None, timeout_ms: float | None = None
    ) -> Membership:
        """See `MemberCalls.move_member`."""
        return await self._run(move(node_id, http, redis=redis), timeout_ms)

    async def transfer_leadership(
        self, node_id: str | None = None, *, timeout_ms: float | None = None
    ) -> LeaderHint:
        """See `MemberCalls.transfer_leadership`."""
        return await self._run(transfer(node_id), timeout_ms)
