"""The handlers about members and leadership (docs/interface.md, section 3).

Only the leader serves them. The node bounds the time of a change as it does for commands: if an added node is still
catching up by then, the answer is 202 with its progress, and the change goes on.
"""

from urllib.parse import unquote

import msgspec
from aiohttp import web

from raftdb.core.events import AddMember, Change, NewAddress, PromoteMember, RemoveMember, UpdateAddresses
from raftdb.core.model import Member
from raftdb.endpoint import (
    ADDRESS_CHARACTERS_MAX,
    BadAddress,
    Endpoint,
    RedisAddresses,
    parse_reachable_endpoint,
)
from raftdb.errors import RequestRefused
from raftdb.frontend.http_body import read_body
from raftdb.frontend.http_query import flag_of, parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import SEGMENTS
from raftdb.frontend.json_values import decode_body, encode_json
from raftdb.frontend.leading import require_leader
from raftdb.frontend.node_api import Node
from raftdb.node.membership import CatchingUp
from raftdb.route import Permission, Route

BODY_BYTES_MAX = 16 * 1024
"""Longest body of a request about members: an id and two addresses."""
BODY_TIMEOUT_S = 10.0


class AddBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/members."""

    id: str
    http: str
    redis: str | None = None
    redis_cluster: str | None = None
    learner: bool = False
    force: bool = False


class AddressBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/members/{id}/address."""

    http: str
    redis: str | None = None
    redis_cluster: str | None = None


class TransferBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/leader/transfer, which may be empty."""

    to: str | None = None


_add_decoder = msgspec.json.Decoder(AddBody)
_address_decoder = msgspec.json.Decoder(AddressBody)
_transfer_decoder = msgspec.json.Decoder(TransferBody)


class MembersApi:
    """The handlers about members and leadership."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with these routes."""
        return {
            "/v1/members": {
                "GET": Route(self.members, Permission.READ),
                "POST": Route(self.add, Permission.ADMIN),
            },
            "/v1/members/{id}": {"DELETE": Route(self.remove, Permission.ADMIN)},
            "/v1/members/{id}/promote": {"POST": Route(self.promote, Permission.ADMIN)},
            "/v1/members/{id}/address": {"POST": Route(self.move, Permission.ADMIN)},
            "/v1/leader/transfer": {"POST": Route(self.transfer, Permission.ADMIN)},
        }

    async def members(self, _request: web.BaseRequest) -> Reply:
        """GET /v1/members: the members as the leader knows them."""
        require_leader(self._node, "members")
        return Reply(encode_json(self._node.membership()))

    async def add(self, request: web.BaseRequest) -> Reply:
        """POST /v1/members: add a node, at first as a learner. Answered 202 if it has still to catch up to become a
        voter."""
        asked = decode_body(_add_decoder, await _body(request), example='{"id": "n4", "http": "HOST:PORT"}')
        member = Member(asked.id, _address(asked.http), _redis(asked), voter=False)
        return await self._change(AddMember(member, stay_learner=asked.learner), force=asked.force)

    async def remove(self, request: web.BaseRequest) -> Reply:
        """DELETE /v1/members/{id}[?force=true]: remove a member for good."""
        return await self._change(RemoveMember(_id(request)), force=_force(request))

    async def promote(self, request: web.BaseRequest) -> Reply:
        """POST /v1/members/{id}/promote[?force=true]: make a learner a voter."""
        return await self._change(PromoteMember(_id(request)), force=_force(request))

    async def move(self, request: web.BaseRequest) -> Reply:
        """POST /v1/members/{id}/address: change the address of a member."""
        asked = decode_body(_address_decoder, await _body(request), example='{"http": "HOST:PORT"}')
        new = NewAddress(_id(request), _address(asked.http), _redis(asked))
        return await self._change(UpdateAddresses((new,)), force=False)

    async def transfer(self, request: web.BaseRequest) -> Reply:
        """POST /v1/leader/transfer: let another voter lead. Answered once it leads."""
        body = await _body(request)
        asked = decode_body(_transfer_decoder, body or b"{}", example='{"to": "n2"}')
        require_leader(self._node, "transfer")
        leader = await self._node.transfer(asked.to)
        return Reply(encode_json({"leader": leader.named()}))

    async def _change(self, change: Change, *, force: bool) -> Reply:
        """Make a change, and answer with the members after it."""
        require_leader(self._node, "members")
        answer = await self._node.change_members(change, force=force)
        body = {"index": answer.index, **self._node.membership()}
        catching_up: CatchingUp | None = answer.value.catching_up
        if catching_up is None:
            return Reply(encode_json(body))
        node, match_index, last_index = catching_up
        body |= {"pending": True, "id": node, "match_index": match_index, "last_index": last_index}
        return Reply(encode_json(body), status=202)


async def _body(request: web.BaseRequest) -> bytes:
    return await read_body(request, bytes_max=BODY_BYTES_MAX, timeout_s=BODY_TIMEOUT_S)


def _id(request: web.BaseRequest) -> str:
    """The member's id in the path."""
    return unquote(request[SEGMENTS]["id"])


def _address(text: str) -> Endpoint:
    """A member's address. Raises `RequestRefused`."""
    try:
        return parse_reachable_endpoint(text)
    except BadAddress as error:
        message = f"{text[:ADDRESS_CHARACTERS_MAX]!r} cannot be a member's address: {error.message}"
        raise RequestRefused("bad_request", message, hint=error.hint) from None


def _redis(asked: AddBody | AddressBody) -> RedisAddresses:
    named = (asked.redis, asked.redis_cluster)
    return RedisAddresses(*(None if text is None else _address(text) for text in named))


def _force(request: web.BaseRequest) -> bool:
    """The parameter `force`, the only one that the query may have. Raises `RequestRefused`."""
    return flag_of("force", parameters(request, ("force",)).get("force", b"false"))
