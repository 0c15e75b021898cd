"""Certificates for tests: CAs, and what they sign, made by `raftdb cert`'s own means."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.admin import certificates
from raftdb.server.certificates import Certificates
from raftdb.server.config import REQUIRED, Settings

CLUSTER = "c1"
HOSTS = ("127.0.0.1", "localhost")


class Authority:
    """A CA in a folder of its own. Files are written once, those of the nodes n1, n2 and n3 at once: a test on an event
    loop writes none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pair = certificates.make_ca("test", 1)
        folder.mkdir()
        self._pair.write(folder / "ca.crt", folder / "ca.key")
        self._written_pairs: dict[str, tuple[Path, Path]] = {}
        for node_id in ("n1", "n2", "n3"):
            self.node(node_id)

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    def node(
        self, node_id: str, *, cluster: str = CLUSTER, hosts: tuple[str, ...] = HOSTS
    ) -> tuple[Path, Path]:
        """The files of a node's certificate and key."""
        name = f"{cluster}-{node_id}"
        if name in self._written_pairs:
            return self._written_pairs[name]
        return self._written(name, certificates.make_node(self._pair, node_id, cluster, hosts, 1))

    def client(self, name: str) -> tuple[Path, Path]:
        """The files of a client's certificate and key."""
        return self._written(f"client-{name}", certificates.make_client(self._pair, name, 1))

    def expired(self, node_id: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
        """Those of a node, since yesterday."""
        monkeypatch.setattr(certificates, "CLOCK_LEEWAY", 3 * certificates.CLOCK_LEEWAY * 24)
        pair = certificates.make_node(self._pair, node_id, CLUSTER, HOSTS, -1)
        monkeypatch.undo()
        return self._written(f"expired-{node_id}", pair)

    def settings(
        self, node_id: str, *, tls: str = REQUIRED, client_ca: Path | None = None, is_mutual: bool = True
    ) -> Settings:
        """Settings of a node of the test's cluster."""
        cert, key = self.node(node_id)
        return Settings(
            id=node_id,
            tls=tls,
            tls_cert=cert,
            tls_key=key,
            tls_ca=self.ca if is_mutual else None,
            tls_client_ca=client_ca,
        )

    def context(self, cert: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this CA, and shows `cert`."""
        context = ssl.create_default_context(cafile=self.ca)
        if cert is not None:
            context.load_cert_chain(*cert)
        return context

    def _written(self, name: str, pair: certificates.Pair) -> tuple[Path, Path]:
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        pair.write(cert, key)
        self._written_pairs[name] = cert, key
        return cert, key


async def tls_of(settings: Settings, cluster: str = CLUSTER) -> Certificates:
    """The TLS of a node with these settings."""
    found = Certificates(settings)
    found.belong_to(cluster)
    (await asyncio.to_thread(found.read))()
    return found


def write_chain(folder: Path, length: int) -> tuple[Path, Path]:
    """The files of a certificate and key of nobody's CA, behind which stand so many that each vouch for the one
    before."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    found = []
    for number in range(length):
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"c{number}")]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"c{number + 1}")]))
            .public_key(key.public_key())
            .serial_number(number + 1)
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number > 0, path_length=None), critical=True)
        )
        found.append(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    chain, secret = folder / f"chain-{length}.crt", folder / f"chain-{length}.key"
    chain.write_bytes(b"".join(found))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, secret
