"""Watches on real nodes that are killed, stopped and started."""

import threading

from raftdb import Change, Client
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import NewCluster

LAST = b"last"


def written(cluster: Cluster, rounds: int) -> list[Change[bytes]]:
    """What a watch tells while keys are written, in transactions too, and the node that serves it is killed in each
    round."""
    told: list[Change[bytes]] = []

    def write() -> None:
        with Client(cluster.addresses, timeout_ms=60_000) as writer:
            for number in range(rounds):
                for step in range(10):
                    writer.mset({"k/a": f"{number}.{step}", "other": "x", "k/b": f"{number}.{step}"})
                    writer.set(f"k/{number}", str(step))
                    writer.delete(f"k/{number}")
                leader = cluster.leader()
                leader.kill9()
                leader.start()
                cluster.wait_serving()
            writer.set("k/end", LAST)

    with Client(cluster.addresses) as db, db.watch("k/") as watch:
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for change in watch:
                told.append(change)
                if change.value == LAST:
                    break
        finally:
            thread.join()
    return told


def test_each_change_is_told_once_and_in_order_while_nodes_are_killed(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3).start()
    told = written(cluster, rounds=3)
    expected: list[tuple[str, bytes, bytes | None]] = []
    for number in range(3):
        for step in range(10):
            value = f"{number}.{step}".encode()
            expected += [("put", b"k/a", value), ("put", b"k/b", value)]
            expected += [
                ("put", f"k/{number}".encode(), str(step).encode()),
                ("delete", f"k/{number}".encode(), None),
            ]
    expected.append(("put", b"k/end", LAST))
    assert [(change.kind, change.key, change.value) for change in told] == expected
    places = [(change.revision, change.place) for change in told]
    assert places == sorted(set(places))


def test_a_copy_is_kept_from_a_snapshot_on_and_every_node_stops_under_its_watches(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(3).start()
    with Client(cluster.addresses, timeout_ms=60_000) as db:
        db.mset({f"k/{number}": str(number) for number in range(500)})
        copy: dict[bytes, bytes | None] = {}
        with db.watch("k/", snapshot=True) as watch:
            db.delete("k/7")
            db.set("k/end", LAST)
            for change in watch:
                if change.kind in ("put", "snapshot"):
                    copy[change.key] = change.value
                elif change.kind in ("delete", "expire"):
                    copy.pop(change.key, None)
                if change.value == LAST:
                    break
            assert copy == {entry.key: entry.value for entry in db.scan("k/")}
            with Client(cluster.addresses) as other, other.watch() as beside:
                assert beside.position is not None
                assert [node.stop() for node in cluster] == [0, 0, 0]
