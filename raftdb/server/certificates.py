"""The certificates of a node, and the contexts of TLS that are made of them: read at the start, and again when the
files change. Connections that stand are not touched by that; new ones use what was read last.

TLS 1.2 at least, no renegotiation, no compression, and no resumption: a session that is resumed would be verified by
what was in force when it began. OpenSSL reads at most 100 KiB of a chain of certificates.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from raftdb.errors import required
from raftdb.server.config import REQUIRED, BadSetting, Settings
from raftdb.server.secret_file import read_private
from raftdb.transport import (
    Certificate,
    CheckedObject,
    PeerContext,
    PeerTls,
    accept_peers,
    ids_in,
    uris_in,
)

ContextT = TypeVar("ContextT", bound=ssl.SSLContext)

KEY_HINT = "both are PEM, and the key is not encrypted; 'raftdb cert node' makes a pair"


@dataclass(frozen=True, slots=True)
class _Contexts:
    """What was read last. `http` is for the port of clients and peers, `redis` for clients alone, `dialled` for peers
    of this node's cluster, and `asked` for a cluster of which this node knows nothing yet."""

    http: ssl.SSLContext
    redis: ssl.SSLContext
    dialled: ssl.SSLContext
    asked: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Door:
    """The TLS of one listener; see `raftdb.frontend.Tls`."""

    is_required: bool
    find_context: Callable[[], ssl.SSLContext]

    @property
    def context(self) -> ssl.SSLContext:
        """The context of a connection that is accepted now."""
        return self.find_context()


class Certificates:
    """The TLS of one node: of its listeners, `http` and `redis`, and to its peers."""

    def __init__(self, settings: Settings) -> None:
        """For a node with these settings; `read` comes before anything is used."""
        self._settings = settings
        self._cluster_id: str | None = None
        self._clusters_seen: set[str] = set()
        self._names = settings.tls_peer_names or {}
        self._has_seen_name = False
        self._now: _Contexts
        is_required = settings.tls == REQUIRED
        self.http = Door(is_required, lambda: self._now.http)
        self.redis = Door(is_required, lambda: self._now.redis)
        self.peers = PeerTls(
            context=self._context_to_peers,
            named=self._named,
            may_speak_for=self._may_speak_for,
            is_mutual=settings.tls_ca is not None,
            is_required=is_required,
        )

    def _context_to_peers(self) -> ssl.SSLContext:
        return self._now.asked if self._cluster_id is None else self._now.dialled

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read."""
        named = self._settings
        paths = (named.tls_cert, named.tls_key, named.tls_ca, named.tls_client_ca)
        return tuple(path for path in paths if path is not None)

    def belong_to(self, cluster_id: str) -> None:
        """From now on nobody is a peer but the nodes of this cluster."""
        self._cluster_id = cluster_id

    def _may_speak_for(self, cluster_id: str) -> bool:
        return self._settings.tls_ca is None or self._has_seen_name or cluster_id in self._clusters_seen

    def read(self) -> Callable[[], None]:
        """Read the files, and return what puts them in force. Blocks. Raises BadSetting."""
        contexts = self._read()

        def use() -> None:
            self._now = contexts

        return use

    def _named(self, certificate: Certificate) -> frozenset[str]:
        if self._cluster_id is None:
            return frozenset()
        return ids_in(certificate, self._cluster_id, self._names)

    def _named_anywhere(self, certificate: Certificate) -> frozenset[str]:
        by_name, by_uri = ids_in(certificate, "", self._names), uris_in(certificate)
        self._has_seen_name |= bool(by_name)
        self._clusters_seen.update(cluster_id for cluster_id, _ in by_uri)
        return by_name | {node_id for _, node_id in by_uri}

    def _read(self) -> _Contexts:
        settings = self._settings
        read_private(required(settings.tls_key, "key"), "the key of the certificate", hint=KEY_HINT)
        http, redis = self._server(ssl.SSLContext), self._server(ssl.SSLContext)
        for context in (http, redis):
            if settings.tls_client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                _trust(context, settings.tls_client_ca)
        if settings.tls_ca is None:
            plain = ssl.create_default_context()
            _harden(plain)
            return _Contexts(http, redis, plain, plain)
        peers = self._server(PeerContext)
        peers.named = self._named
        peers.verify_mode = ssl.CERT_REQUIRED
        _trust(peers, settings.tls_ca)
        if settings.tls_client_ca is None:
            # To clients a certificate means nothing then, but one that is shown has to be one.
            _trust(http, settings.tls_ca)
        accept_peers(http, peers)
        dialled = self._dialled(settings.tls_ca, self._named)
        return _Contexts(http, redis, dialled, self._dialled(settings.tls_ca, self._named_anywhere))

    def _dialled(self, ca: Path, named: Callable[[Certificate], frozenset[str]]) -> PeerContext:
        context = PeerContext(ssl.PROTOCOL_TLS_CLIENT)
        _harden(context)
        # Who it is stands in the certificate, whatever the address is.
        context.check_hostname = False
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.sslobject_class = CheckedObject
        context.named = named
        _trust(context, ca)
        self._show(context)
        return context

    def _server(self, kind: type[ContextT]) -> ContextT:
        context = kind(ssl.PROTOCOL_TLS_SERVER)
        _harden(context)
        context.num_tickets = 0
        context.sslobject_class = CheckedObject
        self._show(context)
        return context

    def _show(self, context: ssl.SSLContext) -> None:
        """Let `context` show this node's certificate. Raises BadSetting."""
        cert, key = required(self._settings.tls_cert, "certificate"), required(self._settings.tls_key, "key")
        try:
            # A key that is encrypted must not make a node wait for a terminal.
            context.load_cert_chain(cert, key, password="")
        except (ssl.SSLError, OSError) as error:
            raise BadSetting(
                f"{cert} and {key} are no certificate and its key: {_words(error)}", hint=KEY_HINT
            ) from None


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise BadSetting(f"{path} has no certificates of a CA: {_words(error)}") from None


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it cannot be read").replace("_", " ").lower()
    return (error.strerror or str(error)).lower()
