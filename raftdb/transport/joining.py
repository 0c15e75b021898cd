"""How a node that can prove itself is taken in: by the secret of the cluster or by a certificate that names it. The
member that it asks proves itself, too.

    GET  /v1/peer/join                         which cluster this is, and who its members are
    POST /v1/peer/join, Raftdb-Member: MEMBER  take this node in: its id and addresses, as JSON in base64

The answer is JSON. Where no certificates prove both ends, both are sealed (`sealed_requests`), so neither end believes
a stranger. What is asked without a proof is not served here: who has none joins as a client does, by
`POST /v1/members`.
"""

import asyncio
import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web

from raftdb.endpoint import Endpoint
from raftdb.errors import RemoteProtocolError, RequestRefused, required
from raftdb.route import Permission, Route, Routes
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.proof import PeerProof
from raftdb.transport.sealed_requests import UNPROVED, Prover, admit, frame_of, read_tag, seal_headers
from raftdb.transport.sessions import where
from raftdb.transport.upgrade import refuse_browsers
from raftdb.wire.sealing import Unproved

JOIN_PATH = PEER_PATH + "/join"
MEMBER_HEADER = "Raftdb-Member"
MEMBER_CHARACTERS_MAX = 4096
"""Longest header."""
ANSWER_BYTES_MAX = 256 * 1024
"""Longest answer: the members of the largest cluster take a part of it."""

JoinAnswer: TypeAlias = tuple[int, bytes]
"""The status and the JSON of an answer."""
AnswerJoin: TypeAlias = Callable[[Mapping[str, Any] | None], Awaitable[JoinAnswer]]
"""Answers a node that has proved itself: one that asks to be taken in with these facts, which are not checked; with
None it only asks. Raises nothing."""


class JoinServer:
    """The route for nodes that join."""

    def __init__(self, proof: PeerProof, answer: AnswerJoin) -> None:
        self._proof = proof
        self._answer = answer

    @property
    def routes(self) -> Routes:
        """The route."""
        route = Route(self.handle, Permission.PEER)
        return {JOIN_PATH: {"GET": route, "POST": route}}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a node. Raises RequestRefused, RemoteProtocolError."""
        refuse_browsers(request)
        certified = self._proof.certified(request.transport)
        if not certified and not self._proof.is_known:
            raise RequestRefused(
                "forbidden", "this node has no secret by which others could prove themselves"
            )
        seal = admit(request, self._proof, (MEMBER_HEADER,))
        if isinstance(seal, web.Response):
            return seal
        if not seal.tag_bytes and not certified:
            raise RequestRefused("forbidden", "here only nodes join that know the secret of the cluster")
        member = parse_member(request.headers.get(MEMBER_HEADER, "")) if request.method == "POST" else None
        if member is not None and certified and member.get("id") not in certified:
            raise RequestRefused("forbidden", "the certificate does not name the node that is to be taken in")
        status, body = await self._answer(member)
        headers = seal_headers(seal, frame_of(str(status), {}, (), body))
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def write_member(facts: Mapping[str, Any]) -> str:
    """The facts of a node as the text of a header."""
    return b64encode(json.dumps(facts).encode()).decode("ascii")


def parse_member(text: str) -> dict[str, Any]:
    """The facts of a node. Raises RemoteProtocolError."""
    try:
        if len(text) > MEMBER_CHARACTERS_MAX:
            raise ValueError
        return _object(b64decode(text.encode("ascii"), validate=True))
    except (ValueError, RecursionError, binascii.Error):
        raise RemoteProtocolError("a node that joins does not say who it is") from None


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises ValueError, RecursionError."""
    found = json.loads(body.decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


async def ask_to_join(
    session: aiohttp.ClientSession, target: Endpoint, proof: PeerProof, facts: Mapping[str, Any] | None
) -> tuple[int, dict[str, Any]]:
    """What the member at `target` answers to a node with these facts, or to one that only asks: a status and a JSON
    object. Raises RemoteProtocolError (also if it does not prove that it knows the secret), aiohttp's errors,
    OSError."""
    prover = Prover(proof, JOIN_PATH, target)
    method = "GET" if facts is None else "POST"
    headers = {} if facts is None else {MEMBER_HEADER: write_member(facts)}
    url, options = where(target, JOIN_PATH, proof.tls_to(target))
    if prover.seal is None:
        begin = prover.begin()
        async with session.request("GET", url, headers=begin, allow_redirects=False, **options) as response:
            prover.begun(response.status, response.headers)
    seal = required(prover.seal, "seal")
    sealed = seal_headers(seal, frame_of(method, headers, (MEMBER_HEADER,)))
    headers |= sealed
    async with session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
        body = await _body_of(response)
        if response.status == UNPROVED:
            raise Unproved
        if seal.tag_bytes:
            frame = frame_of(str(response.status), {}, (), body)
            seal.check(b"", frame, read_tag(response.headers))
    try:
        return response.status, _object(body)
    except (ValueError, RecursionError):
        raise RemoteProtocolError(f"{target} does not answer as a raftdb node") from None


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    """A body of bounded length."""
    length = response.content_length
    if length is None or length > ANSWER_BYTES_MAX:
        raise RemoteProtocolError("an answer has no length, or is too long")
    try:
        return await response.content.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the answer ends early") from error
