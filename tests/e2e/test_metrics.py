"""GET /metrics of a running cluster: all that the documentation, the alerts and the dashboard name is there."""

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.cluster import Cluster, Node
from tests.e2e.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "raftdb.json"
NAMES = re.compile(r"\b(?:raftdb|process)_[a-z_]+")
SUFFIXES = ("_bucket", "_count", "_sum")

Samples = dict[tuple[str, ...], float]
"""By name, and the names and values of the labels in turn."""


def scrape(node: Node) -> tuple[dict[str, str], Samples]:
    """The kinds of the families by name, and the samples, in one scrape."""
    response = node.ask("GET", "/metrics")
    assert response.status == 200
    families = list(text_string_to_metric_families(response.body.decode()))
    samples = {
        (sample.name, *(word for pair in sorted(sample.labels.items()) for word in pair)): sample.value
        for family in families
        for sample in family.samples
    }
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in families
    }, samples


def expressions(value: Any) -> list[str]:
    """All that a dashboard asks of Prometheus."""
    if isinstance(value, dict):
        own = [value[key] for key in ("expr", "query") if isinstance(value.get(key), str)]
        return own + [found for one in value.values() for found in expressions(one)]
    return [found for one in value for found in expressions(one)] if isinstance(value, list) else []


def named_in(text: str, kinds: dict[str, str]) -> set[str]:
    """The families that a text names; those of a histogram by any of their samples."""
    found = set()
    for name in NAMES.findall(text):
        base = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
        found.add(base if kinds.get(base) == "histogram" else name)
    return found


@pytest.fixture(scope="module")
def busy_cluster(shared_cluster: Cluster) -> Cluster:
    """A cluster that has done a little of everything."""
    leader = shared_cluster.wait_serving()
    for command in ("set a 1", "get a", "enqueue jobs hello", "receive jobs", "lock l OWNER x"):
        name, *args = command.split()
        body = json.dumps({"command": name, "args": args}).encode()
        assert leader.ask("POST", "/v1/execute", body).status == 200, command
    return shared_cluster


def test_all_that_alerts_and_dashboard_name_is_measured(busy_cluster: Cluster) -> None:
    kinds, samples = scrape(busy_cluster.leader())
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for text in (ALERTS.read_text(encoding="utf-8"), "\n".join(expressions(dashboard))):
        wanted = named_in(text, kinds)
        assert len(wanted) > 8
        assert wanted - kinds.keys() == set()
        shown = {name for name, *_ in samples}
        silent = {name for name in wanted if not any(one.startswith(name) for one in shown)}
        # What has labels has no sample before something with that label has happened.
        assert silent <= {"raftdb_raft_proposals_failed_total"}


def test_every_panel_and_alert_is_for_one_kind_of_metric(busy_cluster: Cluster) -> None:
    """A counter is read as a rate, and only a histogram has buckets."""
    kinds, _ = scrape(busy_cluster.leader())
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    text = ALERTS.read_text(encoding="utf-8") + "\n".join(expressions(dashboard))
    for name in NAMES.findall(text):
        if name.endswith("_bucket"):
            assert kinds[name.removesuffix("_bucket")] == "histogram"
    for name, kind in kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
        for use in re.findall(rf"(\w+)\({name}\b", text):
            assert kind != "counter" or use in ("rate", "increase"), name


def test_the_names_are_those_of_the_documentation(busy_cluster: Cluster) -> None:
    kinds, _ = scrape(busy_cluster.leader())
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    table = text.partition("### Metrics")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(raftdb_[a-z_]+)[`{]", table))
    assert listed == {name for name in kinds if name.startswith("raftdb_")}


def test_metrics_say_what_status_says(busy_cluster: Cluster) -> None:
    for node in busy_cluster:

        def agree(node: Node = node) -> bool:
            before = node.status()
            _, samples = scrape(node)
            role = samples["raftdb_raft_role", "role", before["role"]]
            indexes = {
                "raftdb_raft_term": before["term"],
                "raftdb_raft_first_log_index": before["first_index"],
                "raftdb_raft_last_log_index": before["last_index"],
                "raftdb_raft_commit_index": before["commit_index"],
                "raftdb_raft_applied_index": before["applied_index"],
                "raftdb_sessions": before["sessions"],
                "raftdb_history_begin_index": before["history"]["begin"],
                "raftdb_history_begin_timestamp_seconds": before["history"]["clock_ms"] / 1000,
            }
            return role == 1 and all(samples[(name,)] == value for name, value in indexes.items())

        wait_for(agree, f"{node.name} to say the same twice")


def test_what_was_done_is_counted(busy_cluster: Cluster) -> None:
    leader = busy_cluster.leader()
    _, samples = scrape(leader)
    for name in ("set", "get", "enqueue", "receive", "lock"):
        labels = ("api", "http", "operation", name, "outcome", "ok")
        assert samples["raftdb_request_duration_seconds_count", *labels] >= 1, name
    assert samples["raftdb_queue_in_flight", "queue", "jobs"] == 1
    assert samples["raftdb_queues_in_flight",] == 1
    assert samples["raftdb_queue_delivered_total",] == 1
    assert samples["raftdb_locks_held",] == 1
    assert samples["raftdb_keys",] == 1
    assert samples["raftdb_commit_duration_seconds_count",] >= 4
    assert samples["raftdb_log_fsync_duration_seconds_count",] > 0
    for node in busy_cluster.others(leader):
        assert samples["raftdb_peer_up", "peer", node.name] == 1
        assert samples["raftdb_peer_sent_bytes_total", "peer", node.name] > 0
        assert samples["raftdb_peer_received_bytes_total", "peer", node.name] > 0

        def has_applied(node: Node = node) -> bool:
            return scrape(node)[1].get(("raftdb_queue_in_flight", "queue", "jobs")) == 1

        wait_for(has_applied, f"{node.name} to apply it")


def test_those_who_follow_changes_are_counted(busy_cluster: Cluster) -> None:
    leader = busy_cluster.leader()
    host, _, port = leader.address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /v1/watch?prefix=a HTTP/1.1\r\nHost: %b\r\n\r\n" % leader.address.encode())
        wait_for(lambda: scrape(leader)[1]["raftdb_watch_clients",] == 1, "the follower to be counted")
        wait_for(lambda: scrape(leader)[1]["raftdb_watch_lag_entries",] == 0, "it to have got everything")
    wait_for(lambda: scrape(leader)[1]["raftdb_watch_clients",] == 0, "the follower to have gone")


def test_a_request_that_nobody_knows_is_counted_under_no_name_of_its_own(busy_cluster: Cluster) -> None:
    leader = busy_cluster.leader()
    for number in range(20):
        assert leader.ask("GET", f"/made-up-{number}").status == 404
    assert leader.ask("POST", "/v1/execute", b'{"command": "made-up", "args": []}').status == 400
    text = leader.ask("GET", "/metrics").body.decode()
    assert "made-up" not in text
    assert 'operation="unknown",outcome="not_found"' in text


@pytest.mark.parametrize("words", ["check rules", "test rules"])
def test_the_alerts_are_sound_and_fire_when_they_should(words: str, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    stories = tmp_path / "stories.yml"
    text = Path(__file__).with_name("alerts.yml").read_text(encoding="utf-8")
    stories.write_text(text.replace("[ALERTS]", f"[{ALERTS}]"), encoding="utf-8")
    file = ALERTS if words == "check rules" else stories
    checked = subprocess.run([promtool, *words.split(), file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
