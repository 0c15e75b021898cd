"""The asynchronous client on fake nodes and real sockets, and that it is the same client as the blocking one."""

import asyncio
import gc
import inspect
import threading
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import ClassVar, cast

import pytest

from raftdb import (
    AsyncClient,
    AsyncTransaction,
    Client,
    Conflict,
    OutcomeUnknown,
    Transaction,
    Unavailable,
    transactional,
)
from raftdb.client.sync_services import ClientServices
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from tests.addresses import at
from tests.client.fake_node import LOSE_REPLY, Canned, FakeCluster, error
from tests.streams import stream_server


@pytest.fixture
async def client(cluster: FakeCluster) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(cluster.addresses, timeout_ms=5_000) as client:
        yield client


def public_methods(kind: type) -> dict[str, list[inspect.Parameter]]:
    """The names of public methods, and their parameters with all that is said of them."""
    found = inspect.getmembers(kind, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
    return {
        name: list(inspect.signature(call).parameters.values())
        for name, call in found
        if not name.startswith("_") or name == "__init__"
    }


@pytest.mark.parametrize(
    ("blocking", "asynchronous", "more"),
    [(Client, AsyncClient, {"concurrency_max"}), (Transaction, AsyncTransaction, set())],
)
def test_both_clients_have_the_same_methods(blocking: type, asynchronous: type, more: set[str]) -> None:
    expected, found = public_methods(blocking), public_methods(asynchronous)
    assert len(expected) > 10
    assert list(found) == list(expected)
    for name, parameters in expected.items():
        theirs = [parameter for parameter in found[name] if parameter.name not in more]
        if name not in ("__init__", "transaction", "transactional"):
            assert theirs == parameters, name
        assert [(one.name, one.kind, one.default) for one in theirs] == [
            (one.name, one.kind, one.default) for one in parameters
        ], name


def test_every_call_takes_a_deadline_of_its_own() -> None:
    without = {"__init__", "from_url", "close", "transactional", *public_methods(ClientServices)}
    for kind in (Client, AsyncClient):
        for name, parameters in public_methods(kind).items():
            names = {parameter.name: parameter.kind for parameter in parameters}
            if name not in without:
                assert names["timeout_ms"] is inspect.Parameter.KEYWORD_ONLY, name


async def test_methods(cluster: FakeCluster, client: AsyncClient) -> None:
    assert await client.get("a") is None
    assert await client.set("a", "1")
    assert not await client.set("a", "2", only_if="missing")
    await client.append("a", b"0")
    assert await client.incr("a", 5) == 15
    assert (await client.execute("get", ["a"])).value == b"15"
    value, revision = await client.get_with_revision("a")
    assert value == b"15"
    assert await client.cas("a", revision, "16") > revision
    with pytest.raises(Conflict) as caught:
        await client.cas("a", revision, "17")
    assert caught.value.keys == (b"a",)
    await client.mset({b"b": "1", b"\xff": "2"})
    assert await client.mget(["a", "x", b"\xff"]) == [b"16", None, b"2"]
    assert await client.getset("b", "") == b"1"
    assert await client.exists("a", "b", "x") == 2
    assert await client.strlen("a") == 2
    assert await client.expire("b", 10)
    assert await client.ttl("b") == 10
    assert await client.persist("b")
    assert await client.dbsize() == 3
    assert await client.delete("b", "none") == 1
    assert (await client.transact([("incr", ["a"])], watch={"b": 0})).results == (17,)
    assert [entry.value async for entry in client.scan(page=1)] == [b"17", b"2"]
    assert [key async for key in client.keys("a")] == [b"a"]
    assert (await client.status()).id == "n1"
    assert (await client.status(cluster.nodes[1].address)).id == "n2"
    assert [member.id for member in await client.members()] == ["n1", "n2", "n3"]
    assert await client.snapshot() == cluster.state.index
    assert (await client.request_log(first=1, limit=1)).entries[0].kind == "noop"


async def test_many_calls_at_a_time_share_a_session_and_bounded_connections(cluster: FakeCluster) -> None:
    async with AsyncClient(cluster.addresses, timeout_ms=30_000, concurrency_max=8) as client:
        results = await asyncio.gather(*[client.incr("n") for _ in range(200)])
        assert sorted(results) == list(range(1, 201))
        assert len(cluster.state.sessions) == 1
    assert sum(node.connections for node in cluster.nodes) <= 8


async def test_lost_replies_and_a_dead_leader_cost_no_call_its_answer(
    cluster: FakeCluster, client: AsyncClient
) -> None:
    await client.incr("n")
    for node in cluster.nodes:
        node.script += [LOSE_REPLY, error(504, "outcome_unknown"), error(503, "no_leader")] * 5
    calls = asyncio.gather(*[client.incr("n") for _ in range(100)])
    while int(cluster.values[b"n"]) < 20:
        await asyncio.sleep(0.001)
    cluster.leader = 2
    await asyncio.to_thread(cluster.nodes[0].stop)
    assert sorted(await calls) == list(range(2, 102))
    assert cluster.values == {b"n": b"101"}


async def test_a_cancelled_call_leaves_its_answer_to_nobody(cluster: FakeCluster) -> None:
    """Hazard B59: the connection of a call that was given up is not used again."""
    async with AsyncClient(cluster.addresses, concurrency_max=1) as client:
        await client.set("a", "1")
        await client.set("b", "2")
        released = threading.Event()
        cluster.nodes[0].script.append(
            Canned(body={"result": "of a", "index": 1, "term": 1, "revision": 1}, wait=released)
        )
        task = asyncio.create_task(client.get("a"))
        while cluster.nodes[0].bodies[-1].get("command") != "get":
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
        for _ in range(5):
            assert await client.get("b") == b"2"


async def test_a_client_that_is_dropped_closes_its_connections_without_a_warning(
    cluster: FakeCluster,
) -> None:
    client = AsyncClient(cluster.addresses)
    await client.get("n")
    (connection,) = client._calls.connections._idle[at(cluster.nodes[0].address)]
    socket_gone = weakref.ref(connection.stream.socket)
    del client, connection
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert socket_gone() is None
    assert [warning.message for warning in caught if warning.category is ResourceWarning] == []


class Talkative(asyncio.Protocol):
    """A server's end of a connection: says which it is whenever it is asked, and whatever else it is made to say."""

    made: ClassVar[list["Talkative"]] = []

    def __init__(self) -> None:
        self.made.append(self)
        self.number = len(self.made)
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.say(self.number)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)

    def say(self, number: int) -> None:
        self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"id": "n%d"}' % number)


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    Talkative.made.clear()
    async with await asyncio.get_running_loop().create_server(Talkative, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with AsyncClient(address) as client:
            assert (await client.status()).id == "n1"
            (kept,) = client._calls.connections._idle[at(address)]
            Talkative.made[0].say(9)
            while kept.stream.is_quiet:
                await asyncio.sleep(0.001)
            assert (await client.status()).id == "n2"
            assert (await client.status()).id == "n2"
        for connection in Talkative.made:
            await connection.gone


async def test_a_cancelled_registration_is_made_by_the_next_call(
    cluster: FakeCluster, client: AsyncClient
) -> None:
    await client.get("n")
    released = threading.Event()
    cluster.nodes[0].script.append(Canned(cut=True, wait=released))
    first = asyncio.create_task(client.incr("n"))
    while cluster.nodes[0].requests[-1][1] != "/v1/sessions":
        await asyncio.sleep(0.001)
    others = asyncio.gather(*[client.incr("n") for _ in range(5)])
    await asyncio.sleep(0)
    first.cancel()
    assert sorted(await others) == [1, 2, 3, 4, 5]
    released.set()
    assert len(cluster.state.sessions) == 1


async def test_an_answer_that_does_not_come_in_time(cluster: FakeCluster) -> None:
    released = threading.Event()
    for sessions, expected in ((True, 2), (False, 2)):
        async with AsyncClient(cluster.addresses, timeout_ms=300, sessions=sessions) as client:
            await client.set("n", "1")
            for node in cluster.nodes:
                node.script += [Canned(cut=True, wait=released)] * 10
            with pytest.raises(OutcomeUnknown):
                await client.incr("n")
            released.set()
            for node in cluster.nodes:
                node.script.clear()
            assert await client.incr("n") == expected


async def test_more_calls_than_places_wait_no_longer_than_a_call(cluster: FakeCluster) -> None:
    released = threading.Event()
    async with AsyncClient(cluster.addresses, timeout_ms=300, concurrency_max=1) as client:
        await client.get("n")
        cluster.nodes[0].script.append(Canned(body={"index": 1}, wait=released))
        held = asyncio.create_task(client.snapshot())
        while cluster.nodes[0].requests[-1][1] != "/v1/snapshot":
            await asyncio.sleep(0.001)
        with pytest.raises(Unavailable, match="1 other calls") as caught:
            await client.get("n")
        assert caught.value.code == "busy"
        released.set()
        assert await held == 1


async def test_what_is_not_raftdb_is_called_so() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"-ERR unknown command 'GET'\r\n\r\n")
        writer.close()

    async with stream_server(answer) as port, AsyncClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(RemoteProtocolError):
            await client.status()


async def test_a_body_that_ends_with_the_connection(cluster: FakeCluster) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b'HTTP/1.1 200 OK\r\n\r\n{"id": "n7"}')
        writer.close()

    async with stream_server(answer) as port, AsyncClient(f"127.0.0.1:{port}") as client:
        assert (await client.status()).id == "n7"


def test_a_client_goes_on_in_another_loop_when_the_first_is_over(cluster: FakeCluster) -> None:
    client = AsyncClient(cluster.addresses)

    async def increment() -> int:
        async with client:
            return await client.incr("n")

    assert asyncio.run(increment()) == 1
    assert asyncio.run(increment()) == 2

    async def in_two_loops() -> None:
        async with client:
            await client.incr("n")
            with pytest.raises(LocalProtocolError, match="another event loop"):
                await asyncio.to_thread(lambda: asyncio.run(increment()))

    asyncio.run(in_two_loops())


async def test_transactions(cluster: FakeCluster, client: AsyncClient) -> None:
    await client.mset({"a": "1", "b": "2"})
    async with client.transaction() as transaction:
        first, second = await asyncio.gather(transaction.get("a"), transaction.get("b"))
        await transaction.set("a", second or b"")
        await transaction.set("b", first or b"")
        assert await transaction.mget(["a", "b", "c"]) == [b"2", b"1", None]
        assert await transaction.incr("c") == 1
        assert await transaction.pop("b") == b"1"
        assert await transaction.execute("append", ["a", "!"]) == "QUEUED"
        assert await transaction.execute("exists", ["a", "b"]) == 1
    assert await client.mget(["a", "b", "c"]) == [b"2!", None, b"1"]
    transaction = client.transaction()
    await transaction.get("a")
    await client.set("a", "3")
    with pytest.raises(Conflict):
        await transaction.check()
    assert transaction.is_open
    with pytest.raises(Conflict):
        await transaction.commit()
    assert not transaction.is_open


async def test_transactions_of_many_tasks_lose_nothing(cluster: FakeCluster, client: AsyncClient) -> None:
    accounts = [f"account{number}" for number in range(3)]
    await client.mset(dict.fromkeys(accounts, "100"))

    @client.transactional(max_attempts=1000)
    async def move(transaction: AsyncTransaction, source: str, target: str, amount: int) -> int:
        await transaction.incr(source, -amount)
        return await transaction.incr(target, amount)

    @transactional(client, max_attempts=1000)
    async def total(transaction: AsyncTransaction) -> int:
        values = await transaction.mget(accounts)
        assert sum(int(value or 0) for value in values) == 300
        return 300

    tasks = [move(accounts[n % 3], accounts[(n + 1) % 3], 1 + n % 5) for n in range(30)]
    results = await asyncio.gather(*tasks, *[total() for _ in range(10)])
    assert results[30:] == [300] * 10
    assert sum(int(value or 0) for value in await client.mget(accounts)) == 300


async def test_tasks_have_transactions_of_their_own_and_one_task_has_one(client: AsyncClient) -> None:
    async def increment(key: str) -> None:
        async with client.transaction() as transaction:
            await transaction.incr(key)

    await asyncio.gather(increment("a"), increment("b"))
    async with client.transaction():
        with pytest.raises(LocalProtocolError, match="do not nest"):
            await increment("c")
    await increment("c")
    assert await client.mget(["a", "b", "c"]) == [b"1", b"1", b"1"]
