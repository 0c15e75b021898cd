"""Reading a snapshot file to serve it, or to restore from it; and the name by which two nodes agree on which one they
mean."""

import os
from dataclasses import dataclass
from pathlib import Path

from storage.errors import SnapshotDamaged
from storage.export import hash_file
from storage.manifest import DIGEST_BYTES, FRAME_BYTES, HEADER_BYTES, decode_header
from storage.system_failures import mapped, system_failure


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotId:
    """The name of a snapshot: two with equal fields are equal in every byte. `digest` is the container's own, at its
    end."""

    cluster_id: str
    index: int
    term: int
    size_bytes: int
    digest: bytes

    @property
    def data_bytes(self) -> int:
        """Length of the LMDB file in it."""
        return self.size_bytes - FRAME_BYTES

    @property
    def content_bytes(self) -> int:
        """Length of the part that the digest covers: all but the digest itself."""
        return self.size_bytes - DIGEST_BYTES


class SnapshotReader:
    """A snapshot file, read in pieces. Reads from any thread; memory is that of one piece."""

    def __init__(self, path: Path) -> None:
        """Open `path` and read its header. Raises `SnapshotDamaged`, `SnapshotForeign`, `SystemFailure`."""
        self._path = path
        with mapped(path, "open"):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.manifest = decode_header(os.pread(self._descriptor, HEADER_BYTES, 0))
            self.size_bytes = os.fstat(self._descriptor).st_size
            if self.size_bytes != self.manifest.size_bytes:
                raise SnapshotDamaged(
                    str(path), f"it has {self.size_bytes} bytes of {self.manifest.size_bytes}"
                )
            self.digest = os.pread(self._descriptor, DIGEST_BYTES, self.size_bytes - DIGEST_BYTES)
        except OSError as error:
            self.close()
            raise system_failure(path, "read", error) from error
        except BaseException:
            self.close()
            raise

    @property
    def id(self) -> SnapshotId:
        """Which one it is."""
        return SnapshotId(
            cluster_id=self.manifest.cluster_id,
            index=self.manifest.index,
            term=self.manifest.term,
            size_bytes=self.size_bytes,
            digest=self.digest,
        )

    def read(self, offset: int, bytes_max: int) -> bytes:
        """Up to `bytes_max` bytes from `offset`; empty at the end only. Raises `SystemFailure`."""
        with mapped(self._path, "read"):
            return os.pread(self._descriptor, bytes_max, offset)

    def verify(self) -> None:
        """Compare all of it with its digest. Raises `SnapshotDamaged`, `SystemFailure`."""
        with mapped(self._path, "read"):
            found = hash_file(self._descriptor, self.size_bytes - DIGEST_BYTES)
        if found != self.digest:
            raise SnapshotDamaged("the snapshot", "its digest does not match")

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
