"""A fake cluster for each test."""

from collections.abc import Iterator

import pytest

from tests.client.fake_node import FakeCluster, fake_cluster


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with fake_cluster() as cluster:
        yield cluster
