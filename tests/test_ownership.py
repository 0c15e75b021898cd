"""Whose the files are that a command makes as root: of the owner of the folder that they are made in."""

import os
from pathlib import Path

import pytest

from cli.local.folder import LocalFolder
from cli.prompt.history import ShellHistory
from raftdb.ownership import make_folder_for_owner, open_for_owner

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")


def owners(path: Path) -> set[tuple[int, int]]:
    return {(found.lstat().st_uid, found.lstat().st_gid) for found in (path, *path.rglob("*"))}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of another user, or of this one if it is not root."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 1234, 2345)
    return tmp_path


@AS_ROOT
def test_a_history_and_a_local_cluster_belong_to_whose_home_it_is(home: Path) -> None:
    ShellHistory(home / ".local" / "state" / "raftdb" / "history")
    folder = LocalFolder(home / "data" / "local")
    folder.lock()
    folder.create(1)
    folder.write_pid("n1", os.getpid())
    folder.unlock()
    assert {path.name for path in home.rglob("*")} > {"history", "cluster.json", "up.lock", "n1.pid"}
    assert owners(home) == {(1234, 2345)}


@AS_ROOT
def test_what_is_there_already_is_not_given_away(home: Path) -> None:
    mine = home / "mine"
    mine.touch()
    (home / "link").symlink_to(mine)
    for name in ("mine", "link"):
        os.close(open_for_owner(home / name, os.O_WRONLY, 0o600))
    assert mine.stat().st_uid == 0


def test_folders_are_made_with_what_is_missing_above_them(home: Path) -> None:
    make_folder_for_owner(home / "a" / "b", 0o700)
    make_folder_for_owner(home / "a" / "b", 0o700)
    assert (home / "a" / "b").stat().st_mode & 0o777 == 0o700
    (home / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder_for_owner(home / "file")
    with pytest.raises(FileExistsError):
        make_folder_for_owner(home / "file" / "below")
