"""What `deploy/` has for service managers and containers: it names what exists, and gives a node the least rights."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from raftdb.server.config import load
from raftdb.server.environment import PREFIX

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "raftdb.service"
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
EXPOSURE_TENTHS_MAX = 20
"""systemd's own measure of what a service may do, from 0 to 100; a service without any restriction has 96."""


def unit_settings() -> dict[str, list[str]]:
    """The values of each setting of the unit, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the container file: name and arguments."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    found: list[list[tuple[str, str]]] = []
    for name, _, arguments in (line.partition(" ") for line in lines if line.strip()):
        if name == "FROM":
            found.append([])
        found[-1].append((name, " ".join(arguments.split())))
    return found


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def unit_with_a_program(folder: Path) -> Path:
    """The unit with a program that is there, for systemd looks for it."""
    path = folder / UNIT.name
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/sh", UNIT.read_text(), flags=re.MULTILINE))
    return path


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="there is no systemd-analyze here")
def test_systemd_understands_the_unit_and_finds_that_it_may_do_little(tmp_path: Path) -> None:
    unit = unit_with_a_program(tmp_path)
    verified = subprocess.run(
        [str(SYSTEMD_ANALYZE), "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    command = ["security", "--offline=true", f"--threshold={EXPOSURE_TENTHS_MAX}", "--no-pager", str(unit)]
    judged = subprocess.run(
        [str(SYSTEMD_ANALYZE), *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_unit_gives_a_user_without_rights_and_one_folder() -> None:
    settings = unit_settings()
    for name, value in {
        "DynamicUser": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "StateDirectory": "raftdb",
        "StateDirectoryMode": "0700",
        "MemoryDenyWriteExecute": "yes",
        "LimitCORE": "0",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
        "KillSignal": "SIGTERM",
    }.items():
        assert settings[name] == [value], name
    assert settings["SystemCallFilter"] == ["@system-service", "~@privileged"]
    # systemd would wait for a message that a node does not send.
    assert settings["Type"] == ["exec"]


def test_the_unit_names_settings_and_exit_codes_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = unit_settings()
    (variables,) = settings["Environment"]
    given = dict(item.split("=", 1) for item in variables.split())
    for name, value in given.items():
        assert name.startswith(PREFIX)
        monkeypatch.setenv(name, value.replace("%S", "/var/lib").replace("%d", "/run/credentials"))
    loaded = load({})
    assert loaded.data == Path("/var/lib/raftdb")
    credential = settings["LoadCredential"][0].partition(":")[0]
    assert loaded.cluster_secret_file == Path(f"/run/credentials/{credential}")
    (codes,) = settings["RestartPreventExitStatus"]
    assert f"`RestartPreventExitStatus={codes}`" in (ROOT / "docs" / "running.md").read_text()


def test_the_image_has_a_pinned_base_and_runs_without_rights_and_without_a_shell() -> None:
    first, last = stages()
    for stage in (first, last):
        image = stage[0][1].partition(" ")[0]
        assert re.fullmatch(r"docker\.io/library/python:\d+\.\d+-slim-[a-z]+", image), image
    instructions = dict(last)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions["USER"])
    assert "RUN" not in instructions, "nothing is run in what is shipped"
    assert instructions["ENTRYPOINT"].startswith('["/opt/raftdb/bin/raftdb"')
    assert instructions["CMD"] == '["serve"]'
    check = instructions["HEALTHCHECK"].partition("CMD ")[2]
    words = yaml.safe_load(check)
    assert words[0] == "/opt/raftdb/bin/raftdb"
    assert words[-2:] == ["cluster", "live"]
    names = [name for name, _ in last]
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_only_what_is_installed_goes_into_the_image() -> None:
    lines = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert all((ROOT / name).exists() for name in kept)
    assert {"raftdb", "storage", "cli", "pyproject.toml"} <= set(kept)


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_composed_nodes_have_a_secret_users_and_few_rights(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compose()
    service = found["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["secrets"]) == set(found["secrets"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"]), "only this machine reaches it"
    assert set(service["networks"]) <= set(found["networks"])
    assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(found["volumes"])
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = load({})
    assert settings.id == name
    assert str(settings.advertised) == f"{name}:8001"
    assert sorted(settings.first_members) == ["n1", "n2", "n3"]
    for path in (settings.cluster_secret_file, settings.admin_password_file):
        assert path is not None
        assert path.name in found["secrets"]
