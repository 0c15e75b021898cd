"""Crashes at every step of what is done with snapshots, a step being a call that changes a file or a folder.

An action is run again and again, cut off before its first such call, its second, and so on, until it runs through. It
may be cut off by an exception, after which nothing can be written any more, or by the end of the process, or by a
disk that is full from there on.
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage import (
    DataFolder,
    LmdbLogStore,
    LogBatch,
    OutOfSpace,
    SnapshotReader,
    SnapshotReceiver,
    WriteFailed,
    recover_folder,
    restore_folder,
)
from storage.errors import FolderUnfinished
from storage.folder import INCOMING_FOLDER, RECOVERING_FILE, STATE_FOLDER
from tests.storage.media import blocks, scratch_folder
from tests.storage.snapshots import contents, export, feed, fill, fill_log, make_snapshot, state_of

CALLS = ("open", "mkdir", "rename", "unlink", "rmdir", "pwrite", "fsync", "fdatasync")
EXIT_STATUS = 9


class Crash(BaseException):
    """The process is dead from here on."""


def changes_something(name: str, arguments: tuple[Any, ...]) -> bool:
    """Opening a file to read it is no step."""
    return name != "open" or bool(arguments[1] & os.O_CREAT)


@contextmanager
def cut_off(step: int, how: str) -> Iterator[list[int]]:
    """Let `step` calls through; what happens at the next one is `how`. Yields the count of calls so far."""
    originals = {name: getattr(os, name) for name in CALLS}
    count = [0]

    def wrap(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if changes_something(name, arguments):
                if count[0] >= step:
                    if how == "exit":
                        os._exit(EXIT_STATUS)
                    if how == "raise":
                        raise Crash
                    if name not in ("unlink", "rmdir"):
                        raise OSError(errno.ENOSPC, "no space left")
                count[0] += 1
            return originals[name](*arguments, **options)

        return call

    try:
        for name in CALLS:
            setattr(os, name, wrap(name))
        yield count
    finally:
        for name in CALLS:
            setattr(os, name, originals[name])


class Action:
    """Something to be cut off, and what must hold afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def act(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """Old or new is there, and the action can be done again, to the new one."""
        raise NotImplementedError


class Export(Action):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        fill(root / "state", 1)
        export(root / "state", root / "out")
        fill(root / "state", 2)

    def act(self) -> None:
        export(self.root / "state", self.root / "out")

    def index(self) -> int:
        reader = SnapshotReader(self.root / "out")
        reader.verify()
        reader.close()
        return reader.manifest.index

    def check(self) -> None:
        assert self.index() in (10, 20)
        self.act()
        assert self.index() == 20


class Receive(Action):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.snapshot = make_snapshot(root, 2)

    def act(self) -> None:
        feed(SnapshotReceiver(self.root / INCOMING_FOLDER), self.snapshot)

    def check(self) -> None:
        receiver = SnapshotReceiver(self.root / INCOMING_FOLDER)
        assert feed(receiver, self.snapshot).index == 20
        assert receiver.complete
        assert SnapshotReceiver(self.root / INCOMING_FOLDER).complete
        assert state_of(self.root / INCOMING_FOLDER) == (20, contents(2))


class ReceiveAnother(Receive):
    """A newer snapshot comes while an older one is complete and not installed yet."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.older = make_snapshot(root, 1)
        feed(SnapshotReceiver(root / INCOMING_FOLDER), self.older)

    def check(self) -> None:
        receiver = SnapshotReceiver(self.root / INCOMING_FOLDER)
        if receiver.complete and receiver.snapshot is not None and receiver.snapshot.index == 10:
            assert feed(receiver, self.older).index == 10
        super().check()


class Swap(Action):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        with DataFolder(root / "n1", node_id="n1") as folder:
            folder.create(cluster_id="c1", node_id="n1", node_uuid="u1")
            fill(root / "n1" / STATE_FOLDER, 1)
            feed(folder.receiver, make_snapshot(root, 2))

    def act(self) -> None:
        with DataFolder(self.root / "n1", node_id="n1") as folder:
            folder.swap_in_snapshot()

    def check(self) -> None:
        with DataFolder(self.root / "n1", node_id="n1") as folder:
            index, found = state_of(self.root / "n1" / STATE_FOLDER)
            assert (index, found) in ((10, contents(1)), (20, contents(2)))
            if index == 10:
                assert folder.receiver.complete
                assert folder.swap_in_snapshot().index == 20
        with DataFolder(self.root / "n1", node_id="n1") as folder:
            assert state_of(self.root / "n1" / STATE_FOLDER) == (20, contents(2))
            assert folder.receiver.snapshot is None
            assert list((self.root / "n1" / INCOMING_FOLDER).glob("*.mdb")) == []


class Restore(Action):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.snapshot = make_snapshot(root, 2)

    def act(self) -> None:
        restore_folder(
            self.snapshot,
            self.root / "n1",
            cluster_id="new",
            node_id="n1",
            node_uuid="u1",
            fill_log=fill_log,
        )

    def check(self) -> None:
        try:
            with DataFolder(self.root / "n1", node_id="n1") as folder:
                restored = folder.identity is not None
                assert restored or {path.name for path in folder.path.iterdir()} == {"LOCK"}
        except FolderUnfinished:
            restored = False
        if not restored:
            self.act()
        with DataFolder(self.root / "n1", node_id="n1", cluster_id="new") as folder:
            assert state_of(self.root / "n1" / STATE_FOLDER) == (20, contents(2))
            log = folder.open_log()
            found = log.load()
            log.close()
            assert (found.base_index, found.base_term, found.last_index) == (20, 3, 21)
            assert {path.name for path in folder.path.iterdir()} <= {
                "LOCK",
                "identity.cbor",
                "log",
                "state",
                INCOMING_FOLDER,
            }


class Recover(Action):
    """The log gets one record, and the folder another cluster, from one and the same moment on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        with DataFolder(root / "n1", node_id="n1") as folder:
            folder.create(cluster_id="c1", node_id="n1", node_uuid="u1")

    def act(self) -> None:
        with DataFolder(self.root / "n1", node_id="n1", recovering=True) as folder:
            log = folder.open_log()
            try:
                recover_folder(folder, cluster_id="c2", origin="c1", change_log=lambda: self.append(log))
            finally:
                log.close()

    def append(self, log: LmdbLogStore) -> None:
        index = log.load().last_index + 1
        log.write([LogBatch(b"hard state", None, blocks(index, index, term=2, kind=0, data=b"c2"))])

    def check(self) -> None:
        try:
            found = self.look()
        except FolderUnfinished:
            assert (self.root / "n1" / RECOVERING_FILE).exists()
            found = ("c1", 0)
        if found == ("c1", 0):
            self.act()
            found = self.look()
        assert found[0] == "c2"
        assert found[1] in (1, 2)

    def look(self) -> tuple[str, int]:
        """The cluster, and how many records were appended, of a folder that a node may start on."""
        with DataFolder(self.root / "n1", node_id="n1") as folder:
            log = folder.open_log()
            last_index = log.load().last_index
            log.close()
            assert folder.identity is not None
            assert (folder.identity.origin, folder.identity.node_uuid) in ((None, "u1"), ("c1", "u1"))
            return folder.identity.cluster_id, last_index


ACTIONS: dict[str, type[Action]] = {
    action.__name__: action for action in (Export, Receive, ReceiveAnother, Swap, Restore, Recover)
}


def run_cut_off(action: Action, step: int, how: str) -> bool:
    """Run the action with the given end; returns whether it ran through."""
    if how == "exit":
        child = os.fork()
        if child == 0:
            with cut_off(step, how):
                action.act()
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (0, EXIT_STATUS)
        return os.waitstatus_to_exitcode(status) == 0
    try:
        with cut_off(step, how):
            action.act()
    except (Crash, OutOfSpace, WriteFailed):
        return False
    return True


def run_all_steps(name: str, how: str) -> int:
    """Cut the action `name` off at each of its steps and check what is left; returns how many there are."""
    for step in range(1000):
        root = scratch_folder()
        try:
            action = ACTIONS[name](root)
            through = run_cut_off(action, step, how)
            action.check()
        finally:
            shutil.rmtree(root)
        if through:
            return step
    raise AssertionError(f"{name} never runs through")


if __name__ == "__main__":
    print(run_all_steps(sys.argv[1], "exit"))
