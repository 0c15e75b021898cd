"""Fake clusters for the command line, and an environment without the user's settings."""

from collections.abc import Iterator

import pytest

from raftdb.client.sync_client import Client
from raftdb.server.environment import OF_CLIENTS
from tests.cli.prompt import Prompt
from tests.client.fake_node import FakeCluster, fake_cluster


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OF_CLIENTS, "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with fake_cluster(leader=1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=2_000, unreachable_timeout_ms=0) as client:
        yield client


@pytest.fixture
def prompt(client: Client) -> Prompt:
    return Prompt(client)
