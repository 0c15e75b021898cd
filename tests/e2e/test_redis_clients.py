"""Redis clients of other languages, and command-line tools that are not always installed.

Node's are looked for as Node does from the top of the project (`npm install --no-save ioredis redis` there, or
`NODE_PATH`); iredis is looked for on the path, because it needs another version of redis-py than these tests.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT
from tests.e2e.conftest import NewCluster
from tests.e2e.test_redis import CLUSTER_PORT, address_of, knows_all, started
from tests.e2e.waiting import LIMIT_S, wait_for

NODE_CLIENT = Path(__file__).with_name("node_client.cjs")


def needs_node(library: str) -> None:
    """Skip the test unless Node and the library are there."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    found = subprocess.run(
        [node, "-e", f"require.resolve({library!r})"], cwd=ROOT, capture_output=True, check=False
    )
    if found.returncode:
        pytest.skip(f"needs {library}: npm install --no-save {library}")


@pytest.mark.parametrize("library", ["ioredis", "redis"])
def test_clients_of_node_go_on_when_the_leader_is_killed(new_cluster: NewCluster, library: str) -> None:
    needs_node(library)
    cluster = started(new_cluster, "forward", CLUSTER_PORT)
    leader = cluster.leader()
    (follower, *_) = cluster.others(leader)
    wait_for(lambda: knows_all(follower), "a node that knows the Redis addresses of all")
    ports = [str(address_of(follower, setting)[1]) for setting in ("RAFTDB_REDIS", CLUSTER_PORT)]
    with subprocess.Popen(
        ["node", str(NODE_CLIENT), library, *ports],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            first = program.stdout.readline()
            if first == "ready\n":
                leader.kill9()
            output, errors = program.communicate("killed\n", timeout=LIMIT_S)
        finally:
            program.kill()
    assert (first, errors, program.returncode) == ("ready\n", "", 0)
    became = json.loads(output)
    assert (became["plain"]["failed"], became["plain"]["wrong"], became["cluster"]["wrong"]) == (0, 0, 0)


@pytest.mark.skipif(shutil.which("iredis") is None, reason="needs iredis")
def test_iredis_has_nothing_to_complain_of(new_cluster: NewCluster, tmp_path: Path) -> None:
    cluster = started(new_cluster, "forward")
    (follower, *_) = cluster.others(cluster.leader())
    host, port = address_of(follower)
    lines = ["set b 2", "get b", "multi", "incr b", "exec", "ttl b", "object encoding b", "nonsense"]
    done = subprocess.run(
        ["iredis", "-h", host, "-p", str(port)],
        input="\n".join([*lines, ""]),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
        env={**os.environ, "HOME": str(tmp_path), "TERM": "dumb"},
    )
    assert not done.stderr
    *replies, error = done.stdout.splitlines()
    assert replies == ["OK", "2", "OK", "QUEUED", "3", "-1", "int"]
    assert error.startswith("ERROR unknown command 'nonsense'")
