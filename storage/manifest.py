"""The container of a snapshot, which is also the format of a backup: a manifest of its origin, the data, a digest.

    header    `HEADER_BYTES`: mark, checksum and length of the manifest, the manifest as CBOR, zeros
    data      a whole LMDB data file, `data_bytes` long: the state at one index, with few free pages or none
    digest    SHA-256 of all that comes before it

The data is a physical copy and not a stream of records. With a million keys of 100 bytes, the copy was made, hashed and
synced in 0.6 s and verified where it arrived in 0.8 s, to the last checksum; the records, in order, took 1.4 s to write
out and 2 s to put into a new tree, and held the interpreter lock for up to 20 ms in doing so. The price is that the
file fits LMDB's format, page size and byte order only; so the header names these, and a node that cannot read the file
says so.

The header has a fixed size, so the data can be received straight into the file that LMDB will open. It is as large
as the largest page of LMDB.
"""

import mmap
import sys
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from struct import Struct
from typing import Any, get_type_hints
from zlib import crc32

import cbor2
import lmdb

from storage.contract import INDEX_MAX
from storage.errors import Misused, SnapshotDamaged, SnapshotForeign

SNAPSHOT_FORMAT_VERSION = 1

MAGIC = b"raftdb snapshot\n"
HEADER_BYTES = 64 << 10
HEADER_START = Struct(">16sII")
"""Mark; CRC of what follows it up to the zeros; length of the manifest."""
MANIFEST_BYTES_MAX = HEADER_BYTES - HEADER_START.size
DIGEST_BYTES = 32
FRAME_BYTES = HEADER_BYTES + DIGEST_BYTES
"""The bytes that a container has besides its data."""

LMDB_PAGE_BYTES_MAX = 32 << 10
PAGE_BYTES = min(mmap.PAGESIZE, LMDB_PAGE_BYTES_MAX)
"""Page size that LMDB uses on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The description of a snapshot: the state of `cluster_id` at (index, term), its configuration, and the kind of
    machine.

    `configuration` is opaque here: the last committed one as of `index`, from `configuration_index` (hazard B35).
    """

    cluster_id: str
    index: int
    term: int
    configuration_index: int
    configuration: bytes
    data_bytes: int
    format_version: int = SNAPSHOT_FORMAT_VERSION
    lmdb_version: str = ".".join(map(str, lmdb.version()))
    page_bytes: int = PAGE_BYTES
    byte_order: str = sys.byteorder

    @property
    def size_bytes(self) -> int:
        """Length of the whole container."""
        return self.data_bytes + FRAME_BYTES


FIELD_TYPES = get_type_hints(Manifest)
FIELD_NAMES = frozenset(field.name for field in fields(Manifest))


def encode_header(manifest: Manifest) -> bytes:
    """The first `HEADER_BYTES` of a container. Raises `Misused` if the configuration is too long."""
    data = cbor2.dumps(asdict(manifest), canonical=True)
    if len(data) > MANIFEST_BYTES_MAX:
        raise Misused(f"a manifest of {len(data)} bytes: the limit is {MANIFEST_BYTES_MAX}")
    checked = len(data).to_bytes(4, "big") + data
    return (MAGIC + crc32(checked).to_bytes(4, "big") + checked).ljust(HEADER_BYTES, b"\0")


def decode_header(header: bytes) -> Manifest:
    """The manifest in `header`. Raises `SnapshotDamaged`; `SnapshotForeign` if it is sound but of no use here."""
    if not header.startswith(MAGIC):
        raise SnapshotDamaged("the snapshot", "it does not begin as one")
    if len(header) != HEADER_BYTES:
        raise SnapshotDamaged("the snapshot", f"its header has {len(header)} bytes of {HEADER_BYTES}")
    _magic, checksum, length = HEADER_START.unpack_from(header)
    end = HEADER_START.size + length
    data = header[HEADER_START.size : end]
    if length != len(data) or crc32(header[HEADER_START.size - 4 : end]) != checksum or any(header[end:]):
        raise SnapshotDamaged("the header of the snapshot", "its checksum does not match")
    # The checksum says that some version of raftdb wrote it, so its version is the first thing to look at.
    try:
        found: object = cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError, TypeError) as error:
        raise SnapshotDamaged("the header of the snapshot", f"it cannot be decoded: {error}") from error
    if not isinstance(found, dict):
        raise SnapshotDamaged("the header of the snapshot", "it is not a manifest")
    version = found.get("format_version")
    if version != SNAPSHOT_FORMAT_VERSION:
        raise SnapshotForeign(
            f"the snapshot has format version {version}, this program reads {SNAPSHOT_FORMAT_VERSION}"
        )
    manifest = _manifest_of(found)
    _check_machine(manifest)
    return manifest


def pack_container(manifest: Manifest, data: bytes) -> bytes:
    """A whole container in memory, of `data` that need not be LMDB's. For the twin in memory, and for tests."""
    content = encode_header(manifest) + data
    return content + sha256(content).digest()


def unpack_container(container: bytes) -> tuple[Manifest, bytes]:
    """Manifest and data of a container in memory, verified. Raises `SnapshotDamaged`, `SnapshotForeign`."""
    content, digest = container[:-DIGEST_BYTES], container[-DIGEST_BYTES:]
    if sha256(content).digest() != digest:
        raise SnapshotDamaged("the snapshot", "its digest does not match")
    manifest = decode_header(content[:HEADER_BYTES])
    if len(container) != manifest.size_bytes:
        raise SnapshotDamaged("the snapshot", f"it has {len(container)} bytes of {manifest.size_bytes}")
    return manifest, content[HEADER_BYTES:]


def _manifest_of(found: dict[str, Any]) -> Manifest:
    """Exactly the fields of a manifest, of exactly their types, numbers in range. Raises `SnapshotDamaged`."""
    if found.keys() != FIELD_NAMES:
        raise SnapshotDamaged("the header of the snapshot", "it has other fields than a manifest")
    for name, value in found.items():
        # A bool is an int to `isinstance`, and none of these is a bool.
        if type(value) is not FIELD_TYPES[name]:
            raise SnapshotDamaged("the header of the snapshot", f"{name} is of another type")
        if isinstance(value, int) and not 0 <= value <= INDEX_MAX:
            raise SnapshotDamaged("the header of the snapshot", f"{name} is out of range")
    return Manifest(**found)


def _check_machine(manifest: Manifest) -> None:
    """LMDB can open the data on this machine. Raises `SnapshotForeign`."""
    own = ".".join(map(str, lmdb.version()))
    # LMDB keeps its data format within a minor version.
    differences = [
        f"{name} is {theirs}, here {ours}"
        for name, theirs, ours in (
            ("LMDB's version", manifest.lmdb_version.rpartition(".")[0], own.rpartition(".")[0]),
            ("the page size", manifest.page_bytes, PAGE_BYTES),
            ("the byte order", manifest.byte_order, sys.byteorder),
        )
        if theirs != ours
    ]
    if differences:
        raise SnapshotForeign(
            f"the snapshot is from another kind of machine: {'; '.join(differences)}",
            hint="use it on a machine like the one that made it",
        )
