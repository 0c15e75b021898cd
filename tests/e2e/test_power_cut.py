"""The power goes out under load, on a disk that forgets what was not synced: nothing acknowledged is lost.

A process that is killed leaves its writes in the page cache, so kill -9 alone never shows a missing fsync. The disk is
a FUSE file system of the tests (`power_cut.py`); a control shows that it does lose writes (hazards B24, B77, B80).
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from tests.e2e.cluster import ROOT, STOP_LIMIT_S, Cluster
from tests.e2e.conftest import NewCluster
from tests.e2e.load import Load, load_on
from tests.e2e.power_cut import ALL_LOST, EXIT_NOT_POSSIBLE, SOME_SURVIVE
from tests.e2e.waiting import wait_for

POWER_CUT = "tests.e2e.power_cut"
WRITES_PER_ROUND = 100
CONTROL_WRITES = 200

WRITER = """
import sys, lmdb
environment = lmdb.open(sys.argv[1], map_size=1 << 30, sync=sys.argv[2] == "sync")
for number in range(int(sys.argv[3])):
    with environment.begin(write=True) as transaction:
        transaction.put(b"%d" % number, b"x" * 100)
print("written", flush=True)
sys.stdin.read()
"""
"""Writes, one transaction each, and stays: closing the environment might sync it."""


class MortalDisk:
    """A mounted folder, `mount`, whose power can be cut and switched on again."""

    def __init__(self, folder: Path) -> None:
        self.mount = folder / "mount"
        self._backing = folder / "backing"
        self._process: subprocess.Popen[str] | None = None
        self._mounts = 0
        for made in (self.mount, self._backing):
            made.mkdir(parents=True)

    def switch_on(self) -> None:
        """Mount what the disk holds. Each time another part of the unsynced writes will survive."""
        self._mounts += 1
        command = [sys.executable, "-m", POWER_CUT, str(self._backing), str(self.mount), str(self._mounts)]
        process = self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

        def mounted() -> bool:
            assert process.poll() is None, f"the file system has ended with {process.returncode}"
            return self.mount.is_mount()

        wait_for(mounted, "the disk to be mounted")

    def cut_power(self, number: signal.Signals) -> tuple[int, int]:
        """Now. How many changes were not synced, and how many of them survived."""
        assert self._process is not None
        self._process.send_signal(number)
        said, _ = self._process.communicate(timeout=STOP_LIMIT_S)
        pending, survived = map(int, said.split())
        return pending, survived

    def take_out(self) -> None:
        """Unmount, after the processes that used the disk have ended; and end the file system."""
        if self._process is None:
            return
        process, self._process = self._process, None
        # The root user may be without the helper of other users.
        unmount = ["fusermount", "-u"] if shutil.which("fusermount") else ["umount"]
        done = subprocess.run([*unmount, str(self.mount)], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            # Somebody still uses it, or it was never mounted: leave nothing behind, and say so.
            process.kill()
            detach = [*unmount[:-1], "-uz"] if len(unmount) == 2 else ["umount", "-l"]
            subprocess.run([*detach, str(self.mount)], check=False, capture_output=True)
        with process:
            process.wait(STOP_LIMIT_S)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def _fuse() -> None:
    done = subprocess.run(
        [sys.executable, "-m", POWER_CUT, "--check"], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode == EXIT_NOT_POSSIBLE:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0


@pytest.fixture
def disk(_fuse: None, tmp_path: Path) -> Iterator[MortalDisk]:
    """A disk that is on."""
    disk = MortalDisk(tmp_path / "disk")
    try:
        disk.switch_on()
        yield disk
    finally:
        disk.take_out()


@pytest.fixture
def cluster_on(disk: MortalDisk, new_cluster: NewCluster) -> Callable[[int], Cluster]:
    """Makes clusters with their data on the disk. Not started. They end before the disk, which is the older fixture."""

    def make(size: int) -> Cluster:
        cluster = new_cluster(size)
        for node in cluster:
            node.data = disk.mount / node.name
        return cluster

    return make


@pytest.mark.parametrize("survivors", [ALL_LOST, SOME_SURVIVE], ids=["all-lost", "some-survive"])
@pytest.mark.parametrize(("size", "rounds"), [(1, 3), (3, 2)], ids=["one-node", "three-nodes"])
def test_a_power_cut_under_load_loses_nothing_acknowledged(
    disk: MortalDisk,
    cluster_on: Callable[[int], Cluster],
    capsys: pytest.CaptureFixture[str],
    size: int,
    rounds: int,
    survivors: signal.Signals,
) -> None:
    """All nodes at once, again and again on the same data; the nodes always start again."""
    cluster = cluster_on(size).start()
    loads: list[Load] = []
    figures: list[tuple[int, int]] = []
    for number in range(rounds):
        with load_on(cluster, f"p{number}") as load:
            load.wait_for_acks(WRITES_PER_ROUND)
            # The disk first: whatever a node still says has to be true without the writes that it has lost.
            figures.append(disk.cut_power(survivors))
            for node in cluster:
                node.kill9()
        loads.append(load)
        disk.take_out()
        disk.switch_on()
        cluster.start()
        load.check(cluster.client())
    for load in loads:
        load.check(cluster.client())
    acked = sum(len(load.acked) + sum(map(len, load.acked_words)) for load in loads)
    with capsys.disabled():
        print(f"\n{rounds} power cuts, {size} nodes: {acked} writes acknowledged, none lost; ", end="")
        print(f"(unsynced, survived) per cut: {figures}")


@pytest.mark.parametrize("mode", ["sync", "no-sync"])
def test_control_the_disk_loses_what_lmdb_did_not_sync(disk: MortalDisk, mode: str) -> None:
    """Without this the test above would say nothing: the same rig, with and without LMDB's syncs."""
    folder = disk.mount / "control"
    command = [sys.executable, "-c", WRITER, str(folder), mode, str(CONTROL_WRITES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "written\n"
            disk.cut_power(ALL_LOST)
        finally:
            writer.kill()
    disk.take_out()
    disk.switch_on()
    assert entries(folder) == (CONTROL_WRITES if mode == "sync" else 0)


def entries(folder: Path) -> int:
    """How many keys the environment holds."""
    with lmdb.open(str(folder), map_size=1 << 30) as environment:
        return environment.stat()["entries"]
