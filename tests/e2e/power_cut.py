"""A disk whose power can be cut: `python -m tests.e2e.power_cut BACKING MOUNT SEED`.

A FUSE file system that shows the folder BACKING at MOUNT and keeps what was written to a file since its last fsync in
memory only: writes and truncations. A write through a descriptor with O_DSYNC is durable by itself, and nothing else
of its file is. Names (create, rename, unlink) are durable at once: losing them is not modelled.

SIGUSR1 cuts the power: all that was not synced is forgotten. SIGUSR2 cuts it too, but each write that was not synced
survives by the toss of a coin (SEED), whatever came before it. In both cases the process prints how many changes were
pending and how many of them survived, and ends; the mount then answers errors until it is unmounted.

`--check` instead of folders: exit code 0 if this machine can do it, 77 and the reason on stdout if not.
"""

import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

EXIT_NOT_POSSIBLE = 77
ALL_LOST = signal.SIGUSR1
SOME_SURVIVE = signal.SIGUSR2
DEVICE = Path("/dev/fuse")
CAP_SYS_ADMIN = 21


class Change(NamedTuple):
    """`data` written at `offset`, or the file cut or stretched to `offset` bytes if `data` is None."""

    offset: int
    data: bytes | None
    is_durable: bool


class Disk:
    """The operations that the FUSE library calls; paths are those below the mount."""

    use_ns = True

    def __init__(self, backing: Path, seed: int) -> None:
        self._backing = backing
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._pending: dict[str, list[Change]] = {}
        self._dsync: set[int] = set()

    def __call__(self, operation: str, *arguments: object) -> object:
        """One operation at a time, and none while the power is being cut."""
        with self._lock:
            return getattr(self, operation)(*arguments)

    def cut_power(self, number: int) -> None:
        """Write what survives, say how much that is, and end the process."""
        self._lock.acquire()
        pending = survived = 0
        for path, changes in sorted(self._pending.items()):
            kept = [
                change
                for change in changes
                if change.is_durable or (number == SOME_SURVIVE and self._chance.random() < 0.5)
            ]
            file = os.open(self._real(path), os.O_WRONLY)
            apply(file, kept)
            os.close(file)
            pending, survived = pending + len(changes), survived + len(kept)
        print(pending, survived, flush=True)
        os._exit(0)

    def _real(self, path: str) -> str:
        return f"{self._backing}{path}"

    # Contents: the backing file with the pending changes laid over it.

    def getattr(self, path: str, _file: int | None = None) -> dict[str, int]:
        found = os.lstat(self._real(path))
        size = found.st_size
        for offset, data, _is_durable in self._pending.get(path, ()):
            size = offset if data is None else max(size, offset + len(data))
        plain = {name: getattr(found, name) for name in ("st_ino", "st_mode", "st_nlink", "st_uid", "st_gid")}
        times = {f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}
        return {**plain, **times, "st_size": size, "st_blocks": found.st_blocks}

    def read(self, path: str, size: int, offset: int, file: int) -> bytes:
        shown = bytearray(max(0, min(size, self.getattr(path)["st_size"] - offset)))
        base = os.pread(file, len(shown), offset)
        shown[: len(base)] = base
        for at, data, _is_durable in self._pending.get(path, ()):
            begin = max(at - offset, 0)
            if data is None:
                shown[begin:] = bytes(len(shown[begin:]))
                continue
            end = min(at + len(data) - offset, len(shown))
            if begin < end:
                shown[begin:end] = data[begin + offset - at : end + offset - at]
        return bytes(shown)

    def write(self, path: str, data: bytes, offset: int, file: int) -> int:
        self._pending.setdefault(path, []).append(Change(offset, data, file in self._dsync))
        return len(data)

    def truncate(self, path: str, length: int, _file: int | None = None) -> None:
        self._pending.setdefault(path, []).append(Change(length, None, False))

    def fsync(self, path: str, _data_only: int, file: int) -> None:
        apply(file, self._pending.pop(path, ()))

    def open(self, path: str, flags: int) -> int:
        file = os.open(self._real(path), os.O_RDWR)
        if flags & os.O_DSYNC:
            self._dsync.add(file)
        return file

    def create(self, path: str, mode: int) -> int:
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT, mode)

    def release(self, _path: str, file: int) -> None:
        self._dsync.discard(file)
        os.close(file)

    # Names: passed through.

    def readdir(self, path: str, _file: int) -> Iterator[str]:
        return iter([".", "..", *sorted(os.listdir(self._real(path)))])

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._real(path), mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._real(path))

    def unlink(self, path: str) -> None:
        os.unlink(self._real(path))
        self._pending.pop(path, None)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._real(old), self._real(new))
        self._pending.pop(new, None)
        if old in self._pending:
            self._pending[new] = self._pending.pop(old)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real(path), mode)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        if times is None:
            os.utime(self._real(path))
        else:
            os.utime(self._real(path), ns=times)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._real(path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_ffree", "f_files", "f_frsize", "f_namemax")
        return {name: getattr(found, name) for name in names}


def apply(file: int, changes: Iterable[Change]) -> None:
    """Make the changes in the backing file, in their order."""
    for offset, data, _is_durable in changes:
        if data is None:
            os.ftruncate(file, offset)
        else:
            os.pwrite(file, data, offset)


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN, which the root user of a container often has not."""
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> CAP_SYS_ADMIN & 1)


def missing() -> str | None:
    """What this machine lacks, or None."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"{DEVICE} is missing or not ours to open"
    if os.geteuid() != 0 and shutil.which("fusermount") is None:
        return "the program fusermount is missing"
    if os.geteuid() == 0 and not may_mount():
        return "the right to mount (CAP_SYS_ADMIN) is missing"
    try:
        import fuse  # noqa: F401
    except ImportError:
        return "the package fusepy (module fuse) is missing"
    except OSError as error:
        return f"the library libfuse 2 is missing: {error}"
    return None


def serve(backing: Path, mount: Path, seed: int) -> None:
    """Mount, and serve until the mount is unmounted or the power is cut."""
    from fuse import FUSE

    os.umask(0)
    disk = Disk(backing, seed)
    # Blocked in every thread, for one that waits for them: the loop of libfuse is C code and runs no handler.
    signals = (ALL_LOST, SOME_SURVIVE)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    threading.Thread(target=lambda: disk.cut_power(signal.sigwait(signals)), daemon=True).start()
    # Not direct_io: LMDB maps its file. With use_ino a file keeps its inode number as long as it lives.
    FUSE(disk, str(mount), foreground=True, nothreads=True, use_ino=True)


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        reason = missing()
        print(reason or "")
        sys.exit(EXIT_NOT_POSSIBLE if reason else 0)
    serve(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
