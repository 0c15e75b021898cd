"""The syncs themselves, watched: what has a new name is durable under it when the call returns (hazard B78).

A crash of the process loses nothing that was written, so only the calls tell whether a power cut would. LMDB's own are
not seen here; `tests/e2e/test_power_cut.py` judges those.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from storage import DataFolder
from storage.env import LOCK_FILE as LMDB_LOCK_FILE
from storage.files import publish
from storage.folder import STATE_FOLDER
from storage.identity import LOCK_FILE
from tests.storage.crash_points import ACTIONS, Action
from tests.storage.snapshots import CLUSTER, feed, make_snapshot, state_of

LOCK_FILES = (LOCK_FILE, LMDB_LOCK_FILE)
"""Made anew at each start: it does no harm if they are gone."""


class Call(NamedTuple):
    """A call that changed `path`: `write`, `sync`, `make`, `rename` (away from it, to `target`) or `remove`."""

    kind: str
    path: Path
    target: Path | None = None


def path_of(descriptor: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))


@contextmanager
def watched() -> Iterator[list[Call]]:
    """All such calls through `os` inside the `with` block, in order."""
    calls: list[Call] = []
    patch = pytest.MonkeyPatch()

    def watch(name: str, note: Callable[..., Call | None]) -> None:
        plain = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            found = note(*arguments)
            result = plain(*arguments, **options)
            if found is not None:
                calls.append(found)
            return result

        patch.setattr(os, name, call)

    def opened(path: Any, flags: int, *_mode: int) -> Call | None:
        return Call("make", Path(path)) if flags & os.O_CREAT and not Path(path).exists() else None

    watch("open", opened)
    watch("mkdir", lambda path, *_mode: Call("make", Path(path)))
    watch("pwrite", lambda descriptor, *_data: Call("write", path_of(descriptor)))
    watch("ftruncate", lambda descriptor, _length: Call("write", path_of(descriptor)))
    watch("fsync", lambda descriptor: Call("sync", path_of(descriptor)))
    watch("fdatasync", lambda descriptor: Call("sync", path_of(descriptor)))
    watch("rename", lambda path, target: Call("rename", Path(path), Path(target)))
    watch("unlink", lambda path, **_options: Call("remove", Path(path)))
    try:
        yield calls
    finally:
        patch.undo()


def complaints(calls: list[Call]) -> list[str]:
    """What a power cut after these calls could undo, or between a rename and what it relies on."""
    found = []
    for number, call in enumerate(calls):
        before, after = calls[:number], calls[number + 1 :]
        is_kept = call.path.name not in LOCK_FILES and not any(
            one.path == call.path and one.kind in ("rename", "remove") for one in after
        )
        if call.target is not None:
            if _is_unsynced(before, call.path):
                found.append(f"{call.path.name} was renamed to {call.target.name} before it was synced")
            if Call("sync", call.target.parent) not in after:
                found.append(f"the folder of {call.target.name} was not synced after the rename")
        elif call.kind == "make" and is_kept and Call("sync", call.path.parent) not in after:
            found.append(f"the folder of the new {call.path.name} was not synced")
        elif call.kind == "write" and is_kept and Call("sync", call.path) not in after:
            found.append(f"{call.path.name} was written and not synced")
    return found


def _is_unsynced(calls: list[Call], path: Path) -> bool:
    """True if the last thing that was done to `path` was a write."""
    done = [call.kind for call in calls if call.path == path and call.kind in ("write", "sync")]
    return done[-1:] == ["write"]


class Create(Action):
    """A new folder: locked, with identity, log and state."""

    def act(self) -> None:
        with DataFolder(self.root / "new" / "n1", node_id="n1") as folder:
            folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")

    def check(self) -> None:
        with DataFolder(self.root / "new" / "n1", node_id="n1") as folder:
            assert folder.identity is not None


class Install(Action):
    """A snapshot from its first byte to its place as the state."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.snapshot = make_snapshot(root, 2)
        with DataFolder(root / "n1", node_id="n1") as folder:
            folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")

    def act(self) -> None:
        with DataFolder(self.root / "n1", node_id="n1") as folder:
            feed(folder.receiver, self.snapshot)
            folder.swap_in_snapshot()

    def check(self) -> None:
        assert state_of(self.root / "n1" / STATE_FOLDER)[0] == 20


WATCHED = {**ACTIONS, "Create": Create, "Install": Install}


@pytest.mark.parametrize("name", WATCHED)
def test_what_has_a_new_name_is_durable_under_it(name: str, tmp_path: Path) -> None:
    action = WATCHED[name](tmp_path)
    with watched() as calls:
        action.act()
    assert complaints(calls) == []
    assert {"sync"} < {call.kind for call in calls}, "something was watched"
    action.check()


@pytest.mark.parametrize(
    ("omitted", "complaint"),
    [
        ("file", "record was renamed to final before it was synced"),
        ("folder", "the folder of final was not synced after the rename"),
        ("nothing", None),
    ],
)
def test_a_sync_that_is_left_out_is_noticed(omitted: str, complaint: str | None, tmp_path: Path) -> None:
    with watched() as calls:
        descriptor = os.open(tmp_path / "record", os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(descriptor, b"content", 0)
        if omitted != "file":
            os.fsync(descriptor)
        os.close(descriptor)
        if omitted == "folder":
            os.rename(tmp_path / "record", tmp_path / "final")
        else:
            publish(tmp_path / "record", tmp_path / "final")
    assert complaints(calls) == ([complaint] if complaint else [])
