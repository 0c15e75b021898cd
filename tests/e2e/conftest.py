"""Clusters for tests, and the nodes' terminals beside a failure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

NewCluster = Callable[..., Cluster]

_clusters: list[Cluster] = []
"""The clusters that exist now: what a failure wants to see."""


@pytest.fixture
def new_cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewCluster]:
    """Makes clusters, `new_cluster(3)` or `new_cluster(3, "other")`: n1, n2, ... Not started. Nothing is left."""
    mine: list[Cluster] = []
    as_programs = request.node.get_closest_marker("as_programs") is not None

    def make(size: int, folder: str = "cluster") -> Cluster:
        names = [f"n{number}" for number in range(1, size + 1)]
        cluster = Cluster(tmp_path / folder, names, as_programs=as_programs)
        mine.append(cluster)
        _clusters.append(cluster)
        return cluster

    yield make
    _close(mine)


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that all tests of a module share, for tests that do no harm."""
    cluster = Cluster(tmp_path_factory.mktemp("shared"), ["n1", "n2", "n3"])
    _clusters.append(cluster)
    try:
        yield cluster.start()
    finally:
        _close([cluster])


def _close(clusters: list[Cluster]) -> None:
    for cluster in clusters:
        _clusters.remove(cluster)
    errors = []
    for cluster in clusters:
        try:
            cluster.close()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, errors


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add what the nodes wrote to the report of a failure."""
    report = yield
    if report.failed and call.when != "teardown":  # type: ignore[attr-defined]
        for cluster in _clusters:
            for name, text in cluster.logs():
                report.sections.append((f"{cluster.folder.name}/{name}", text))  # type: ignore[attr-defined]
    return report
