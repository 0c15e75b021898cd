"""A cluster with default settings on a slow and lossy network: it forms, writes, and finds another leader.

The figures are those of `benchmarks/slow_network.py`. Nothing here asserts how long anything takes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from raftdb import Client
from tests.e2e.slow_cluster import SlowCluster
from tests.e2e.slow_network import SlowNetwork, Weather, why_not
from tests.e2e.waiting import wait_for

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

LOSSY = {"loss": 0.05, "corruption": 0.05, "duplication": 0.02, "reordering": 0.08}
FORM_LIMIT_S = 120.0
FAR_LIMIT_S = 600.0


class Rig:
    """A network, and the cluster on it."""

    def __init__(self, folder: Path, nodes: int, weather: Weather) -> None:
        self.network = SlowNetwork(nodes, weather)
        self.cluster = SlowCluster(folder, self.network, nodes=nodes, log_level="info")
        for index in range(nodes):
            self.cluster.start(index)

    def lead(self, limit_s: float) -> int:
        """Wait for a leader that has committed its first entry."""
        found: list[int] = []

        def look() -> bool:
            leader = self.cluster.leader()
            found.extend([] if leader is None else [leader])
            return bool(found)

        wait_for(look, "a leader", limit_s=limit_s)
        return found[-1]

    def client(self) -> Client:
        """A client of all nodes, with default settings."""
        return Client(",".join(self.cluster.addresses))


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A rig of (nodes, weather); nothing of it is left."""
    rig = Rig(tmp_path, *request.param)
    try:
        yield rig
    finally:
        rig.cluster.stop()
        rig.network.close()


@pytest.mark.parametrize("rig", [(3, Weather(0.1, 0.05, **LOSSY))], indirect=True)
def test_a_cluster_over_100_ms_forms_writes_and_fails_over(rig: Rig) -> None:
    leader = rig.lead(FORM_LIMIT_S)
    follower = (leader + 1) % 3
    with rig.network.entered(follower), rig.client() as client:
        client.set("key", "before")
        rig.cluster.kill(leader)
        rig.lead(FORM_LIMIT_S)
        assert client.get("key") == b"before"
        client.set("key", "after")
        assert client.get("key") == b"after"


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("rig", [(6, Weather(1.0, 0.05, **LOSSY))], indirect=True)
def test_a_cluster_over_1000_ms_forms_writes_and_fails_over(rig: Rig, is_long: bool) -> None:
    """Six nodes, a second each way, and two leaders lost one after the other."""
    if not is_long:
        pytest.skip("takes minutes: --long")
    leader = rig.lead(FAR_LIMIT_S)
    follower = (leader + 1) % 6
    with rig.network.entered(follower), rig.client() as client:
        wait_for(lambda: client.set("key", "0") or True, "a write", limit_s=FAR_LIMIT_S)
        for number in (1, 2):
            leader = rig.lead(FAR_LIMIT_S)
            rig.cluster.kill(leader)
            rig.lead(FAR_LIMIT_S)
            client.set("key", str(number))
            assert client.get("key") == b"%d" % number
            rig.cluster.start(leader)
            wait_for(rig.cluster.is_whole, "a whole cluster", limit_s=FAR_LIMIT_S)
