"""`raftdb user`, `role` and `token`: what they ask of the cluster, and what they show."""

import io
import json
from pathlib import Path

import pytest

from cli.admin.users import show_tokens
from cli.console.output import Output
from cli.line.numbers import parse_lifetime
from cli.main import run
from raftdb.client.model import Token
from tests.cli.test_main import Cli, Result
from tests.client.fake_node import Canned, FakeCluster

ROWS = [
    {"user": "admin", "roles": ["admin"], "tokens": [], "has_password": True},
    {"user": "app", "roles": ["app", "jobs"], "tokens": ["web"], "has_password": False},
]
DONE = Canned(body={"index": 7, "term": 1})


@pytest.fixture
def cli(cluster: FakeCluster, capfd: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> Result:
        code = run(["--connect", cluster.addresses, "--timeout", "5", *arguments])
        return code, *capfd.readouterr()

    return call


@pytest.fixture(autouse=True)
def _leader_is_asked(cluster: FakeCluster) -> None:
    cluster.leader = 0


def told(cluster: FakeCluster, *answers: Canned) -> list[tuple[str, str, object]]:
    """Let the leader answer so; the list gets what it is asked beside its status."""
    leader = cluster.nodes[0]
    # A change is preceded by a question who leads.
    served = leader.answer

    def answer(method: str, path: str, query: object, body: object) -> Canned:
        if path == "/v1/status":
            return served(method, path, query, body)  # type: ignore[arg-type]
        asked.append((method, path, body))
        return waiting.pop(0)

    asked: list[tuple[str, str, object]] = []
    waiting = list(answers)
    leader.answer = answer  # type: ignore[method-assign]
    return asked


def test_users_are_listed(cluster: FakeCluster, cli: Cli) -> None:
    told(cluster, *[Canned(body={"users": ROWS})] * 3)
    code, out, _ = cli("-o", "table", "user", "list")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["user", "roles", "tokens", "password"],
        ["admin", "admin", "-", "yes"],
        ["app", "app,", "jobs", "web", "no"],
    ]
    assert json.loads(cli("-o", "json", "user", "list")[1]) == {"users": ROWS}
    assert cli("user", "list")[1].splitlines()[1] == "app\tapp, jobs\tweb\tno"


def test_a_user_is_added_with_a_password_from_a_file(cluster: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    asked = told(cluster, DONE)
    file = tmp_path / "password"
    file.write_text("battery-staple\n")
    file.chmod(0o600)
    code, out, errors = cli(
        "user", "add", "ana", "--role", "app", "--role", "jobs", "--password-file", str(file)
    )
    assert (code, out) == (0, "user\tana\nroles\tapp, jobs\nindex\t7\n")
    assert "the first user" in errors, "nobody asked, and it was done"
    body = {"roles": ["app", "jobs"], "password": "battery-staple", "exists": False}
    assert asked == [("PUT", "/v1/users/ana", body)]


def test_a_user_may_have_no_password(cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = told(cluster, DONE, DONE)
    assert cli("user", "add", "job", "--no-password")[0] == 0
    monkeypatch.setenv("RAFTDB_NEW_PASSWORD", "battery-staple")
    assert cli("user", "add", "ana")[0] == 0
    assert [body for _, _, body in asked] == [
        {"roles": [], "exists": False},
        {"roles": [], "password": "battery-staple", "exists": False},
    ]
    assert cli("user", "add", "ana", "--no-password", "--password-file", "x")[0] == 2


def test_where_nobody_can_be_asked_a_password_has_to_be_named(cluster: FakeCluster, cli: Cli) -> None:
    asked = told(cluster)
    code, _, errors = cli("user", "add", "ana")
    assert code == 2
    assert "there is no password for the new user ana" in errors
    assert "--no-password" in errors
    assert asked == []


def test_what_is_not_named_stays(cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = told(cluster, Canned(body={"users": ROWS}), DONE, DONE, DONE)
    monkeypatch.setenv("RAFTDB_NEW_PASSWORD", "battery-staple")
    assert cli("user", "set", "app", "--password")[0] == 0
    assert cli("user", "set", "app", "--role", "other")[0] == 0
    assert cli("user", "set", "app", "--no-roles")[0] == 0
    assert [body for method, _, body in asked if method == "PUT"] == [
        {"roles": ["app", "jobs"], "password": "battery-staple", "exists": True},
        {"roles": ["other"], "exists": True},
        {"roles": [], "exists": True},
    ]


def test_a_change_of_nothing_and_of_nobody_is_refused(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(cluster, Canned(body={"users": ROWS}))
    assert cli("user", "set", "app")[0] == 2
    assert cli("user", "set", "app", "--role", "a", "--no-roles")[0] == 2
    monkeypatch.setenv("RAFTDB_NEW_PASSWORD", "battery-staple")
    code, _, errors = cli("user", "set", "nobody", "--password")
    assert (code, errors) == (1, "raftdb: error: user set: there is no user nobody\n")


@pytest.mark.parametrize(
    ("words", "grants"),
    [
        (["write keys app/", "read queues"], ["write keys app/", "read queues"]),
        (["write", "keys", "app/"], ["write keys app/"]),
        (["read", "locks"], ["read locks"]),
        (["read keys a b"], ["read keys a b"]),
    ],
)
def test_roles(cluster: FakeCluster, cli: Cli, words: list[str], grants: list[str]) -> None:
    rows = {"roles": [{"role": "app", "grants": grants}]}
    asked = told(cluster, DONE, Canned(body=rows), DONE)
    assert cli("role", "set", "app", *words)[0] == 0
    assert asked[0] == ("PUT", "/v1/roles/app", {"grants": grants})
    assert cli("role", "list")[1] == f"app\t{', '.join(grants)}\n"
    assert cli("role", "remove", "app")[0] == 0
    assert asked[2] == ("DELETE", "/v1/roles/app", None)


def test_the_secret_of_a_token_is_alone_in_a_pipe(cluster: FakeCluster, cli: Cli) -> None:
    made = Canned(body={"secret": "raftdb_abc", "ends_ms": 1_800_000_000_000, "index": 9})
    asked = told(cluster, *[made] * 4)
    assert cli("token", "create", "app", "web", "--ttl", "30d") == (0, "raftdb_abc\n", "")
    assert asked[0] == ("POST", "/v1/users/app/tokens/web", {"ttl_ms": 30 * 86_400_000})
    code, out, errors = cli("-o", "table", "token", "create", "app", "web")
    assert code == 0
    assert ["secret", "raftdb_abc"] in [line.split() for line in out.splitlines()]
    assert out.splitlines()[-1].split() == ["ends", "never"]
    assert "not shown again" in errors
    assert asked[1][2] == {}
    assert "in 15 m" in cli("-o", "table", "token", "create", "app", "web", "--ttl", "15m")[1]
    body = json.loads(cli("-o", "json", "token", "create", "app", "web")[1])
    assert body == {"user": "app", "token": "web", "secret": "raftdb_abc", "ends_ms": 1_800_000_000_000}


def test_tokens_are_listed_and_taken_back(cluster: FakeCluster, cli: Cli) -> None:
    rows = [
        {"token": "web", "made_ms": 1_000, "ends_ms": None},
        {"token": "x", "made_ms": 0, "ends_ms": 121_000},
        {"token": "y", "made_ms": 0, "ends_ms": 60_000},
    ]
    asked = told(cluster, *[Canned(body={"tokens": rows})] * 2, DONE)
    assert cli("token", "list", "app")[1].splitlines() == ["web\t-\tnever", "x\t-\t-", "y\t-\t-"]
    tokens = [Token(name=row["token"], made_ms=row["made_ms"], ends_ms=row["ends_ms"]) for row in rows]  # type: ignore[arg-type]
    out = io.StringIO()
    show_tokens(tokens, 61_000, Output("raw", stream=out))
    assert out.getvalue().splitlines() == [
        "web\t1 min 0 s ago\tnever",
        "x\t1 min 1 s ago\tin 1 min 0 s",
        "y\t1 min 1 s ago\tover",
    ]
    assert json.loads(cli("-o", "json", "token", "list", "app")[1]) == {"tokens": rows}
    assert cli("token", "revoke", "app", "web")[0] == 0
    assert asked[2] == ("DELETE", "/v1/users/app/tokens/web", None)
    assert cli("token", "list")[0] == 2, "without users nobody has tokens"


def test_a_user_is_removed_and_who_asks_is_said(cluster: FakeCluster, cli: Cli) -> None:
    asked = told(cluster, DONE)
    assert cli("user", "remove", "ana") == (0, "removed\tana\nindex\t7\n", "")
    assert asked == [("DELETE", "/v1/users/ana", None)]
    assert cli("whoami") == (0, "\n", "")
    assert cli("-o", "table", "whoami")[1].startswith("nobody: ")
    assert cli("-o", "json", "whoami")[1] == '{"user": null}\n'


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2W", 1_209_600)]
)
def test_times_as_they_are_typed(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5h", "1y", "99999d", "1" * 40 + "s", "٣d"])
def test_other_times_are_refused(cluster: FakeCluster, cli: Cli, text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_lifetime(text)
    assert cli("token", "create", "app", "web", "--ttl", text)[0] == 2
