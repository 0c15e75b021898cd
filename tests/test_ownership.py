"""Whose the files are that a command makes as root: of the owner of the folder that they are made in."""

import errno
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from cli.local.folder import LocalFolder
from cli.prompt.history import ShellHistory
from raftdb.ownership import make_folder_for_owner, open_for_owner
from storage.errors import SystemFailure
from storage.files import make_folder, open_to_write

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
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_owners_is_used_as_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "fchown", refuse)
    is_refused = number == errno.EIO
    with pytest.raises(OSError, match="Input/output") if is_refused else nullcontext():
        os.close(open_for_owner(home / "one", os.O_WRONLY, 0o600))
    with pytest.raises(OSError, match="Input/output") if is_refused else nullcontext():
        os.close(open_to_write(home / "two", os.O_WRONLY))
    with pytest.raises(SystemFailure) if is_refused else nullcontext():
        make_folder(home / "three")


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
