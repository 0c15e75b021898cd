"""Nodes that prove by certificates that they are members: mutual TLS between peers.

That a certificate comes from the cluster's CA is not enough: a company's CA makes them for all of its servers. It has
to name a node of this cluster, and the one as which its bearer introduces itself (hazard B101): by a URI among its
alternative names, `raftdb://CLUSTER-ID/NODE-ID`, or by a DNS name that the settings give to that node. Both ends look
at that within the handshake, so that one whose certificate names nobody neither hears nor says anything.

Peers and clients connect to one port, and may have different CAs. So a node says by the name that it asks for in the
TLS handshake (SNI) that it is a peer, and is verified by the CA for peers alone. Peers speak TLS 1.3, in which a
connection is never resumed here: each of them verifies a certificate.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

PEER_NAME = "raftdb-peer"
"""What a node asks for by SNI when it connects as a peer, of any member."""

Certificate: TypeAlias = Mapping[str, Any]
"""A verified certificate, as `ssl.SSLObject.getpeercert` returns it."""


def ids_in(certificate: Certificate, cluster_id: str, names: Mapping[str, str]) -> frozenset[str]:
    """The nodes that a `certificate` names. `names` are the DNS names of nodes, by id."""
    by_uri = {node_id for cluster, node_id in uris_in(certificate) if cluster == cluster_id}
    hosts = {value.lower() for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    return frozenset(by_uri | {node_id for node_id, name in names.items() if name.lower() in hosts})


def uris_in(certificate: Certificate) -> set[tuple[str, str]]:
    """The pairs of a cluster's id and a node's id that the URIs of a `certificate` name."""
    found = set()
    for kind, value in certificate.get("subjectAltName", ()):
        scheme, _, rest = value.partition("://")
        cluster_id, _, node_id = rest.partition("/")
        if (kind, scheme) == ("URI", "raftdb") and cluster_id and node_id:
            found.add((cluster_id, node_id))
    return found


def name_of_peer(node_id: str) -> str:
    """What to ask for by SNI where nobody but this peer may answer."""
    return f"{hashlib.sha256(node_id.encode()).hexdigest()[:40]}.{PEER_NAME}"


class PeerContext(ssl.SSLContext):
    """A context for connections of peers, in either direction: the certificates come from the CA for peers."""

    named: Callable[[Certificate], frozenset[str]]
    """The nodes that a certificate names: one that names nobody is refused."""


RECORD_BYTES_MAX = 16 * 1024
"""Longest content of a record of TLS; a read returns no more."""

_ANSWERED = frozenset({"CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"})
"""Reasons for which a caller is told why it does not get in."""


class CheckedObject(ssl.SSLObject):
    """One end of a connection that is of a peer if its context is by the end of the handshake."""

    _refused: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake; raises `ssl.SSLError` as well for a certificate that proves no peer."""
        if self._refused is not None:
            raise self._refused
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if not self.server_side or error.reason not in _ANSWERED:
                raise
            # Event loops send what OpenSSL has to say of a failure only if it is none yet.
            self._refused = error
            raise ssl.SSLWantReadError from error
        self._check()

    def read(self, len: int = RECORD_BYTES_MAX, buffer: Any = None) -> Any:
        """What has arrived, of one record at the most. Event loops ask for 256 KiB at a time, and to make room for
        those and give it back takes longer than to decrypt a short request."""
        return super().read(min(len, RECORD_BYTES_MAX), buffer)

    def _check(self) -> None:
        context = self.context
        if not isinstance(context, PeerContext):
            return
        if self.version() != "TLSv1.3":
            raise ssl.SSLCertVerificationError("peers speak TLS 1.3")
        certificate = self.getpeercert()
        ids = frozenset() if certificate is None else context.named(certificate)
        if not ids:
            raise ssl.SSLCertVerificationError("the certificate names no node of this cluster")
        asked = self.server_hostname
        if (
            not self.server_side
            and asked != PEER_NAME
            and asked not in {name_of_peer(node_id) for node_id in ids}
        ):
            raise ssl.SSLCertVerificationError(f"the certificate names {', '.join(sorted(ids))} alone")


def accept_peers(context: ssl.SSLContext, peers: PeerContext) -> None:
    """Let `peers` have the connections to a listener with `context` that ask for a peer's name."""

    def choose(found: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None and (name == PEER_NAME or name.endswith(f".{PEER_NAME}")):
            found.context = peers

    context.sni_callback = choose
    # A certificate is asked for by the context with which the connection began, and verified by the one that it has.
    if context.verify_mode is ssl.CERT_NONE:
        context.verify_mode = ssl.CERT_OPTIONAL


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls:
    """How a node uses TLS to its peers. `context` returns the one for connections that it opens, by now.

    `named` returns the nodes of this cluster that a certificate names. A node that knows no cluster yet connects to any
    node of any cluster, and `may_speak_for` says for which one those that have answered may speak.

    `is_mutual`: either end shows a certificate that names it. Otherwise only the one that is dialled shows one, for the
    host under which it was dialled, and nobody is proved by that. `is_required`: connections without TLS are neither
    made nor accepted as a proof.
    """

    context: Callable[[], ssl.SSLContext]
    named: Callable[[Certificate], frozenset[str]]
    may_speak_for: Callable[[str], bool]
    is_mutual: bool
    is_required: bool

    def server_name(self, host: str, peer: str | None = None) -> str:
        """What to ask for by SNI at `host`, where nobody but `peer` may answer unless that is None."""
        if not self.is_mutual:
            return host
        return PEER_NAME if peer is None else name_of_peer(peer)

    def ids(self, transport: asyncio.BaseTransport | None) -> frozenset[str]:
        """The nodes that the certificate of the other end names; none if the connection is not one of peers."""
        found = transport.get_extra_info("ssl_object") if transport is not None else None
        if found is None or not isinstance(found.context, PeerContext):
            return frozenset()
        return self.named(found.getpeercert() or {})
