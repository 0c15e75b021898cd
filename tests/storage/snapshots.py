"""States, snapshots of them, and pieces of those, for the tests of snapshots."""

from collections.abc import Callable, Mapping
from pathlib import Path

from storage import LmdbStateStore, LogBatch, LogStore, Manifest, SnapshotId, SnapshotReader, SnapshotReceiver
from tests.storage.media import blocks

CONFIGURATION_KEY = b"configuration"
CLUSTER = "c1"


def contents(generation: int, count: int = 50) -> dict[bytes, bytes]:
    """The keys of a generation: some common to all, some its own, and its configuration."""
    return {
        CONFIGURATION_KEY: b"members of %d" % generation,
        **{b"key %d" % number: b"value of %d" % generation for number in range(count)},
        **{b"only %d in %d" % (number, generation): b"x" * 300 for number in range(count)},
    }


def checkpoint(state: LmdbStateStore) -> None:
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.thaw(frozen)


def fill(folder: Path, generation: int, *, count: int = 50) -> None:
    """Make the state in `folder` that of a generation: index 10 times it, term 1 more."""
    state = LmdbStateStore(folder, create=True)
    old: Mapping[bytes, bytes | None] = dict.fromkeys(
        key for key, _value in state.scan(b"", None, limit=1 << 30)
    )
    state.write({**old, **contents(generation, count)}, index=10 * generation, term=generation + 1)
    checkpoint(state)
    state.close()


def describe(read: Callable[[bytes], bytes | None]) -> tuple[int, bytes]:
    return 7, read(CONFIGURATION_KEY) or b""


def export(folder: Path, path: Path, *, cluster_id: str = CLUSTER) -> Manifest:
    state = LmdbStateStore(folder, create=False)
    try:
        return state.export(path, cluster_id=cluster_id, describe=describe)
    finally:
        state.close()


def make_snapshot(root: Path, generation: int, *, count: int = 50, cluster_id: str = CLUSTER) -> Path:
    """A snapshot file of a generation, made in `root`."""
    fill(root / f"source {generation}", generation, count=count)
    path = root / f"{generation}.snapshot"
    export(root / f"source {generation}", path, cluster_id=cluster_id)
    return path


def id_of(path: Path) -> SnapshotId:
    reader = SnapshotReader(path)
    reader.close()
    return reader.id


def feed(receiver: SnapshotReceiver, path: Path, *, piece_bytes: int = 20_000) -> Manifest:
    """Send the whole of `path` from where the receiver says, and finish."""
    content = path.read_bytes()
    offset = receiver.begin(id_of(path))
    while offset < len(content):
        offset = receiver.append(content[offset : offset + piece_bytes])
    return receiver.finish()


def state_of(folder: Path) -> tuple[int, dict[bytes, bytes]]:
    """(checkpoint index, everything) of the state in `folder`, after writing to it as a node would."""
    state = LmdbStateStore(folder, create=False)
    try:
        index = state.checkpoint[0]
        state.verify()
        return index, dict(state.scan(b"", None, limit=1 << 30))
    finally:
        state.close()


def fill_log(log: LogStore, manifest: Manifest) -> None:
    index = manifest.index + 1
    log.write(
        [LogBatch(b"hard", None, blocks(index, index, term=manifest.term, kind=2, data=b"new members"))]
    )
