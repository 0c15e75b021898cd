"""What `raftdb doctor --network` says of a node's settings: who reaches it, and what they have to prove."""

import json
from pathlib import Path

import pytest

from raftdb.__main__ import main
from raftdb.server.config import Settings, load
from raftdb.server.exposure import WAYS_OUT
from raftdb.server.network_findings import examine_network, reach_of
from storage import Finding
from tests.addresses import at

SECRET = "s" * 32
OPEN = "0.0.0.0:8001"


def found(**flags: object) -> dict[str, Finding]:
    """What is said, by name, of a node that has no folder yet if none is named."""
    return {finding.name: finding for finding in examine_network(load({"data": Path("/none"), **flags}))}


def wrong(**flags: object) -> set[str]:
    return {name for name, finding in found(**flags).items() if not finding.ok}


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("127.0.0.1:1", "this machine alone"),
        ("[::1]:1", "this machine alone"),
        ("localhost:1", "this machine alone"),
        ("0.0.0.0:1", "every network of this machine"),
        ("[::]:1", "every network of this machine"),
        ("10.0.0.1:1", "a private network"),
        ("192.168.1.1:1", "a private network"),
        ("[fe80::1]:1", "a private network"),
        ("8.8.8.8:1", "the internet, if nothing stands before it"),
        ("[2606:4700::1111]:1", "the internet, if nothing stands before it"),
        ("nowhere.invalid:1", "unknown: its name cannot be looked up"),
    ],
)
def test_who_reaches_an_address(address: str, reach: str) -> None:
    assert reach_of(at(address)) == reach


def test_a_node_for_this_machine_alone_exposes_nothing(tmp_path: Path) -> None:
    settings = found(data=tmp_path / "none", redis="127.0.0.1:6391")
    assert all(finding.ok for finding in settings.values())
    assert (
        settings["listen"].value
        == "127.0.0.1:8001 for clients, pages and peers; reached by this machine alone"
    )
    assert settings["redis"].value == "127.0.0.1:6391 for Redis clients; reached by this machine alone"
    assert settings["peers"].value == "nobody proves anything"
    assert settings["data"].value == f"{tmp_path / 'none'}: not there yet"
    assert "fault_injection" not in settings


def test_what_others_reach_without_proof_is_wrong_also_if_the_operator_wants_it() -> None:
    assert wrong(listen=OPEN) == {"peers", "clients", "insecure"}
    assert found(listen=OPEN)["insecure"].advice == WAYS_OUT
    assert wrong(listen=OPEN, insecure="true") == {"peers", "clients"}
    assert wrong(listen=OPEN, insecure="true", cluster_secret=SECRET) == {"clients"}
    assert wrong(listen=OPEN, insecure="true", cluster_secret=f"{SECRET}\nnone", admin_password="p" * 8) == {
        "peers"
    }
    assert wrong(listen=OPEN, insecure="true", cluster_secret=SECRET, admin_password="p" * 8) == set()
    assert wrong(redis="10.0.0.1:6379", insecure="true") == {"clients"}, "peers are not reached there"


def test_tls_is_told_and_proves_who_comes() -> None:
    tls = {"listen": OPEN, "tls": "required", "tls_cert": "c", "tls_key": "k", "tls_ca": "ca"}
    assert wrong(**tls) == {"clients", "insecure"}
    assert wrong(**tls, tls_client_ca="ca") == set()
    assert wrong(**tls, admin_password="p" * 8) == set()
    assert "certificates" in str(found(**tls)["peers"].value)
    assert "passwords are encrypted" in str(found(**tls, admin_password="p" * 8)["clients"].value)
    both = found(**{**tls, "tls": "both"}, cluster_secret=SECRET, admin_password="p" * 8)
    assert "encrypted for whom wants that" in str(both["peers"].value)


def test_means_of_lessons_are_told_and_wrong_where_strangers_come() -> None:
    assert wrong(fault_injection="true", dashboard_control="127.0.0.1:9") == set()
    more = {"insecure": "true", "cluster_secret": SECRET, "admin_password": "p" * 8}
    assert wrong(listen=OPEN, fault_injection="true", dashboard_control="10.0.0.1:9", **more) == {
        "fault_injection",
        "dashboard_control",
    }


def test_a_secret_that_is_none_and_a_folder_that_others_read_are_wrong(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    findings = found(cluster_secret_file=secret, data=data)
    assert {name for name, finding in findings.items() if not finding.ok} == {"peers", "data"}
    assert "others may read" in str(findings["peers"].value)
    assert findings["data"].advice == f"chmod 700 {data}"
    secret.chmod(0o600)
    data.chmod(0o700)
    assert wrong(cluster_secret_file=secret, data=data) == set()


def test_no_line_has_a_secret() -> None:
    settings = Settings(cluster_secret=SECRET, admin_password="password-of-admin", dashboard_token="t" * 20)
    told = repr(examine_network(settings))
    assert not any(each in told for each in (SECRET, "password-of-admin", "t" * 20))


def test_the_command_reads_a_file_and_the_environment_and_tells_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "n1.toml"
    config.write_text('id = "n7"\nlisten = "10.1.2.3:8001"\n')
    command = ["doctor", "--network", "--config", str(config), str(tmp_path / "data"), "-o", "json"]
    assert main(command) == 4
    said = capsys.readouterr()
    assert "the network of n7 is not sound" in said.err
    told = json.loads(said.out)
    assert (told["sound"], told["findings"][0]["name"]) == (False, "listen")
    monkeypatch.setenv("RAFTDB_LISTEN", "127.0.0.1:8001")
    assert main(command) == 0
    assert not (tmp_path / "data").exists()


def test_a_folder_is_needed_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 2
    assert "DIR|FILE" in capsys.readouterr().err
    assert main(["doctor", "--config", "x", "folder"]) == 2
    assert "--network" in capsys.readouterr().err
