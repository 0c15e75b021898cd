"""A real node with users, by the command line and the Python client: from its first user to a token that is revoked."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftdb import Client, Forbidden, Unauthenticated
from tests.e2e.cluster import Cluster, run_cli
from tests.e2e.credentials import ADMIN, ADMIN_PASSWORD, WITH_ADMIN

AS_ADMIN = {"RAFTDB_USER": "admin", "RAFTDB_PASSWORD": ADMIN_PASSWORD}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "nodes", ["n1"])
    for node in cluster:
        node.environment = dict(WITH_ADMIN)
        node.headers = ADMIN
    try:
        yield cluster.start()
    finally:
        cluster.close()


def test_from_the_first_user_to_a_token_that_is_revoked(cluster: Cluster, tmp_path: Path) -> None:
    cluster.leader()
    connect = ("--connect", ",".join(cluster.addresses))

    def told(*words: str, extra: dict[str, str] = AS_ADMIN) -> "subprocess.CompletedProcess[str]":
        return run_cli(*connect, *words, extra=extra)

    def done(*words: str, extra: dict[str, str] = AS_ADMIN) -> str:
        ended = told(*words, extra=extra)
        assert (ended.returncode, ended.stderr) == (0, ""), words
        assert isinstance(ended.stdout, str)
        return ended.stdout

    assert done("whoami") == "admin\n"
    assert told("whoami", extra={}).returncode == 1
    done("role", "set", "app", "write keys app/", "read keys shared/")
    done("user", "add", "ana", "--role", "app", extra={**AS_ADMIN, "RAFTDB_NEW_PASSWORD": "battery-staple"})
    assert done("whoami", extra={"RAFTDB_USER": "ana", "RAFTDB_PASSWORD": "battery-staple"}) == "ana\n"
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(done("token", "create", "ana", "job", "--ttl", "30d"))
    users = json.loads(done("-o", "json", "user", "list"))["users"]
    assert {"user": "ana", "roles": ["app"], "tokens": ["job"], "has_password": True} in users

    as_ana = ("--token-file", str(file))
    assert done(*as_ana, "set", "app/k", "v", extra={}) == "OK\n"
    refused = told(*as_ana, "set", "other", "v", extra={})
    assert refused.returncode == 1
    assert "the user ana may not write this key" in refused.stderr
    assert told(*as_ana, "backup", str(tmp_path / "backup"), extra={}).returncode == 1
    assert done("backup", str(tmp_path / "backup")).startswith("index\t")

    with Client(cluster.addresses, token=file.read_text().strip()) as client:
        assert client.whoami() == "ana"
        client.set("app/n", 1)
        with client.transaction() as transaction:
            transaction.incr("app/n")
        assert client.get("app/n") == b"2"
        with client.watch("app/") as watch:
            client.set("app/n", 3)
            assert next(watch).value == b"3"
        for refusal in (
            lambda: client.set("other", 1),
            lambda: client.get("other"),
            lambda: client.set("shared/k", 1),
            lambda: list(client.keys("other")),
            lambda: client.transact([("set", ["app/n", "4"]), ("set", ["other", "4"])]),
            client.users,
            lambda: client.remove_member("n1"),
        ):
            with pytest.raises(Forbidden):
                refusal()
        assert client.get("shared/k") is None
        assert client.get("app/n") == b"3"
        assert list(client.keys()) == [b"app/k", b"app/n"]
        done("token", "revoke", "ana", "job")
        for refused_call in (lambda: client.get("app/n"), lambda: client.set("app/n", 5), client.whoami):
            with pytest.raises(Unauthenticated):
                refused_call()
    ended = told(*as_ana, "get", "app/n", extra={})
    assert ended.returncode == 1
    assert "hint: --token-file FILE" in ended.stderr
    assert done("get", "app/n") == "3\n"
