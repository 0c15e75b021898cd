"""`raftdb snapshot` and `raftdb backup`: what they print, what they refuse, and what is left on the disk."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from cli.main import run
from raftdb.client.backup import MARK
from tests.client.fake_node import Canned, FakeCluster, error

Result = tuple[int, str, str]
Cli = Callable[..., Result]


def container(content: bytes) -> bytes:
    return MARK + content + sha256(MARK + content).digest()


SMALL = container(b"content")
LARGE = container(bytes(range(256)) * 40_000)
"""More than is received at once."""


@pytest.fixture
def cli(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> Cli:
    cluster.backup = SMALL

    def call(*arguments: str) -> Result:
        code = run(["--connect", cluster.addresses, "--timeout", "2", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_snapshot_prints_its_index(cli: Cli) -> None:
    cli("set", "a", "1")
    assert cli("snapshot") == (0, "2\n", "")
    assert cli("snapshot", "-o", "json") == (0, '{"index": 2}\n', "")
    assert cli("shell", "-c", ".snapshot") == (0, "index\t2\n", "")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_backup_is_written_verified_and_described(
    cluster: FakeCluster, cli: Cli, tmp_path: Path, content: bytes
) -> None:
    cluster.backup = content
    path = tmp_path / "backup"
    code, out, err = cli("backup", str(path), "-o", "json")
    assert (code, err) == (0, "")
    digest = content[-32:].hex()
    assert json.loads(out) == {"file": str(path), "index": 1, "bytes": len(content), "digest": digest}
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_shell_takes_one_too_and_replaces_no_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    assert cli("shell", "-o", "json", "-c", f".backup {path}")[0] == 0
    assert path.read_bytes() == SMALL
    assert cli("shell", "-c", f".backup {path}") == (
        1,
        "",
        f"raftdb: error: backup: {path} exists already\nhint: name a file that is not there\n",
    )


def test_a_file_is_replaced_only_when_that_is_wanted(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    path.write_text("mine")
    code, out, err = cli("backup", str(path))
    assert (code, out) == (1, "")
    assert err == f"raftdb: error: backup: {path} exists already\nhint: --force replaces it\n"
    assert path.read_text() == "mine"
    assert cli("backup", "--force", str(path))[0] == 0
    assert path.read_bytes() == SMALL


def test_a_file_that_comes_up_meanwhile_is_not_replaced(
    cluster: FakeCluster, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "backup"
    monkeypatch.setattr("raftdb.client.backup.os.fsync", lambda _descriptor: path.write_text("mine"))
    assert cli("backup", str(path))[0] == 1
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (SMALL[:-33] + b"X" + SMALL[-32:], "its digest does not match"),
        (SMALL[:-1] + b"X", "its digest does not match"),
        (b"{}", "what arrived is not a backup"),
        (b"", "what arrived is not a backup"),
        (MARK, "its digest does not match"),
    ],
    ids=["content", "digest", "foreign", "empty", "short"],
)
def test_damage_on_the_way_leaves_no_file(
    cluster: FakeCluster, cli: Cli, tmp_path: Path, content: bytes, said: str
) -> None:
    cluster.backup = content
    code, out, err = cli("backup", str(tmp_path / "backup"))
    assert (code, out) == (1, "")
    assert said in err
    assert "hint: " in err
    assert list(tmp_path.iterdir()) == []


def test_a_stream_cut_off_is_asked_for_again_from_its_beginning(
    cluster: FakeCluster, cli: Cli, tmp_path: Path
) -> None:
    leader = cluster.nodes[1]
    leader.script = [Canned(content=LARGE[:300_000], length=len(LARGE), headers={"Raftdb-Index": "1"})]
    cluster.backup = LARGE
    path = tmp_path / "backup"
    assert cli("backup", str(path))[0] == 0
    assert path.read_bytes() == LARGE
    assert leader.requests.count(("GET", "/v1/backup")) == 2


def test_a_stream_that_is_cut_off_again_and_again_fails_and_leaves_no_file(
    cluster: FakeCluster, cli: Cli, tmp_path: Path
) -> None:
    leader = cluster.nodes[1]
    cut = Canned(content=SMALL[:20], length=len(SMALL), headers={"Raftdb-Index": "1"})
    leader.script = [cut] * 1000
    code, out, err = cli("backup", str(tmp_path / "backup"))
    assert (code, out) == (3, "")
    assert "did not finish" in err
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_told_as_the_node_says_it(cluster: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    leader = cluster.nodes[1]
    leader.script = [error(503, "no_space", "a file of 5 bytes does not fit", hint="give more")]
    code, _, err = cli("backup", str(tmp_path / "backup"))
    assert code == 3
    assert err == "raftdb: error: backup: a file of 5 bytes does not fit\nhint: give more\n"
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written_are_errors(cli: Cli, tmp_path: Path) -> None:
    assert cli("backup", str(tmp_path))[0] == 1
    code, _, err = cli("backup", str(tmp_path / "absent" / "backup"))
    assert code == 1
    assert "No such file or directory" in err
    assert cli("backup")[0] == 2


def test_nobody_there_is_unavailable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--connect", "127.0.0.1:1", "backup", str(tmp_path / "backup")]) == 3
    assert run(["--connect", "127.0.0.1:1", "snapshot"]) == 3
    assert "no node answers" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_backup_needs_neither_the_server_s_packages_nor_memory_for_all_of_it(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.backup = container(bytes(64 << 20))
    program = """
import sys
from raftdb.__main__ import main
code = main(sys.argv[1:])
slow = {"aiohttp", "asyncio", "lmdb", "cbor2"} & set(sys.modules)
# Not what getrusage says, which includes the parent's memory before exec.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(code, sorted(slow), int(peak) >> 10)
"""
    arguments = ["--connect", cluster.addresses, "backup", str(tmp_path / "backup")]
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    code, slow, megabytes = ended.stdout.splitlines()[-1].split()
    assert (code, slow) == ("0", "[]")
    assert int(megabytes) < 64


def test_what_is_no_regular_file_is_never_replaced(cli: Cli, tmp_path: Path) -> None:
    """A device, a pipe, or what standard output is: it was there before, and is needed by others."""
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/null")
    for path in (pipe, device, Path("/dev/null"), Path("/dev/stdout"), Path("/dev/fd/1")):
        for force in ((), ("--force",)):
            code, out, err = cli("backup", *force, str(path))
            assert (code, out) == (1, "")
            assert "is not a regular file" in err
            assert "backup -" in err
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert device.is_symlink()
    assert Path("/dev/null").is_char_device()


def test_standard_output_is_not_replaced_where_it_is_a_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "output"
    path.touch()
    found = os.stat(path)
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda descriptor: found if descriptor == 1 else fstat(descriptor))
    assert cli("backup", "--force", str(path))[0] == 1
    assert path.read_bytes() == b""


def test_a_link_stays_and_what_it_leads_to_is_replaced(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    link.symlink_to(target)
    code, _, err = cli("backup", str(link))
    assert (code, target.exists()) == (1, False)
    assert "exists already" in err
    for _ in range(2):  # to nowhere at first, then to a file
        assert cli("backup", "--force", str(link))[0] == 0
        assert link.is_symlink()
        assert target.read_bytes() == SMALL
        target.write_bytes(b"old")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "symbolic links" in cli("backup", "--force", str(loop))[2]


def test_a_name_may_be_as_long_as_a_name_can_be(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    assert cli("backup", str(path))[0] == 0
    assert path.read_bytes() == SMALL
    code, _, err = cli("backup", str(tmp_path / ("n" * 256)))
    assert code == 1
    assert "name too long" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_backup_of_root_belongs_to_the_owner_of_the_folder_or_of_the_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    os.chown(tmp_path, 1234, 2345)
    assert cli("backup", str(path))[0] == 0
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
    os.chown(path, 4321, 2345)
    assert cli("backup", "--force", str(path))[0] == 0
    assert path.stat().st_uid == 4321


def test_a_backup_goes_to_standard_output_and_is_described_beside_it(
    cluster: FakeCluster, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    cluster.backup = LARGE
    assert run(["--connect", cluster.addresses, "--timeout", "2", "backup", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == LARGE
    assert err == b"index\t1\nbytes\t%d\ndigest\t%s\n" % (len(LARGE), LARGE[-32:].hex().encode())


def test_what_broke_off_on_standard_output_is_said_to_be_no_backup(
    cluster: FakeCluster, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """It cannot be taken back there, and so it is not asked for again."""
    command = ["--connect", cluster.addresses, "--timeout", "2", "backup", "-"]
    leader = cluster.nodes[1]
    leader.script = [Canned(content=LARGE[:300_000], length=len(LARGE), headers={"Raftdb-Index": "1"})]
    cluster.backup = LARGE
    assert run(command) == 1
    out, err = capfdbinary.readouterr()
    assert out == LARGE[:300_000]
    assert b"it broke off after 300000 bytes, which are written" in err
    cluster.backup = SMALL[:-1] + b"X"
    assert run(command) == 1
    out, err = capfdbinary.readouterr()
    assert out == cluster.backup
    assert b"its digest does not match" in err


def test_a_terminal_gets_no_backup(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.admin.backup.is_terminal", lambda _stream: True)
    code, out, err = cli("backup", "-")
    assert (code, out) == (2, "")
    assert "standard output is a terminal" in err
