"""`raftdb lock NAME -- COMMAND` on real nodes: a program that runs under a lock."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from raftdb import Client
from tests.e2e.cluster import ROOT, Cluster, clean_environment, run_cli
from tests.e2e.waiting import LIMIT_S, wait_for

SAY_TOKEN = "import os, sys; print(os.environ['RAFTDB_LOCK_TOKEN']); sys.exit(3)"
SLEEP = "import time; print('asleep', flush=True); time.sleep(600)"


@pytest.fixture
def client(shared_cluster: Cluster) -> Iterator[Client]:
    with Client(shared_cluster.addresses, timeout_ms=30_000) as client:
        yield client


def under_lock(client: Client, *words: str) -> "subprocess.CompletedProcess[str]":
    return run_cli("--connect", ",".join(client.addresses), "lock", *words)


def begun(client: Client, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "raftdb", "--connect", ",".join(client.addresses), "lock", *words],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_program_has_the_token_and_its_exit_code_is_passed_on(client: Client) -> None:
    ended = under_lock(client, "cron", "--ttl", "5", "--wait=10", "--", sys.executable, "-c", SAY_TOKEN)
    assert ended.returncode == 3, ended.stderr
    with client.lock("cron", wait=0) as held:
        assert 0 < int(ended.stdout) < held.token


def test_it_is_not_run_if_the_lock_is_not_free(client: Client) -> None:
    with client.lock("busy"):
        ended = under_lock(client, "busy", "--wait", "0", "--", sys.executable, "-c", SAY_TOKEN)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "was not free" in ended.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("x", "--", "there-is-no-such-program"), 127),
        (("x", "--", "/"), 126),
        (("x", "--"), 2),
        (("x", "--ttl", "long", "--", "true"), 2),
        (("x", "--quick", "--", "true"), 2),
    ],
)
def test_what_cannot_be_run(client: Client, words: tuple[str, ...], code: int) -> None:
    ended = under_lock(client, *words)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert "raftdb: error: lock" in ended.stderr


def test_it_ends_with_its_program_and_before_somebody_else_has_the_lock(client: Client) -> None:
    process = begun(client, "lost", "--ttl", "4", "--", sys.executable, "-c", SLEEP)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        told: Any = client.execute("lockinfo", ["lost"]).value
        ((_, _, token, *_),) = told[told.index(b"holders") + 1]
        assert client.execute("unlock", ["lost", token]).value == 1
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 128 + signal.SIGTERM
        assert "was lost" in errors
    finally:
        process.kill()
        process.communicate()


def test_sigterm_is_for_the_program_and_the_lock_is_given_back(client: Client) -> None:
    process = begun(client, "ended", "--", sys.executable, "-c", SLEEP)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)
        assert process.returncode == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()
    wait_for(lambda: client.execute("lockinfo", ["ended"]).value is None, "the lock to be given back")
