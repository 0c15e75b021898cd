"""What storage says of a folder, as a node tells it: exit codes, warnings, and whose fault it is."""

import logging
import os
from pathlib import Path

import pytest

from cli.program import invoke
from cli.subcommands.options import Options
from raftdb.errors import Fatal, RaftdbError
from raftdb.server.config import Settings
from raftdb.server.doctor import diagnose, exit_code_of
from raftdb.server.folder import (
    create_folder,
    kind_of,
    open_folder,
    storage_errors,
)
from storage.check import Finding
from storage.errors import FolderDamaged, Reason, StorageError, SystemFailure, WriteFailed
from tests.users import as_service_user

FAILED, NOT_SOUND, NOT_ALLOWED = 1, 4, 5
"""Exit codes as docs/interface.md has them (section 1)."""


def make(data: Path) -> Settings:
    settings = Settings(data=data)
    with open_folder(settings) as folder:
        create_folder(folder, settings)
    return settings


def exit_code(error: StorageError) -> int:
    with pytest.raises(Fatal) as fatal, storage_errors():
        raise error
    assert fatal.value.hint == error.hint
    return fatal.value.exit_code


def test_each_reason_has_a_code_of_its_own() -> None:
    codes = {reason: exit_code(SystemFailure("why", reason=reason, hint="what to do")) for reason in Reason}
    assert codes == {
        Reason.PERMISSION: NOT_ALLOWED,
        Reason.ADDRESS_SPACE: 6,
        Reason.OPEN_FILES: 7,
        Reason.INPUT_OUTPUT: 8,
        Reason.OTHER: FAILED,
    }
    assert exit_code(FolderDamaged("the log", "a hole")) == NOT_SOUND
    assert exit_code(WriteFailed("why")) == FAILED


def test_a_folder_of_another_user_is_refused_with_a_word(public_folder: Path) -> None:
    data = public_folder / "n1"
    settings = make(data)
    data.chmod(0)
    with as_service_user(), pytest.raises(Fatal, match="permission denied") as refused, storage_errors():
        open_folder(settings)
    assert refused.value.exit_code == NOT_ALLOWED
    assert "new id" not in (refused.value.hint or "")


@pytest.mark.parametrize("command", ["doctor", "recover", "restore"])
@pytest.mark.parametrize("inside", [True, False], ids=["in a folder", "itself"])
def test_a_missing_permission_is_told_as_that(public_folder: Path, command: str, inside: bool) -> None:
    closed = public_folder / "closed"
    make(closed / "n1")
    (closed / "backup").touch()
    data, backup = closed / "n1", closed / "backup"
    for path in (closed,) if inside else (data, backup):
        path.chmod(0)
    arguments: dict[str, list[object]] = {
        "doctor": [data],
        "recover": ["--data", data, "--members", "n1=127.0.0.1:1", "--yes"],
        "restore": [backup, "--data", public_folder / "new"],
    }
    with as_service_user(), pytest.raises(RaftdbError) as failed:
        invoke([command, *map(str, arguments[command])], Options())
    assert getattr(failed.value, "exit_code", None) == NOT_ALLOWED, failed.value
    assert "damaged" not in str(failed.value)


def test_an_examination_that_saw_nothing_says_nothing_of_the_folder() -> None:
    sound, damaged = Finding("log", "ok"), Finding("state", "a hole", False)
    unseen = Finding("identity", "cannot be opened", False, None, Reason.PERMISSION)
    assert exit_code_of([sound]) == 0
    assert exit_code_of([sound, damaged, unseen]) == NOT_SOUND
    assert exit_code_of([sound, unseen]) == NOT_ALLOWED


def test_what_the_examination_cannot_open_is_told_with_whose_it_is(public_folder: Path) -> None:
    data = public_folder / "n1"
    make(data)
    data.chmod(0o755)
    with as_service_user():
        findings = diagnose(data)
    wrong = [finding for finding in findings if not finding.ok]
    if os.geteuid() == 0:
        assert {finding.reason for finding in wrong} == {Reason.PERMISSION}
        assert all("belongs to root" in (finding.advice or "") for finding in wrong)
    else:
        assert not wrong


def test_a_group_that_can_write_is_warned_of(tmp_path: Path, log_records: list[logging.LogRecord]) -> None:
    settings = make(tmp_path / "n1")
    assert log_records == []
    settings.data.chmod(0o2770)
    with open_folder(settings):
        pass
    assert [(record.levelname, record.getMessage()) for record in log_records] == [
        ("WARNING", "the group of the data folder can write in it")
    ]


@pytest.mark.parametrize("command", ["doctor", "restore"])
def test_a_backup_out_of_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        arguments = [str(path)] if command == "doctor" else [str(path), "--data", str(tmp_path / "new")]
        with pytest.raises(RaftdbError, match="not a regular file") as refused:
            invoke([command, *arguments], Options())
        assert "into a file" in (refused.value.hint or "")
    assert not (tmp_path / "new").exists()


def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert kind_of(tmp_path) == "folder"
    assert kind_of(tmp_path / "file") == "file"
    assert kind_of(tmp_path / "nothing") is None
    assert kind_of(Path("/dev/null")) == "no file"
    assert kind_of(tmp_path / "file" / "below") is None
