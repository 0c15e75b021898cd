"""The handlers about the network that fault injection makes (docs/network.md): what is set for the links of this node,
and setting it. Only a node that was started with `fault_injection` has one."""

import msgspec
from aiohttp import web

from raftdb.errors import RequestRefused
from raftdb.frontend.http_body import read_body
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.json_values import decode_body, encode_json
from raftdb.frontend.node_api import Node
from raftdb.impairment import LINKS_MAX, BadConditions, Conditions, NetworkChange, parse_conditions
from raftdb.route import Permission, Route
from raftdb.wire.fields import is_node_id

PATH = "/v1/network"
BODY_BYTES_MAX = 256 * 1024
"""Longest body: conditions for as many links as there may be."""
BODY_TIMEOUT_S = 10.0


class NetworkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/network. What is left out stays as it is."""

    default: str | None = None
    links: dict[str, str] | None = None
    cut: list[str] | None = None
    clients: str | None = None
    cut_clients: bool | None = None
    seed: int | None = None


_decoder = msgspec.json.Decoder(NetworkBody)


class NetworkApi:
    """The handlers about the network of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with these routes."""
        return {
            PATH: {"GET": Route(self.network, Permission.READ), "PUT": Route(self.change, Permission.ADMIN)}
        }

    async def network(self, _request: web.BaseRequest) -> Reply:
        """GET /v1/network: what is set for this node's links, and what came of it."""
        return Reply(encode_json(self._node.network()))

    async def change(self, request: web.BaseRequest) -> Reply:
        """PUT /v1/network: set it. Answered as GET."""
        body = await read_body(request, bytes_max=BODY_BYTES_MAX, timeout_s=BODY_TIMEOUT_S)
        self._node.change_network(read_change(body))
        return Reply(encode_json(self._node.network()))


def read_change(body: bytes) -> NetworkChange:
    """The change that a body asks for. Raises `RequestRefused`."""
    asked = decode_body(_decoder, body, example='{"default": "delay 100ms 50ms loss 5%"}')
    links, cut = asked.links, asked.cut
    peers = [*(links or {}), *(cut or ())]
    for peer in peers:
        if not is_node_id(peer):
            raise RequestRefused("bad_request", f"{peer[:80]!r} cannot be the id of a node")
    if len(peers) > LINKS_MAX:
        raise RequestRefused("bad_request", f"at most {LINKS_MAX} links can be set")
    return NetworkChange(
        default=None if asked.default is None else _conditions(asked.default),
        links=None if links is None else {peer: _conditions(words) for peer, words in sorted(links.items())},
        cut=None if cut is None else frozenset(cut),
        clients=None if asked.clients is None else _conditions(asked.clients),
        cut_clients=asked.cut_clients,
        seed=asked.seed,
    )


def _conditions(words: str) -> Conditions:
    try:
        return parse_conditions(words)
    except BadConditions as error:
        raise RequestRefused("bad_request", error.message, hint=error.hint) from None
