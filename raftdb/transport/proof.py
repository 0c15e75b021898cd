"""How the nodes of a cluster prove to each other that they belong to it: by certificates, or by a secret.

Certificates prove it if both ends have one that names a member (`certificates`); then nothing else is asked for. The
rest of this is about the secret, which only the nodes know.

The dialler sends a nonce with its request to change protocols, and the other end answers with one of its own. From then
on every frame is sealed (`raftdb.wire.sealing`), the hello and the welcome included, so nothing of the other end is
decoded before it has proved itself. A request without a nonce is of a node that has no secret.

A node uses the first of its secrets for what it dials, and accepts all of them. `None` among them stands for no secret,
so a cluster comes to its first secret as it comes from one to the next.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakSet

from raftdb.endpoint import Endpoint
from raftdb.errors import RemoteProtocolError, RequestRefused
from raftdb.transport.certificates import PeerTls
from raftdb.transport.stream import FrameStream
from raftdb.wire.sealing import NONCE_BYTES, UNSEALED, Seal, SealedByDialler, SealedByListener, Unproved

logger = logging.getLogger("raftdb.transport")

NONCE_HEADER = "Raftdb-Nonce"
SECRETS_MAX = 8
"""Most secrets that a node accepts at a time: the hello of a stranger is tried with each."""

REFUSED_LOG_S = 60.0
"""Callers without proof come as often as they like, and are logged this often."""

Secrets: TypeAlias = tuple[bytes | None, ...]
"""At least one. The first is used, all are accepted; None is no secret."""

_NONCE = re.compile(rf"[0-9a-f]{{{2 * NONCE_BYTES}}}")
_MISSING = "a peer proves that it knows the secret of this cluster, and the caller does not offer to"
_NO_MEMBER = "a peer shows a certificate of this cluster's CA that names a member of this cluster"
_UNWANTED = "this node knows no secret of its cluster, and cannot take a proof"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a dialler says of its proof: `nonce` goes with its request, unless it is None."""

    nonce: str | None
    sealed: Callable[[str | None], Seal]
    """Takes the nonce in the answer, and returns the seal of the connection. Raises RemoteProtocolError."""


class PeerProof:
    """What one node asks of its peers, and shows to them. Used on the event loop's thread."""

    def __init__(self, secrets: Secrets = (None,)) -> None:
        self._secrets = secrets
        self.tls: PeerTls | None = None
        """How TLS is used between peers; None if it is not."""
        self._streams: WeakSet[FrameStream] = WeakSet()
        self.refused_count = 0
        """Connections that were refused because their dialler proved nothing."""
        self._logged_s = -REFUSED_LOG_S

    @property
    def is_required(self) -> bool:
        """Whether every peer has to prove itself."""
        return None not in self._secrets or self._only_by_certificate

    @property
    def _only_by_certificate(self) -> bool:
        return self.tls is not None and self.tls.is_mutual and self.tls.is_required

    def tls_to(self, endpoint: Endpoint) -> PeerTls | None:
        """How to use TLS to a peer at `endpoint`; None if it is reached without. Raises RemoteProtocolError."""
        tls = self.tls
        if tls is None and endpoint.is_tls:
            raise RemoteProtocolError("it is reached by TLS, for which this node has no settings")
        return tls if tls is not None and (endpoint.is_tls or tls.is_required) else None

    def is_certified_at(self, endpoint: Endpoint) -> bool:
        """Whether this node and a peer at `endpoint` prove by certificates who they are. Raises RemoteProtocolError."""
        tls = self.tls_to(endpoint)
        return tls is not None and tls.is_mutual

    def certified(self, transport: asyncio.BaseTransport | None) -> frozenset[str] | None:
        """The members that a caller's certificate names; None if certificates prove nothing there."""
        tls = self.tls
        if tls is None or not tls.is_mutual or transport is None:
            return None
        is_tls = transport.get_extra_info("ssl_object") is not None
        return tls.ids(transport) if is_tls or tls.is_required else None

    @property
    def is_known(self) -> bool:
        """Whether there is a secret by which others may prove themselves."""
        return self._secrets != (None,)

    def is_offered_to(self, endpoint: Endpoint) -> bool:
        """Whether this node proves itself when it connects to `endpoint`. Raises RemoteProtocolError."""
        return self._secrets[0] is not None or self.is_certified_at(endpoint)

    def change(self, secrets: Secrets) -> None:
        """Use these secrets from now on. Connections that were proved by one that is no longer accepted end."""
        self._secrets = secrets
        for stream in list(self._streams):
            if stream.seal.secret not in secrets and not stream.certified:
                stream.abort("the secret of the cluster was changed")

    def refused(self, address: str | None) -> None:
        """Count a caller that did not prove itself, and log it unless another one was logged just before."""
        self.refused_count += 1
        now_s = time.monotonic()
        if now_s - self._logged_s >= REFUSED_LOG_S:
            self._logged_s = now_s
            fields = {"address": address, "refused": self.refused_count}
            logger.warning("a peer without proof was refused", extra={"fields": fields})

    def accepts(self, seal: Seal) -> bool:
        """Whether a connection that was begun with this seal may go on."""
        return seal.secret is None or seal.secret in self._secrets

    def note(self, stream: FrameStream) -> None:
        """Remember a connection for `change`."""
        self._streams.add(stream)

    def offer(self, path: str, *, is_certified: bool = False) -> Offer:
        """How to begin a connection to `path` of a peer, which has proved by its certificate who it is or has not."""
        secret = self._secrets[0]
        if secret is None or is_certified:
            return Offer(None, lambda _: UNSEALED)
        nonce = os.urandom(NONCE_BYTES).hex()

        def sealed(answer: str | None) -> Seal:
            if answer is None or _NONCE.fullmatch(answer) is None:
                raise Unproved
            return SealedByDialler(secret, _context(path, nonce, answer))

        return Offer(nonce, sealed)

    def answer(
        self, path: str, nonce: str | None, certified: frozenset[str] | None = None
    ) -> tuple[Seal, str | None]:
        """The seal of a connection to `path` whose dialler has sent `nonce`, and the nonce of the answer. `certified`
        are the members that its certificate names. Raises RequestRefused, RemoteProtocolError."""
        known = [secret for secret in self._secrets if secret is not None]
        if nonce is None:
            if certified is not None and not certified:
                raise RequestRefused("forbidden", _NO_MEMBER)
            if not certified and None not in self._secrets:
                raise RequestRefused("forbidden", _MISSING)
            return UNSEALED, None
        if not known:
            raise RequestRefused("forbidden", _UNWANTED)
        if _NONCE.fullmatch(nonce) is None:
            raise RemoteProtocolError("a nonce is not as long as it has to be")
        own = os.urandom(NONCE_BYTES).hex()
        return SealedByListener(known, _context(path, nonce, own)), own


def _context(path: str, dialler: str, listener: str) -> bytes:
    return f"{path} {dialler} {listener}".encode("ascii")
