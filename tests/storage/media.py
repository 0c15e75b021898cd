"""What a store is opened on, twice if need be: a folder for LMDB, a disk in memory for the twins."""

import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from storage import (
    LmdbLogStore,
    LmdbStateStore,
    LogStore,
    MemoryDisk,
    MemoryLogStore,
    MemoryStateStore,
    StateStore,
)

KINDS = ("lmdb", "memory")
ROOT = Path(__file__).resolve().parents[2]
CHILD_SECONDS_MAX = 30


MEMORY_FOLDER = Path("/dev/shm")


def scratch_folder() -> Path:
    """A new folder where an fsync costs nothing, if the machine has such a place: for tests of thousands of commits
    that ask what LMDB stores and not when."""
    return Path(tempfile.mkdtemp(dir=MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None))


class Medium:
    """A place for a log or a state. `log` and `state` open it, as a starting process would."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.disk = MemoryDisk()
        self._made = False

    def log(self) -> LogStore:
        made, self._made = self._made, True
        if self.kind == "memory":
            return MemoryLogStore(self.disk)
        return LmdbLogStore(self.folder, create=not made)

    def state(self) -> StateStore:
        made, self._made = self._made, True
        if self.kind == "memory":
            return MemoryStateStore(self.disk)
        return LmdbStateStore(self.folder, create=not made)


def blocks(
    first: int, last: int, *, term: int = 1, kind: int = 1, data: bytes | None = None, of: int | None = None
) -> list[bytes]:
    """The entries first..last of one term and kind, in one block or in blocks `of` so many each; each entry says its
    index unless `data` is given. They are made by hand, from what `storage.blocks` says of their layout."""
    size = last + 1 - first if of is None else of
    return [
        _block(start, min(start + size, last + 1), term, kind, data)
        for start in range(first, last + 1, size or 1)
    ]


def _block(start: int, stop: int, term: int, kind: int, data: bytes | None) -> bytes:
    parts = [b"data of %d" % index if data is None else data for index in range(start, stop)]
    rest = struct.pack(">QQIB", start, term, len(parts), kind)
    rest += b"".join([*(len(part).to_bytes(4) for part in parts), *parts])
    return struct.pack(">I", zlib.crc32(rest)) + rest


def run_child(source: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run Python `source` in a process of its own, with the project on its path."""
    return subprocess.run(
        child_command(source, arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS_MAX,
        check=False,
    )


def child_command(source: str, arguments: Sequence[object]) -> list[str]:
    """The command line of a child; it finds the project in its working folder, `ROOT`."""
    return [sys.executable, "-c", source, *map(str, arguments)]
