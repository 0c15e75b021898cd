"""Who a client is: which requests say so, who gets them, what a refusal becomes, and that no text has a secret."""

import base64
import logging
import ssl
from collections.abc import Callable

import pytest

from raftdb import (
    AsyncClient,
    Client,
    Credentials,
    Forbidden,
    NewToken,
    OutcomeUnknown,
    Role,
    Token,
    Unauthenticated,
    User,
)
from raftdb.client.flow import Exchange
from raftdb.client.http1 import Response
from raftdb.client.protocol import STATUS_REQUEST, Kind
from raftdb.client.renewing import ClientRenewer
from raftdb.client.routing import STRANGERS_MAX, Attempt, Router
from raftdb.errors import RequestRefused
from tests.addresses import at
from tests.client.fake_node import LOSE_REPLY, Canned, FakeCluster, error, fake_cluster
from tests.client.test_routing import OK, A, B, D, answer, attempt, make, status_of

SECRET = "raftdb_c2VjcmV0"
PASSWORD = "battery: stäple"
BEARER = f"Bearer {SECRET}"
BASIC = f"Basic {base64.b64encode(f'ana:{PASSWORD}'.encode()).decode()}"


def sent_by(cluster: FakeCluster) -> set[str | None]:
    return {header for node in cluster.nodes for header in node.credentials}


CALLS: dict[str, Callable[[Client], object]] = {
    "execute": lambda client: client.execute("set", ["k", "v"]),
    "read": lambda client: client.get("k"),
    "transaction": lambda client: client.transact([("set", ["k", "v"])]),
    "keys": lambda client: list(client.keys()),
    "status": lambda client: client.status(),
    "status of one": lambda client: client.status(client.addresses[0]),
    "members": lambda client: client.membership(),
    "snapshot": lambda client: client.snapshot(),
    "log": lambda client: client.request_log(),
    "whoami": lambda client: client.whoami(),
}


@pytest.mark.parametrize("sessions", [True, False])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_request_says_who_asks(
    cluster: FakeCluster, call: Callable[[Client], object], sessions: bool
) -> None:
    cluster.users = {BEARER: "ana"}
    cluster.leader = 2  # so that redirects are followed, and sessions registered and ended there
    with Client(cluster.addresses, token=SECRET, sessions=sessions) as client:
        call(client)
    assert sent_by(cluster) == {BEARER}


def test_a_user_with_a_password(cluster: FakeCluster) -> None:
    cluster.users = {BASIC: "ana"}
    with Client(cluster.addresses, user="ana", password=PASSWORD) as client:
        assert client.whoami() == "ana"
        client.set("k", "v")
        assert client.get("k") == b"v"
    assert sent_by(cluster) == {BASIC}


async def test_the_other_half(cluster: FakeCluster) -> None:
    cluster.users = {BASIC: "ana", BEARER: "ana"}
    for given in ({"token": SECRET}, {"user": "ana", "password": PASSWORD}):
        async with AsyncClient(cluster.addresses, **given) as client:  # type: ignore[call-overload]
            assert await client.whoami() == "ana"
            await client.set("k", "v")
            watch = client.watch("k")
            await watch._connect()
            await watch.close()
    assert sent_by(cluster) == {BASIC, BEARER}


def test_nothing_is_sent_unless_it_was_given(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAFTDB_TOKEN", "RAFTDB_USER", "RAFTDB_PASSWORD"):
        monkeypatch.setenv(name, SECRET)
    with Client(cluster.addresses) as client:
        client.set("k", "v")
        assert client.whoami() is None
        assert client.credentials.is_empty
    assert sent_by(cluster) == {None}


def test_clients_of_locks_and_renewals_have_the_same_credentials() -> None:
    """And reach nodes by the same TLS."""
    context = ssl.create_default_context()
    client = Client("n1:1", token=SECRET, tls=context)
    holding = client._own_holding()
    with holding.waiting_client() as waiting:
        assert waiting.credentials is client.credentials
        assert waiting.tls is context
    renewer = holding.renewals._make()
    assert isinstance(renewer, ClientRenewer)
    assert renewer._client.credentials is client.credentials
    assert renewer._client.tls is context


def test_who_it_is_can_change_under_all_clients_that_share_it(cluster: FakeCluster) -> None:
    cluster.users = {BEARER: "ana", BASIC: "budi"}
    with Client(cluster.addresses) as client:
        with pytest.raises(Unauthenticated):
            client.whoami()
        client.credentials.replace(token=SECRET)
        other = Client.from_url(f"raftdb://{cluster.addresses}", credentials=client.credentials)
        assert (client.whoami(), other.whoami()) == ("ana", "ana")
        client.credentials.replace(user="ana", password=PASSWORD)
        assert (client.whoami(), other.whoami()) == ("budi", "budi")
        client.credentials.replace()
        with pytest.raises(Unauthenticated):
            other.whoami()
        other.close()


@pytest.mark.parametrize("sessions", [True, False])
def test_a_refusal_is_typed_and_each_node_is_asked_once(cluster: FakeCluster, sessions: bool) -> None:
    cluster.users = {BASIC: "ana"}
    with Client(cluster.addresses, token=SECRET, sessions=sessions) as client:
        for call in (lambda: client.set("k", "v"), lambda: client.get("k"), client.whoami, client.membership):
            asked = sum(len(node.requests) for node in cluster.nodes)
            with pytest.raises(Unauthenticated) as caught:
                call()
            assert caught.value.code == "unauthenticated"
            assert sum(len(node.requests) for node in cluster.nodes) - asked <= 3
    assert not cluster.values
    for node in cluster.nodes:
        node.script += [error(403, "forbidden", "the user ana may not write this key")]
    with Client(cluster.addresses, user="ana", password=PASSWORD, sessions=False) as client:
        with pytest.raises(Forbidden, match="may not write this key"):
            client.get("k")
        assert sum(len(node.script) for node in cluster.nodes) == 2, "a refusal is not asked for twice"


def test_a_node_that_lags_does_not_hide_a_new_token() -> None:
    call = make(Kind.READ)
    step = attempt(call)
    assert call.answered(step, answer(401, "unauthenticated")) is None
    step = attempt(call)
    assert call.answered(step, OK) is OK
    # The leader knows, and so do all together.
    led = make(Kind.READ, leader=B)
    with pytest.raises(Unauthenticated):
        led.answered(attempt(led), answer(401, "unauthenticated"))
    for kind in (Kind.READ, Kind.WRITE, Kind.ANY_NODE):
        call = make(kind)
        for _ in range(2):
            assert call.answered(attempt(call), answer(401, "unauthenticated")) is None
        with pytest.raises(Unauthenticated):
            call.answered(attempt(call), answer(401, "unauthenticated"))
    call = make(Kind.READ)
    call.answered(attempt(call), answer(401, "unauthenticated"))
    for _ in range(2):
        call.failed(attempt(call), "connection refused", sent=False)
    with pytest.raises(Unauthenticated):
        call.next_step(0)


@pytest.mark.parametrize("code", ["unauthenticated", "forbidden"])
def test_a_write_that_may_have_happened_is_not_said_to_be_refused(cluster: FakeCluster, code: str) -> None:
    status = {"unauthenticated": 401, "forbidden": 403}[code]
    with Client(cluster.addresses, token=SECRET) as client:
        client.set("k", "1")
        cluster.nodes[0].script += [LOSE_REPLY, error(status, code), error(status, code)]
        with pytest.raises(OutcomeUnknown, match="refused when it was sent again"):
            client.append("k", "2")
    assert cluster.values[b"k"] == b"12"


def test_a_redirect_of_another_server_gets_no_credentials(cluster: FakeCluster) -> None:
    """A proxy that sends people to its log-in page must not hand it the token."""
    cluster.users = {BEARER: "ana"}
    with fake_cluster(1) as foreign:
        elsewhere = foreign.addresses
        redirect = Canned(307, content=b"<html>", headers={"Location": f"http://{elsewhere}/login"})
        cluster.nodes[0].script.append(redirect)
        with Client(cluster.addresses, token=SECRET, sessions=False) as client:
            assert client.get("k") is None
            # It has become the leader that this client knows, and is a stranger still.
            assert client.get("k") is None
        assert sent_by(foreign) == {None}


def test_an_address_is_known_once_a_node_names_it() -> None:
    router = Router([A, B])
    assert router.note_named(D, by_node=False)
    assert router.is_stranger(D)
    assert router.note_named(A, by_node=False)
    assert not router.is_stranger(A), "it was given"
    assert router.note_named(D, by_node=True)
    assert not router.is_stranger(D)
    for number in range(STRANGERS_MAX):
        assert router.note_named(at(f"x{number}:1"), by_node=False)
    assert not router.note_named(at("y:1"), by_node=False), "their number has a limit"
    assert router.note_named(at("y:1"), by_node=True)


def test_what_a_stranger_says_of_itself_makes_it_no_member() -> None:
    call = make(Kind.WRITE)
    redirect = Response(307, {"location": "http://d:1/login"}, b"<html>")
    call.answered(Attempt(A, False, 9e9, 9e9), redirect)
    assert call.is_stranger(D)
    call.answered(Attempt(D, True, 9e9, 9e9), status_of(D, role="leader"))
    assert call.is_stranger(D)
    call.answered(Attempt(D, False, 9e9, 9e9), answer(307, "not_leader", at("e:1")))
    assert call.is_stranger(at("e:1"))
    call.answered(Attempt(B, False, 9e9, 9e9), answer(307, "not_leader", D))
    assert not call.is_stranger(D)


def test_a_watch_says_who_asks(cluster: FakeCluster) -> None:
    cluster.users = {BEARER: "ana"}
    with Client(cluster.addresses, token=SECRET) as client:
        watch = client.watch("k")
        watch._connect()
        watch.close()
    assert sent_by(cluster) == {BEARER}
    cluster.users = {}
    with Client(cluster.addresses, token=SECRET) as client, pytest.raises(Unauthenticated):
        next(client.watch("k"))


BAD = [
    {"token": SECRET, "user": "ana"},
    {"token": SECRET, "password": PASSWORD},
    {"token": SECRET, "user": "ana", "password": PASSWORD},
    {"user": "ana"},
    {"password": PASSWORD},
    {"token": ""},
    {"token": f"{SECRET}\n"},
    {"token": f"{SECRET}\r\nHost: other"},
    {"token": f"{SECRET} two"},
    {"token": f"{SECRET}ä"},
    {"token": SECRET * 1_000},
    {"user": "", "password": PASSWORD},
    {"user": "a:b", "password": PASSWORD},
    {"user": "ana", "password": f"{PASSWORD}\ud800"},
    {"user": "ana", "password": PASSWORD * 1_000},
]


@pytest.mark.parametrize("given", BAD, ids=",".join)
def test_what_cannot_be_sent_is_refused_without_repeating_it(given: dict[str, str]) -> None:
    for make_one in (lambda: Client("n1:1", **given), lambda: Credentials(**given)):  # type: ignore[call-overload]
        with pytest.raises(RequestRefused) as caught:
            make_one()
        assert caught.value.code == "bad_request"
        text = f"{caught.value!r} {caught.value.hint}"
        assert SECRET not in text
        assert PASSWORD not in text
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_other_types_are_type_errors() -> None:
    with pytest.raises(TypeError, match="a token is str, not bytes") as caught:
        Client("n1:1", token=SECRET.encode())  # type: ignore[call-overload]
    assert SECRET not in str(caught.value)
    with pytest.raises(TypeError, match="credentials are Credentials"):
        Client("n1:1", credentials=SECRET)  # type: ignore[call-overload]
    with pytest.raises(RequestRefused, match="exclude"):
        Client("n1:1", credentials=Credentials(), token=SECRET)


def test_no_text_has_a_secret(cluster: FakeCluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    encoded = BASIC.removeprefix("Basic ")
    for given in ({"token": SECRET}, {"user": "ana", "password": PASSWORD}):
        client = Client(cluster.addresses, **given)  # type: ignore[call-overload]
        step = Exchange(
            Attempt(A, False, 0, 0), STATUS_REQUEST, None, headers=tuple(client.credentials.headers)
        )
        cluster.users = {}
        with pytest.raises(Unauthenticated) as caught:
            client.get("k")
        texts = [repr(client), repr(client.credentials), repr(step), repr(caught.value), str(caught.value)]
        texts += [record.getMessage() for record in caplog.records]
        for secret in (SECRET, PASSWORD, encoded):
            assert not [text for text in texts if secret in text]
        client.close()
    assert repr(Credentials(user="ana", password=PASSWORD)) == "<Credentials of 'ana'>"
    assert repr(Credentials(token=SECRET)) == "<Credentials: a token>"


@pytest.mark.parametrize(
    "address", [f"raftdb://ana:{SECRET}@n1:8001", f"ana:{SECRET}@n1:8001", f"http://{SECRET}@n1:1,n2:1"]
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    for make_one in (Client, Client.from_url):
        with pytest.raises(RequestRefused) as caught:
            make_one(address)
        assert SECRET not in f"{caught.value!r} {caught.value.hint}"


def test_administration(cluster: FakeCluster) -> None:
    cluster.users = {BEARER: "root"}
    leader = cluster.nodes[0]
    rows = [{"user": "ana", "roles": ["app"], "tokens": ["job"], "has_password": True}]
    grants = ["write keys a/", {"base64": "cmVhZCBrZXlzIP8="}]
    leader.script += [
        Canned(body={"index": 7, "term": 1}),
        Canned(body={"users": rows}),
        Canned(body={"index": 8, "term": 1}),
        Canned(body={"roles": [{"role": "app", "grants": grants}]}),
        Canned(body={"secret": SECRET, "ends_ms": 60_000, "index": 9}),
        Canned(body={"tokens": [{"token": "job", "made_ms": 5, "ends_ms": None}]}),
        *(Canned(body={"index": 10, "term": 1}) for _ in range(3)),
    ]
    with Client(leader.address, token=SECRET) as client:
        client.credentials.replace(token=SECRET)
        client._calls.caller.router.leader = at(leader.address)
        assert client.put_user("ana", ["app"], password=PASSWORD, exists=False) == 7
        assert client.users() == (User(name="ana", roles=("app",), tokens=("job",), has_password=True),)
        assert client.put_role("app", ["write keys a/", b"read keys \xff"]) == 8
        assert client.roles() == (Role(name="app", grants=(b"write keys a/", b"read keys \xff")),)
        made = client.make_token("ana", "my/job", ttl=60)
        assert made == NewToken(secret=SECRET, ends_ms=60_000)
        assert SECRET not in repr(made)
        assert client.tokens("ana") == (Token(name="job", made_ms=5, ends_ms=None),)
        assert (client.remove_token("ana", "job"), client.remove_user("ana"), client.remove_role("app")) == (
            10,
            10,
            10,
        )
    assert leader.requests[:9] == [
        ("PUT", "/v1/users/ana"),
        ("GET", "/v1/users"),
        ("PUT", "/v1/roles/app"),
        ("GET", "/v1/roles"),
        ("POST", "/v1/users/ana/tokens/my%2Fjob"),
        ("GET", "/v1/users/ana/tokens"),
        ("DELETE", "/v1/users/ana/tokens/job"),
        ("DELETE", "/v1/users/ana"),
        ("DELETE", "/v1/roles/app"),
    ]
    assert leader.bodies[0] == {"roles": ["app"], "password": PASSWORD, "exists": False}
    assert leader.bodies[2] == {"grants": grants}
    assert leader.bodies[4] == {"ttl_ms": 60_000}
