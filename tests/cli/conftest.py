"""Fake clusters for the command line, and an environment without the user's settings."""

from collections.abc import Iterator

import pytest

from tests.client.fake_node import FakeCluster, fake_cluster


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAFTDB_URL", "RAFTDB_HISTORY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with fake_cluster(leader=1) as cluster:
        yield cluster
