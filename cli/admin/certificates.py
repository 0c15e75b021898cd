"""Making certificates: a CA, and what it signs for nodes and for clients.

It needs the package `cryptography`, which only those have who make certificates here and not by other means: the extra
`tls`. Keys are of the curve P-256, with which a handshake takes a node a tenth of what RSA takes.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_LEEWAY = timedelta(hours=1)
"""Certificates are valid from so long ago, because clocks of machines differ."""

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    def write(self, certificate: Path, key: Path) -> None:
        """Write both as PEM, the key for its owner alone; files that are there are not touched. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(key, flags, 0o600), "wb") as file:
            file.write(pem)
        with os.fdopen(os.open(certificate, flags, 0o644), "wb") as file:
            file.write(self.certificate.public_bytes(serialization.Encoding.PEM))


def make_ca(name: str, days: int) -> Pair:
    """A new CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _begun(name, key, days)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_ca=True), critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def make_node(ca: Pair, node_id: str, cluster_id: str, hosts: tuple[str, ...], days: int) -> Pair:
    """What a node shows to peers, which it names itself to by a URI, and to clients, who reach it as one of `hosts`,
    names or IP addresses."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"raftdb://{cluster_id}/{node_id}")]
    names.extend(map(_host, hosts))
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _signed(ca, node_id, purposes, names, days)


def make_client(ca: Pair, name: str, days: int) -> Pair:
    """What a client shows to nodes."""
    return _signed(ca, name, [ExtendedKeyUsageOID.CLIENT_AUTH], [], days)


def read_pair(certificate: Path, key: Path) -> Pair:
    """The CA in two files. Raises OSError, ValueError."""
    found = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(found, Key):
        raise ValueError("the key is not one of a curve, as 'raftdb cert ca' makes it")
    return Pair(x509.load_pem_x509_certificate(certificate.read_bytes()), found)


def _signed(
    ca: Pair,
    name: str,
    purposes: list[x509.ObjectIdentifier],
    names: list[x509.GeneralName],
    days: int,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _begun(name, key, days)
        .issuer_name(ca.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(ca.key, hashes.SHA256()), key)


def _begun(name: str, key: Key, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_LEEWAY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
