"""How long does it take to apply the worst entries about locks?

    python -m benchmarks.lock_apply [--waits 10000]

The machine applies them to a state on the disk, without a cluster: a line and a chain of so many waits are not made
over HTTP in a reasonable time. Each row has the processor time of one entry, in milliseconds, with the state in memory,
as it is until the next checkpoint, and read from the disk again.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import temporary_folder
from raftdb.limits import LOCK_TTL_MS_MAX
from raftdb.machine.entries import encode, stamp
from raftdb.machine.layer import Layer
from raftdb.machine.locks.deadlocks import VISITED_MAX
from raftdb.machine.locks.holding import Lock, Unlock
from raftdb.machine.locks.records import LockMode, owner_in, token_of
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Expire, Operation, SessionOperation, WaitingOperation
from raftdb.machine.sessions import CloseSession, RegisterSession
from storage import LmdbStateStore

SESSION = b"s" * 16


class State:
    """A state, the index of the last entry, and the time."""

    def __init__(self, folder: Path) -> None:
        self.store = LmdbStateStore(folder, create=True)
        self.index, self.now_ms = 0, 1_000

    def apply(self, operation: Operation) -> float:
        """Apply an entry; returns the milliseconds of processor time that it took."""
        self.index += 1
        data, layer = stamp(encode(operation), self.now_ms), Layer(self.store)
        began = time.process_time()
        Machine().apply(self.index, 1, data, layer)
        milliseconds = (time.process_time() - began) * 1000
        self.store.write(layer.changes, index=self.index, term=1)
        return milliseconds

    def checkpoint(self) -> None:
        """Write everything to the disk."""
        frozen = self.store.freeze()
        if frozen is not None:
            self.store.flush(frozen)
            self.store.thaw(frozen)

    def hold(self, name: bytes, owner: bytes) -> None:
        """Let an owner hold a lock for long."""
        self.apply(Lock(name, ttl_ms=LOCK_TTL_MS_MAX, owner=owner))

    def wait(self, name: bytes, owner: bytes, mode: LockMode = LockMode.EXCLUSIVE) -> float:
        """Let an owner wait for it."""
        return self.apply(WaitingOperation(Lock(name, mode, owner=owner)))

    def unlock(self, name: bytes, owner: bytes) -> float:
        """Let it give the lock back."""
        return self.apply(Unlock(name, token_of(self.store, owner_in(b"", owner), name)))


def line(state: State, waits: int) -> dict[str, Callable[[], float]]:
    """A lock with a long line; whoever comes last holds something that others wait for."""
    state.hold(b"line", b"holder")
    state.hold(b"other", b"late")
    state.wait(b"other", b"first")
    for number in range(waits - 1):
        state.wait(b"line", b"w%d" % number)
    return {
        "the last in the line": lambda: state.wait(b"line", b"late"),
        "a lock with that line is handed on": lambda: state.unlock(b"line", b"holder"),
    }


def chain(state: State, waits: int) -> dict[str, Callable[[], float]]:
    """Owners that each wait for the next; the last one asks for what the first one holds, and a stranger does. They are
    as many as a search comes to: it counts their locks, too."""
    waits = min(waits, VISITED_MAX // 2)
    for number in range(waits):
        state.hold(b"c%d" % number, b"o%d" % number)
    for number in range(waits - 2):
        state.wait(b"c%d" % (number + 1), b"o%d" % number)
    state.hold(b"mine", b"stranger")
    state.wait(b"mine", b"friend")
    return {
        "a cycle of all of them is refused": lambda: state.wait(b"c0", b"o%d" % (waits - 2)),
        "a wait at the end of a chain": lambda: state.wait(b"c0", b"stranger"),
    }


def pairs(state: State, waits: int) -> dict[str, Callable[[], float]]:
    """Owners that each wait for both locks of the next."""
    waits = min(waits // 2, VISITED_MAX // 5)
    for number in range(waits):
        for lock in (b"c%d", b"d%d"):
            state.hold(lock % number, b"o%d" % number)
    for number in range(waits - 2):
        for lock in (b"c%d", b"d%d"):
            state.wait(lock % (number + 1), b"o%d" % number)
    return {"a cycle of those that wait for two locks each": lambda: state.wait(b"c0", b"o%d" % (waits - 2))}


def session(state: State, waits: int) -> dict[str, Callable[[], float]]:
    """A session with 1,000 locks, for each of which somebody waits."""
    state.apply(RegisterSession(SESSION))
    for number in range(1_000):
        lock = Lock(b"s%d" % number, ttl_ms=LOCK_TTL_MS_MAX)
        state.apply(SessionOperation(SESSION, number + 1, number + 1, lock))
        state.wait(b"s%d" % number, b"v%d" % number)

    def end() -> float:
        slowest = state.apply(CloseSession(SESSION))
        for _ in range(20):
            state.now_ms += 2
            slowest = max(slowest, state.apply(Expire()))
        return slowest

    return {"the end of a session with 1,000 locks, its slowest entry": end}


def shared(state: State, waits: int) -> dict[str, Callable[[], float]]:
    """Many that share a lock once it is given back."""
    state.hold(b"table", b"writer")
    for number in range(1_000):
        state.wait(b"table", b"r%d" % number, LockMode.SHARED)
    return {"500 get a lock that they share": lambda: state.unlock(b"table", b"writer")}


def main() -> None:
    """Measure everything twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--waits", type=int, default=10_000, help="waits in the line and in the chain (10000)"
    )
    options = parser.parse_args()
    print(f"{'':60}{'in memory':>12}{'from disk':>12}   ms")
    for prepare in (line, chain, pairs, session, shared):
        rows: dict[str, list[float]] = {}
        for reads_disk in (False, True):
            with temporary_folder(None) as folder:
                state = State(Path(folder) / "state")
                steps = prepare(state, options.waits)
                for name, step in steps.items():
                    if reads_disk:
                        state.checkpoint()
                    rows.setdefault(name, []).append(step())
                state.store.close()
        for name, (memory_ms, disk_ms) in rows.items():
            print(f"{name:60}{memory_ms:12.1f}{disk_ms:12.1f}", flush=True)


if __name__ == "__main__":
    main()
