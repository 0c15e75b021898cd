"""`raftdb cert`: what the certificates name, who may read the keys, and what is not overwritten."""

import json
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.admin.certificates import read_pair
from cli.main import run
from raftdb.server.folder import cluster_id_of
from raftdb.transport import ids_in
from tests.addresses import at

PEERS = "n1=db1:8001,n2=[::1]:8002"


def cert(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and stderr."""
    code = run(["cert", arguments[0], "-ojson", *arguments[1:]])
    said = capsys.readouterr()
    return code, json.loads(said.out or "{}"), said.err


def decoded(path: Path) -> dict[str, Any]:
    return ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with a CA."""
    path = tmp_path / "certificates"
    assert cert(capsys, "ca", "--dir", str(path))[0] == 0
    return path


def test_a_node_is_named_with_its_cluster_and_its_hosts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--dir", str(folder))
    cluster_id = cluster_id_of({"n1": at("db1:8001"), "n2": at("[::1]:8002")})
    code, said, _ = cert(capsys, "node", "n1", "--peers", PEERS, "--host", "localhost", *where)
    assert (code, said["cluster"]) == (0, cluster_id)
    found = decoded(folder / "n1.crt")
    assert ids_in(found, cluster_id, {}) == {"n1"}
    assert {("DNS", "db1"), ("DNS", "localhost")} < set(found["subjectAltName"])
    assert cert(capsys, "node", "n2", "--peers", PEERS, *where)[0] == 0
    assert ("IP Address", "0:0:0:0:0:0:0:1") in decoded(folder / "n2.crt")["subjectAltName"]
    assert cert(capsys, "node", "n4", "--cluster", cluster_id, "--host", "10.0.0.4", *where)[0] == 0
    assert ids_in(decoded(folder / "n4.crt"), cluster_id, {}) == {"n4"}


def test_what_is_made_can_be_used_and_keys_are_of_the_owner_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cert(capsys, "client", "app", "--dir", str(folder))[0] == 0
    for name in ("ca", "app"):
        assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.load_cert_chain(folder / "app.crt", folder / "app.key")
    assert (
        read_pair(folder / "ca.crt", folder / "ca.key").certificate.subject.rfc4514_string() == "CN=raftdb CA"
    )


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = (folder / "ca.key").read_bytes()
    code, _, error = cert(capsys, "ca", "--dir", str(folder))
    assert code == 1
    assert "file exists" in error
    assert (folder / "ca.key").read_bytes() == key


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("node", "n1"), 2, "which cluster"),
        (("node", "n1", "--cluster", "c1", "--peers", PEERS), 2, "which cluster"),
        (("node", "n3", "--peers", PEERS), 2, "does not name n3"),
        (("node", "n1", "--peers", "n1"), 2, "no address for n1"),
        (("client", "app", "--dir", "nowhere"), 1, "raftdb cert ca --dir nowhere"),
    ],
)
def test_what_cannot_be_made_is_said(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, error = cert(capsys, *arguments)
    assert found == code
    assert words in error


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("cli.admin.certificates")
    monkeypatch.setitem(sys.modules, "cli.admin.certificates", None)
    code, _, error = cert(capsys, "ca")
    assert code == 1
    assert "raftdb[tls]" in error
