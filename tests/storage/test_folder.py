"""A data folder: one process, one node, one cluster; and what is missing is never made up."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

import storage
from storage import DataFolder, FolderDamaged, Identity, LogBatch
from storage.env import DATA_FILE
from storage.errors import FolderForeign, FolderLocked, Misused
from storage.folder import LOG_FOLDER, STATE_FOLDER
from storage.identity import FORMAT_VERSION, IDENTITY_FILE, LOCK_FILE
from tests.storage.media import ROOT, blocks, child_command

HOLDER = """
import sys, pathlib, storage
folder = storage.DataFolder(pathlib.Path(sys.argv[1]), node_id="n1")
print("held", flush=True)
sys.stdin.read()
"""


def make(path: Path, *, cluster_id: str = "c1", node_id: str = "n1") -> None:
    with DataFolder(path, node_id=node_id) as folder:
        folder.create(cluster_id=cluster_id, node_id=node_id, node_uuid="u1")


def test_a_new_folder_has_no_identity_until_it_is_given_one(tmp_path: Path) -> None:
    path = tmp_path / "data" / "n1"
    with DataFolder(path, node_id="n1") as folder:
        assert folder.identity is None
        for opening in (folder.open_log, folder.open_state):
            with pytest.raises(Misused):
                opening()
        identity = folder.create(cluster_id="c1", node_id="n1", node_uuid="u1")
        with pytest.raises(Misused):
            folder.create(cluster_id="c1", node_id="n1", node_uuid="u2")
    with DataFolder(path, node_id="n1", cluster_id="c1") as folder:
        assert folder.identity == identity
        assert identity == Identity("c1", "n1", "u1", FORMAT_VERSION, True)
        folder.open_log().close()
        folder.open_state().close()


def test_everything_is_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    make(path)
    for found in (path, *path.rglob("*")):
        mode = stat.S_IMODE(found.stat().st_mode)
        assert mode == (0o700 if found.is_dir() else 0o600), found


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    make(path)
    for mode in (0o702, 0o777, 0o1777):
        path.chmod(mode)
        with pytest.raises(FolderForeign, match=r"every user.*chmod o-w"):
            DataFolder(path, node_id="n1")


def test_a_folder_that_its_group_can_write_is_used_and_known_as_such(tmp_path: Path) -> None:
    """A volume in a cluster of containers is given to a group, and nobody there could change that."""
    path = tmp_path / "n1"
    make(path)
    for mode, group in ((0o770, True), (0o2775, True), (0o755, False)):
        path.chmod(mode)
        with DataFolder(path, node_id="n1") as folder:
            assert folder.openness.group is group


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    """LMDB lets a second process write (hazard B88)."""
    path = tmp_path / "n1"
    make(path)
    with subprocess.Popen(
        child_command(HOLDER, [path]), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FolderLocked) as caught:
            DataFolder(path, node_id="n2")
        assert (caught.value.pid, caught.value.node) == (holder.pid, "n1")
        assert (path / LOCK_FILE).read_text() == f"{holder.pid} n1\n"
        holder.kill()
        holder.wait()
    DataFolder(path, node_id="n1").close()


def test_a_second_opening_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "n1", node_id="n1"):
        with pytest.raises(FolderLocked) as caught:
            DataFolder(tmp_path / "n1", node_id="n1")
        assert caught.value.pid == os.getpid()
    DataFolder(tmp_path / "n1", node_id="n1").close()


@pytest.mark.parametrize(("node_id", "cluster_id"), [("n2", None), ("n1", "c2"), ("n2", "c1")])
def test_a_folder_of_another_node_or_cluster_is_refused(
    tmp_path: Path, node_id: str, cluster_id: str | None
) -> None:
    make(tmp_path / "n1")
    with pytest.raises(FolderForeign):
        DataFolder(tmp_path / "n1", node_id=node_id, cluster_id=cluster_id)
    DataFolder(tmp_path / "n1", node_id="n1", cluster_id="c1").close()


@pytest.mark.parametrize("environment", [LOG_FOLDER, STATE_FOLDER])
def test_a_wiped_log_or_state_is_not_made_anew(tmp_path: Path, environment: str) -> None:
    """A node that forgot its vote would vote again (hazards B36, B89)."""
    make(tmp_path / "n1")
    (tmp_path / "n1" / environment / DATA_FILE).unlink()
    with pytest.raises(FolderDamaged, match=f"{environment}.*if a disk of its own belongs there, mount it"):
        DataFolder(tmp_path / "n1", node_id="n1")
    assert not (tmp_path / "n1" / environment / DATA_FILE).exists()


def test_a_log_without_identity_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "n1")
    (tmp_path / "n1" / IDENTITY_FILE).unlink()
    with pytest.raises(FolderDamaged, match=IDENTITY_FILE):
        DataFolder(tmp_path / "n1", node_id="n1")


@pytest.mark.parametrize("size", [0, 3, 4, 20])
def test_an_identity_cut_short_is_damage(tmp_path: Path, size: int) -> None:
    make(tmp_path / "n1")
    os.truncate(tmp_path / "n1" / IDENTITY_FILE, size)
    with pytest.raises(FolderDamaged):
        DataFolder(tmp_path / "n1", node_id="n1")


def test_each_flipped_bit_of_the_identity_is_damage(tmp_path: Path) -> None:
    make(tmp_path / "n1")
    path = tmp_path / "n1" / IDENTITY_FILE
    content = path.read_bytes()
    # Written in place: a file made anew reaches the disk each time.
    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * len(content)):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            file.seek(0)
            file.write(damaged)
            with pytest.raises(FolderDamaged):
                DataFolder(tmp_path / "n1", node_id="n1")


def test_a_later_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "n1")
    monkeypatch.setattr("storage.identity.FORMAT_VERSION", 0)
    with pytest.raises(FolderForeign, match="format version 1"):
        DataFolder(tmp_path / "n1", node_id="n1")


@pytest.mark.parametrize("store", ["log", "state"])
def test_a_later_format_of_log_or_state_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    make(tmp_path / "n1")
    monkeypatch.setattr(f"storage.{store}_store.{store.upper()}_FORMAT_VERSION", 0)
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        open_store = folder.open_log if store == "log" else folder.open_state
        with pytest.raises(
            FolderForeign, match=f"{store} has format version .* the version of raftdb that wrote"
        ):
            open_store()


@pytest.mark.parametrize("step", ["LmdbLogStore", "LmdbStateStore", "replace"])
def test_a_creation_cut_short_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    class Crash(Exception):
        pass

    def crash(*_arguments: object, **_options: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(f"storage.folder.{step}", crash)
        with DataFolder(tmp_path / "n1", node_id="n1") as folder, pytest.raises(Crash):
            folder.create(cluster_id="c1", node_id="n1", node_uuid="u1")
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        with pytest.raises(FolderForeign):
            folder.create(cluster_id="c2", node_id="n1", node_uuid="u2")
        identity = folder.create(cluster_id="c1", node_id="n1", node_uuid="u2")
        assert (identity.node_uuid, identity.bootstrapped) == ("u1", True)
        log = folder.open_log()
        log.write([LogBatch(blocks=blocks(1, 1))])
        log.close()


def test_a_data_file_that_never_got_its_first_byte_is_taken_up(tmp_path: Path) -> None:
    """But only before the folder was complete: afterwards it is a log that was lost."""
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        (tmp_path / "n1" / LOG_FOLDER).mkdir(mode=0o700)
        (tmp_path / "n1" / LOG_FOLDER / DATA_FILE).touch(0o600)
        folder.create(cluster_id="c1", node_id="n1", node_uuid="u1")
        folder.open_log().close()
        os.truncate(tmp_path / "n1" / LOG_FOLDER / DATA_FILE, 0)
        with pytest.raises(FolderDamaged):
            folder.open_log()


def test_the_version_is_the_distribution_s() -> None:
    assert f'\nversion = "{storage.RAFTDB_VERSION}"\n' in (ROOT / "pyproject.toml").read_text()
