"""Requests of HTTP between nodes, whose ends prove themselves as those of a link do (`proof`).

    GET PATH, Raftdb-Nonce: NONCE       the one that asks begins, once for each connection
    401, Raftdb-Nonce: NONCE            and gets the other nonce
    GET PATH, Raftdb-Seal: SEAL         each request is the next frame of the one direction,
    206, Raftdb-Seal: SEAL              and its answer the next frame of the other

A seal is over all that is read of a message: some headers and the body. A connection that was made anew begins again.
"""

from collections.abc import Mapping
from typing import cast

from aiohttp import web

from raftdb.endpoint import Endpoint
from raftdb.errors import RemoteProtocolError, RequestRefused
from raftdb.transport.proof import NONCE_HEADER, PeerProof
from raftdb.transport.upgrade import PeerConnection
from raftdb.wire.sealing import TAG_BYTES, Seal, Unproved

SEAL_HEADER = "Raftdb-Seal"
UNPROVED = 401
"""Status of an answer to a request whose seal is not known: the connection is new, or was not begun."""


def frame_of(what: str, headers: Mapping[str, str], names: tuple[str, ...], body: bytes = b"") -> bytes:
    """What the seal of a message is over: its method or status, these headers, and its body."""
    lines = (what, *(f"{name}: {headers.get(name, '')}" for name in names), "", "")
    return "\n".join(lines).encode("utf-8", "surrogateescape") + body


def read_tag(headers: Mapping[str, str]) -> bytes:
    """The seal of a message; one that is none fits nothing."""
    text = headers.get(SEAL_HEADER, "")
    if len(text) != 2 * TAG_BYTES:
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def seal_headers(seal: Seal, frame: bytes) -> dict[str, str]:
    """The header with the seal of a message that is sent; none if nothing is sealed."""
    return {SEAL_HEADER: seal.tag(b"", frame).hex()} if seal.tag_bytes else {}


def admit(request: web.BaseRequest, proof: PeerProof, names: tuple[str, ...]) -> Seal | web.Response:
    """The seal for the answer to a proved request, or an answer that asks for the proof. Raises RequestRefused,
    RemoteProtocolError."""
    connection = cast(PeerConnection, request.protocol)
    headers = request.headers
    try:
        if SEAL_HEADER not in headers:
            certified = proof.certified(request.transport)
            seal, nonce = proof.answer(request.path, headers.get(NONCE_HEADER), certified)
            if nonce is None:
                return seal
            connection.peer_seal = seal
            return web.Response(status=UNPROVED, headers={NONCE_HEADER: nonce})
        known, connection.peer_seal = connection.peer_seal, None
        if known is None or not proof.accepts(known):
            return web.Response(status=UNPROVED)
        known.check(b"", frame_of(request.method, headers, names), read_tag(headers))
    except RequestRefused:
        proof.refused(request.remote)
        raise
    except RemoteProtocolError as error:
        proof.refused(request.remote)
        raise RequestRefused("forbidden", error.message) from error
    connection.peer_seal = known
    return known


class Prover:
    """The end that asks, for one connection after another."""

    def __init__(self, proof: PeerProof, path: str, target: Endpoint) -> None:
        """Raises RemoteProtocolError if `target` cannot be reached as it has to be."""
        self._proof = proof
        self._path = path
        self._is_certified = proof.is_certified_at(target)
        self._offer = proof.offer(path, is_certified=self._is_certified)
        self.seal: Seal | None = self._offer.sealed(None) if self._offer.nonce is None else None
        """That of the connection; None before it was begun."""

    def begin(self) -> dict[str, str]:
        """The headers of the request that begins a connection."""
        self._offer = self._proof.offer(self._path, is_certified=self._is_certified)
        return {} if self._offer.nonce is None else {NONCE_HEADER: self._offer.nonce}

    def begun(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the answer to that. Raises RemoteProtocolError."""
        if status != UNPROVED:
            raise Unproved
        self.seal = self._offer.sealed(headers.get(NONCE_HEADER))
