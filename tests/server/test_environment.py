"""What surrounds a node: variables that nobody wrote for it, and how many files it may have open."""

import logging
import os
import resource
import sys
from pathlib import Path

import pytest

from raftdb.errors import Fatal
from raftdb.frontend import RedisLimits, ServerLimits
from raftdb.server.bootstrap import run_node
from raftdb.server.config import BadSetting, Settings, load
from raftdb.server.environment import passed_over
from raftdb.server.open_files import (
    OPEN_FILES_MIN,
    OPEN_FILES_RESERVED,
    allow_open_files,
    connection_shares,
)

KUBERNETES = {
    "RAFTDB_SERVICE_HOST": "10.0.0.1",
    "RAFTDB_SERVICE_PORT": "8001",
    "RAFTDB_SERVICE_PORT_HTTP": "8001",
    "RAFTDB_PORT": "tcp://10.0.0.1:8001",
    "RAFTDB_PORT_8001_TCP": "tcp://10.0.0.1:8001",
    "RAFTDB_PORT_8001_TCP_PROTO": "tcp",
    "RAFTDB_PORT_8001_TCP_PORT": "8001",
    "RAFTDB_PORT_8001_TCP_ADDR": "10.0.0.1",
    "RAFTDB_N1_SERVICE_HOST": "10.0.0.2",
    "RAFTDB_N1_PORT": "udp://10.0.0.2:8001",
}
DOCKER = {
    "RAFTDB_NAME": "/web/raftdb",
    "RAFTDB_ENV_PYTHON_VERSION": "3.11",
    "RAFTDB_1_PORT_8001_TCP": "tcp://1:1",
}


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RAFTDB_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("variables", [KUBERNETES, DOCKER], ids=["kubernetes", "docker"])
def test_what_an_orchestrator_sets_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in {**variables, "RAFTDB_ID": "n7", "RAFTDB_URL": "tcp://x"}.items():
        monkeypatch.setenv(name, value)
    assert load({}) == Settings(id="n7", data=Path.cwd() / "data")
    assert passed_over(os.environ) == tuple(sorted(variables))


@pytest.mark.parametrize(
    ("name", "value"), [("RAFTDB_PORT", "8001"), ("RAFTDB_NAME", "n1"), ("RAFTDB_LISTN", "127.0.0.1:1")]
)
def test_a_name_that_somebody_wrote_is_still_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=name.removeprefix("RAFTDB_").lower()):
        load({})


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAFTDB_LISTEN", "RAFTDB_PEERS", "RAFTDB_TICK_MS", "RAFTDB_CONFIG", "RAFTDB_NO_SUCH_THING"):
        monkeypatch.setenv(name, "")
    assert load({}) == Settings(data=Path.cwd() / "data")


def limited(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> list[int]:
    """Let the system say that these are the limits on open files; returns the soft one, as it is set."""
    now = [soft]

    def set_limit(_kind: int, limits: tuple[int, int]) -> None:
        assert limits[1] == hard, "the hard limit is not given away"
        assert hard == resource.RLIM_INFINITY or limits[0] <= hard
        now[0] = limits[0]

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (now[0], hard))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    return now


HTTP_MAX, REDIS_MAX = ServerLimits().connections_max, RedisLimits().connections_max
WANTED = HTTP_MAX + REDIS_MAX + OPEN_FILES_RESERVED


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (256, resource.RLIM_INFINITY, WANTED),
        (1024, 1 << 20, WANTED),
        (1024, 2048, 2048),
        (1 << 17, 1 << 20, 1 << 17),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_the_limit_on_open_files_is_raised_as_far_as_is_needed(
    monkeypatch: pytest.MonkeyPatch,
    log_records: list[logging.LogRecord],
    soft: int,
    hard: int,
    then: int,
) -> None:
    now = limited(monkeypatch, soft, hard)
    allow_open_files(1)
    assert now == [then]
    assert [record.levelname for record in log_records] == (["WARNING"] if then == 2048 else [])


def test_a_limit_that_leaves_no_connections_is_said_before_the_folder_is_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limited(monkeypatch, 64, 64)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _seconds: None)
    with pytest.raises(Fatal, match=f"64 files open, and a node needs {OPEN_FILES_MIN}") as refused:
        run_node(Settings(data=tmp_path / "data"))
    assert refused.value.exit_code == 7
    assert "ulimit -n" in (refused.value.hint or "")
    assert not (tmp_path / "data").exists()


def test_a_system_that_allows_less_than_it_says_is_taken_at_its_word(
    monkeypatch: pytest.MonkeyPatch, log_records: list[logging.LogRecord]
) -> None:
    limited(monkeypatch, 256, 4096)

    def refuse(_kind: int, _limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    allow_open_files(0)
    fields = [getattr(record, "fields", None) for record in log_records]
    assert fields == [{"open_files": 256, "connections": 192, "instead_of": 4096}]


@pytest.mark.parametrize(
    ("open_files", "redis_doors", "shares"),
    [
        (resource.RLIM_INFINITY, 2, (HTTP_MAX, REDIS_MAX)),
        (1 << 20, 1, (HTTP_MAX, REDIS_MAX)),
        (OPEN_FILES_RESERVED + 60_000, 2, (HTTP_MAX, 18_000)),
        (1024, 0, (960, 0)),
        (1024, 1, (640, 320)),
        (1024, 2, (480, 240)),
        (OPEN_FILES_MIN, 2, (32, 16)),
    ],
)
def test_what_the_limit_on_open_files_leaves_is_divided_among_the_doors(
    monkeypatch: pytest.MonkeyPatch, open_files: int, redis_doors: int, shares: tuple[int, int]
) -> None:
    limited(monkeypatch, open_files, open_files)
    http, redis = connection_shares(redis_doors)
    assert (http, redis if redis_doors else 0) == shares
    if open_files != resource.RLIM_INFINITY:
        assert http + redis_doors * redis <= open_files - OPEN_FILES_RESERVED
