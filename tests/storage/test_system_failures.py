"""What the system refuses is not damage: each reason has its own words; and whose the files are that root makes.

As root nothing is forbidden, so these tests act as another user for a while; as any other user they take away the
rights instead.
"""

import errno
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from storage import (
    DataFolder,
    FolderDamaged,
    LmdbLogStore,
    LmdbStateStore,
    OutOfSpace,
    Reason,
    SnapshotReader,
    StorageError,
    SystemFailure,
    examine,
    restore_folder,
)
from storage.errors import DAMAGE_HINT, FolderForeign, WriteFailed
from storage.identity import read_identity
from storage.system_failures import system_failure, write_failure
from tests.storage.snapshots import checkpoint, contents, describe, feed, make_snapshot
from tests.users import SERVICE_USER, as_service_user

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")


def make(path: Path) -> None:
    with DataFolder(path, node_id="n1") as folder:
        folder.create(cluster_id="c1", node_id="n1", node_uuid="u1")


def refusal(action: Callable[[], object]) -> SystemFailure:
    """The failure that `action` ends with, which is not called damage, nor has the advice that follows damage."""
    with pytest.raises(SystemFailure) as failed:
        action()
    assert "damaged" not in failed.value.message
    assert DAMAGE_HINT not in (failed.value.hint or "")
    return failed.value


@pytest.mark.parametrize(
    "place",
    [".", "LOCK", "identity.cbor", "log", "log/data.mdb", "state/data.mdb", "outgoing", "incoming"],
)
def test_what_may_not_be_used_is_a_matter_of_permission(public_folder: Path, place: str) -> None:
    path = public_folder / "n1"
    make(path)
    for name in ("outgoing", "incoming"):
        (path / name).mkdir()
        (path / name / "left over").touch()
    for found in (path, *path.rglob("*")):
        if os.geteuid() == 0:
            os.chown(found, SERVICE_USER, SERVICE_USER)
    if os.geteuid() == 0:
        os.chown(path / place, 0, 0)
    (path / place).chmod(0)

    def use() -> None:
        with as_service_user(), DataFolder(path, node_id="n1") as folder:
            folder.open_log().close()
            folder.open_state().close()

    failure = refusal(use)
    assert failure.reason is Reason.PERMISSION
    assert "permission denied" in failure.message
    assert str(path) in failure.message
    assert failure.hint
    with as_service_user():
        findings = list(examine(path)) if place not in (".", "log", "incoming") else []
    assert all(found.reason == Reason.PERMISSION for found in findings if not found.ok)
    (path / place).chmod(0o700)


def test_the_hint_says_whose_the_folder_is_and_who_we_are(public_folder: Path) -> None:
    path = public_folder / "n1"
    make(path)
    path.chmod(0)
    with as_service_user():
        failure = refusal(lambda: DataFolder(path, node_id="n1"))
    if os.geteuid() == 0:
        assert "belongs to root, this process to" in (failure.hint or "")
    else:
        assert "look at the permissions" in (failure.hint or "")


def test_the_hint_is_a_command_also_for_a_user_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that gives each project a number: `chown -R user 4321` is no command."""

    def nameless(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr("storage.system_failures.pwd.getpwuid", nameless)
    monkeypatch.setattr("storage.system_failures.os.geteuid", lambda: 4321)
    hint = system_failure(tmp_path, "open", PermissionError(errno.EACCES, "")).hint or ""
    assert f"belongs to user {os.getuid()}, this process to user 4321" in hint
    assert "'chown -R 4321'" in hint


def test_a_folder_that_may_not_be_made_is_a_matter_of_permission(public_folder: Path) -> None:
    public_folder.chmod(0o555)
    with as_service_user():
        failure = refusal(lambda: DataFolder(public_folder / "data" / "n1", node_id="n1"))
    assert failure.reason is Reason.PERMISSION


@pytest.mark.parametrize("store", [LmdbLogStore, LmdbStateStore])
def test_too_few_addresses_for_the_map_are_no_damage(
    public_folder: Path, store: type[LmdbLogStore] | type[LmdbStateStore]
) -> None:
    store(public_folder / "store", create=True).close()
    failure = refusal(lambda: store(public_folder / "store", create=False, map_bytes=1 << 62))
    assert failure.reason is Reason.ADDRESS_SPACE
    assert "ulimit -v" in (failure.hint or "")


def test_too_few_descriptors_are_no_damage(public_folder: Path) -> None:
    make(public_folder / "n1")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)

    def use() -> None:
        with DataFolder(public_folder / "n1", node_id="n1") as folder:
            folder.open_log().close()

    failures = []
    # From none left to all but one that are needed: whatever fails first.
    for spare in range(4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + spare, limits[1]))
        try:
            failures.append(refusal(use))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert {failure.reason for failure in failures} == {Reason.OPEN_FILES}
    assert all("ulimit -n" in (failure.hint or "") for failure in failures)


def test_a_disk_that_does_not_answer_is_no_damage(
    public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(public_folder / "n1")

    def broken(*_arguments: object, **_options: object) -> object:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", broken)
    for use in (
        lambda: read_identity(public_folder / "n1"),
        lambda: LmdbLogStore(public_folder / "n1" / "log", create=False),
    ):
        failure = refusal(use)
        assert failure.reason is Reason.INPUT_OUTPUT
        assert "dmesg" in (failure.hint or "")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (OSError(errno.EIO, ""), SystemFailure, Reason.INPUT_OUTPUT),
        (OSError(errno.EUCLEAN, ""), SystemFailure, Reason.INPUT_OUTPUT),
        (OSError(errno.ESTALE, ""), SystemFailure, Reason.INPUT_OUTPUT),
        (PermissionError(errno.EPERM, ""), SystemFailure, Reason.PERMISSION),
        (OSError(errno.EROFS, ""), SystemFailure, Reason.PERMISSION),
        (OSError(errno.ENFILE, ""), SystemFailure, Reason.OPEN_FILES),
        (OSError(errno.ENOTCONN, ""), SystemFailure, Reason.INPUT_OUTPUT),
        (OSError(errno.EINVAL, ""), SystemFailure, Reason.OTHER),
        (NotADirectoryError(errno.ENOTDIR, ""), FolderForeign, None),
        (FileExistsError(errno.EEXIST, ""), FolderForeign, None),
        (OSError(errno.ENOLCK, ""), SystemFailure, Reason.OTHER),
        (OSError("without a number"), SystemFailure, Reason.OTHER),
        (OSError(errno.ENOSPC, ""), OutOfSpace, None),
        (OSError(errno.EDQUOT, ""), OutOfSpace, None),
        (lmdb.CorruptedError("a page"), FolderDamaged, None),
        (lmdb.PageNotFoundError("a page"), FolderDamaged, None),
        (lmdb.ReadersFullError("readers"), SystemFailure, Reason.OTHER),
    ],
)
def test_only_what_is_wrong_in_the_file_itself_is_damage(
    error: OSError | lmdb.Error, kind: type[StorageError], reason: Reason | None
) -> None:
    failure = system_failure(Path("/data/n1"), "read", error)
    assert type(failure) is kind
    assert getattr(failure, "reason", None) == reason


def test_what_is_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    """A link to a disk that is not mounted is not "file exists"."""
    (tmp_path / "unmounted").symlink_to(tmp_path / "disk")
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, words in (
        ("unmounted", f"unmounted is a link to {tmp_path / 'disk'}, where nothing is"),
        ("unmounted/n1", f"unmounted is a link to {tmp_path / 'disk'}, where nothing is"),
        ("file", "file is not a folder"),
        ("file/n1", "file is not a folder"),
        ("loop", "loop is a link to"),
        ("a" * 300, "file name too long"),
    ):
        with pytest.raises(FolderForeign, match=words):
            DataFolder(tmp_path / name, node_id="n1")
    assert not (tmp_path / "disk").exists()


def test_a_failed_write_of_a_file_that_can_be_made_anew_stops_a_node_only_if_the_disk_fails() -> None:
    path = Path("/data/n1/outgoing/backup")
    assert isinstance(write_failure(path, OSError(errno.EIO, "")), WriteFailed)
    assert isinstance(write_failure(path, PermissionError(errno.EACCES, "")), SystemFailure)
    assert isinstance(write_failure(path, OSError(errno.EMFILE, "")), SystemFailure)


def owners(path: Path) -> set[tuple[int, int]]:
    return {(found.lstat().st_uid, found.lstat().st_gid) for found in (path, *path.rglob("*"))}


@AS_ROOT
def test_what_root_makes_in_a_folder_belongs_to_the_folders_owner(public_folder: Path) -> None:
    snapshot = make_snapshot(public_folder, 2)
    home = public_folder / "home"
    home.mkdir()
    os.chown(home, 1234, 2345)
    with DataFolder(home / "data" / "n1", node_id="n1") as folder:
        folder.create(cluster_id="c1", node_id="n1", node_uuid="u1")
        feed(folder.receiver, snapshot)
        folder.swap_in_snapshot()
        state = folder.open_state()
        state.write(contents(3), index=30, term=4)
        checkpoint(state)
        state.export(folder.outgoing("one"), cluster_id="c1", describe=describe)
        state.close()
        folder.open_log().close()
    restore_folder(
        snapshot, home / "restored", cluster_id="c2", node_id="n1", node_uuid="u", fill_log=lambda *_: None
    )
    assert {path.name for path in home.rglob("*")} > {"LOCK", "identity.cbor", "data.mdb", "lock.mdb", "one"}
    assert owners(home) == {(1234, 2345)}


@AS_ROOT
def test_a_start_as_root_leaves_a_folder_that_the_service_user_can_start_on(public_folder: Path) -> None:
    home = public_folder / "home"
    home.mkdir()
    os.chown(home, SERVICE_USER, SERVICE_USER)
    with as_service_user():
        make(home / "n1")
    (home / "n1" / "log" / "lock.mdb").unlink()
    (home / "n1" / "LOCK").unlink()
    for user in (0, SERVICE_USER):
        os.seteuid(user)
        try:
            with DataFolder(home / "n1", node_id="n1") as folder:
                folder.outgoing("snapshot").touch()
                folder.open_log().close()
                folder.open_state().close()
        finally:
            os.seteuid(0)


@AS_ROOT
def test_what_others_have_planted_is_not_given_away(public_folder: Path) -> None:
    """Whoever owns the folder could else point a name in it at any file of the machine, and be given that."""
    home = public_folder / "home"
    home.mkdir()
    secret = public_folder / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    os.chown(home, 1234, 2345)
    for name in ("LOCK", "identity.cbor.new"):
        (home / name).symlink_to(secret)
        with pytest.raises(StorageError, match="symbolic links"):
            make(home)
        (home / name).unlink()
    assert (secret.stat().st_uid, stat.S_IMODE(secret.stat().st_mode)) == (0, 0o600)
    assert secret.read_text() == "x"


def test_a_path_need_not_be_text_in_any_encoding(public_folder: Path) -> None:
    path = public_folder / os.fsdecode(b"n\xff1")
    make(path)
    with DataFolder(path, node_id="n1") as folder:
        folder.open_log().close()
        state = folder.open_state()
        state.write(contents(3), index=30, term=4)
        checkpoint(state)
        state.export(folder.outgoing("one"), cluster_id="c1", describe=describe)
        state.close()
        SnapshotReader(folder.outgoing("one")).close()
    assert all(found.ok for found in examine(path))


@pytest.mark.parametrize("what", ["file", "below a file", "a loop", "a link to nowhere", "a long name"])
def test_where_no_folder_can_be_that_is_said(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to("/nonexistent/folder")
    places = {
        "file": tmp_path / "file",
        "below a file": tmp_path / "file" / "n1",
        "a loop": tmp_path / "loop",
        "a link to nowhere": tmp_path / "dangling",
        "a long name": tmp_path / ("n" * 300),
    }
    with pytest.raises(FolderForeign, match="name a folder, or a path at which nothing is yet"):
        DataFolder(places[what], node_id="n1")
