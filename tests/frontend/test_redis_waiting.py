"""Connections of Redis clients that are blocked: their pipelines keep their order, and who goes gives up the turn."""

from collections.abc import Iterator

import pytest

from raftdb.commands.spec import COMMANDS
from raftdb.endpoint import RedisAddresses
from raftdb.errors import LeaderHint, Unavailable
from raftdb.frontend.redis import table
from raftdb.frontend.redis.bounds import BLOCKED_BYTES_MAX
from raftdb.frontend.redis.server import RedisLimits
from raftdb.frontend.redis.services import _row
from raftdb.machine.locks.holding import Lock
from raftdb.machine.locks.records import LockMode
from raftdb.node.turn import Answer
from tests.addresses import at
from tests.frontend.redis_support import Client, MachineNode, request, serve, turns
from tests.machine.toys import ROWS, Take, toys

DONE = Answer([1], 7, 1)


@pytest.fixture(autouse=True)
def with_toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with toys():
        for row in ROWS:
            made = _row(COMMANDS[row.name])
            monkeypatch.setitem(table.BY_NAME, row.name.encode(), made)
            monkeypatch.setitem(table.BY_NAME, row.name.upper().encode(), made)
        yield


def blocked() -> tuple[MachineNode, Client]:
    """A client that is blocked; the node holds its request as number 1."""
    node, server = serve()
    client = Client(server)
    client.send(request("TAKE", "b", "COUNT", 2, "WAIT", "1.5"))
    assert (node.waits, node.wait_ms) == ({1: Take(b"b", 2)}, {1: 1_500})
    return node, client


async def test_a_request_is_held_until_it_can_be_served() -> None:
    node, client = blocked()
    node.serve(1, DONE)
    assert await client.receive(1) == b"*1\r\n:1\r\n"
    assert node.submitted == []


async def test_the_pipeline_behind_it_waits_and_keeps_its_order() -> None:
    node, server = serve()
    client = Client(server)
    client.send(request("SET", "k", "v"), request("TAKE", "b", "WAIT", "9"), request("GET", "k"))
    client.send(request("PING"), request("TAKE", "b", "WAIT", "9"))
    await turns(lambda: bool(client.transport.written))
    assert client.take() == b"+OK\r\n"
    assert len(node.submitted) == 1, "nothing is begun behind what is held"
    node.serve(1, DONE)
    await turns(lambda: 2 in node.waits)
    assert await client.receive(3) == b"*1\r\n:1\r\n$1\r\nv\r\n+PONG\r\n"
    node.serve(2, Answer([], 7, 1))
    assert await client.receive(1) == b"*0\r\n"


async def test_a_write_before_it_is_begun_before_it() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(request("GET", "k"), request("TAKE", "b", "WAIT", "9"))
    assert node.waits == {}, "a write waits for the reads before it"
    node.answer_all()
    await turns(lambda: 1 in node.waits)


async def test_who_does_not_wait_is_not_held() -> None:
    node, server = serve()
    client = Client(server)
    assert await client.ask("TAKE", "b", "WAIT", 0) == b"*0\r\n"
    assert await client.ask("FILL", "b", 3) == b"$-1\r\n"
    assert await client.ask("TAKE", "b", "COUNT", 2) == b"*1\r\n:2\r\n"
    assert (await client.ask("TAKE", "b", "WAIT", 51)).startswith(b"-ERR WAIT takes seconds")
    assert node.waits == {}


async def test_a_transaction_does_not_wait() -> None:
    node, server = serve()
    client = Client(server)
    for line in ("MULTI", "SET k v", "TAKE b WAIT 0"):
        await client.tell(line)
    assert (await client.tell("EXEC")).startswith(b"*2\r\n+OK\r\n-ERR a command cannot wait in a transaction")
    assert node.waits == {}


@pytest.mark.parametrize("way", ["lost", "end of file", "killed"])
async def test_who_goes_away_gives_up_the_turn_at_once(way: str) -> None:
    node, client = blocked()
    client.send(request("GET", "k"))
    if way == "lost":
        client.protocol.connection_lost(None)
    elif way == "end of file":
        client.protocol.eof_received()
        assert client.transport.is_closed
    else:
        other = Client(client.protocol._server)
        number = client.protocol.client.id
        assert b"flags=b" in await other.ask("CLIENT", "LIST", "ID", number)
        assert await other.ask("CLIENT", "KILL", "ID", number) == b":1\r\n"
        assert client.transport.is_aborted
        client.protocol.connection_lost(None)
    assert node.left == [1]
    assert node.submitted == []


UNBLOCKED = b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"


@pytest.mark.parametrize(
    ("words", "reply"), [((), b"*0\r\n"), (("timeout",), b"*0\r\n"), (("ERROR",), UNBLOCKED)]
)
async def test_a_client_can_be_unblocked_by_another(words: tuple[str, ...], reply: bytes) -> None:
    node, client = blocked()
    client.send(request("PING"))
    other = Client(client.protocol._server)
    number = client.protocol.client.id
    assert await other.ask("CLIENT", "UNBLOCK", number, *words) == b":1\r\n"
    assert (node.wait_ends, node.left) == ([1], [])
    node.serve(1, Answer([], 7, 1))
    assert await client.receive(2) == reply + b"+PONG\r\n"
    assert await other.ask("CLIENT", "UNBLOCK", number, *words) == b":0\r\n"


async def test_who_was_given_something_before_it_is_unblocked_has_it() -> None:
    node, client = blocked()
    other = Client(client.protocol._server)
    assert await other.ask("CLIENT", "UNBLOCK", client.protocol.client.id, "ERROR") == b":1\r\n"
    node.serve(1, DONE)
    assert await client.receive(1) == b"*1\r\n:1\r\n"


async def test_a_client_that_is_not_blocked_is_not_unblocked() -> None:
    _, server = serve()
    client = Client(server)
    assert await client.ask("CLIENT", "UNBLOCK", client.protocol.client.id) == b":0\r\n"


async def test_a_blocked_connection_reads_on_so_that_its_end_is_seen_but_not_without_bound() -> None:
    _, client = blocked()
    client.send(request("SET", "k", "v"))
    assert not client.transport.is_reading_paused
    client.send(request("SET", "k", b"v" * BLOCKED_BYTES_MAX))
    assert client.transport.is_reading_paused


async def test_it_goes_on_reading_when_it_is_served() -> None:
    node, client = blocked()
    client.send(request("SET", "k", b"v" * BLOCKED_BYTES_MAX))
    node.serve(1, DONE)
    assert await client.receive(2) == b"*1\r\n:1\r\n+OK\r\n"
    assert not client.transport.is_reading_paused


async def test_held_requests_are_not_in_flight() -> None:
    node, server = serve(limits=RedisLimits(in_flight_max=2))
    for _ in range(5):
        Client(server).send(request("TAKE", "b", "WAIT", 9))
    assert len(node.waits) == 5
    assert server.in_flight == 0
    assert await Client(server).ask("SET", "k", "v") == b"+OK\r\n"


async def test_who_is_handed_back_learns_where_the_leader_is() -> None:
    node, client = blocked()
    leader = LeaderHint("n2", at("h:1"), RedisAddresses(at("h:6379"), None))
    node.serve(1, Unavailable("not_leader", "n2 leads", leader=leader))
    assert (await client.receive(1)).startswith(b"-MOVED ")
    client.send(request("TAKE", "b", "WAIT", 9))
    node.serve(2, Unavailable("no_leader", "nobody leads"))
    assert (await client.receive(1)).startswith(b"-CLUSTERDOWN ")
    node.wait_refusal = Unavailable("busy", "too many")
    assert await client.ask("TAKE", "b", "WAIT", 9) == b"-BUSY too many\r\n"


async def test_a_connection_owns_the_locks_that_it_takes() -> None:
    _, server = serve()
    first, second = Client(server), Client(server)
    reply = await first.ask("LOCK", "report")
    assert reply.startswith(b"*3\r\n:65536\r\n$9\r\nexclusive\r\n")
    assert await first.ask("LOCK", "report") == reply, "asked again, it has it"
    assert await second.ask("LOCK", "report") in (b"*-1\r\n", b"$-1\r\n")
    assert await second.ask("LOCK", "other", "OWNER", "ana", "SHARED") != reply
    assert b"ana" in await first.ask("LOCKINFO", "other")
    await first.ask("HELLO", 3)
    assert (await first.ask("LOCKINFO", "other")).startswith(b"%5\r\n$5\r\nlimit\r\n:0\r\n")
    assert await first.ask("UNLOCK", "report", 65536) == b":1\r\n"
    assert (await second.ask("LOCK", "report")).startswith(b"*3\r\n")


async def test_a_lock_may_be_waited_for() -> None:
    node, server = serve()
    client = Client(server)
    client.send(request("LOCK", "report", "SHARED", "WAIT", 5, "TTL", 9))
    owner = client.protocol.client.owner
    assert node.waits == {1: Lock(b"report", LockMode.SHARED, 0, 9_000, owner)}
    node.serve(1, Answer([7, b"shared", 9_000, 9_000], 7, 1))
    assert await client.receive(1) == b"*3\r\n:7\r\n$6\r\nshared\r\n:9000\r\n"
