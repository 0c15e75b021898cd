"""MULTI, EXEC and WATCH of Redis clients, beyond what the stories tell."""

import pytest

from raftdb.endpoint import RedisAddresses, parse_endpoint
from raftdb.errors import LeaderHint, OutcomeUnknown, Unavailable
from raftdb.limits import TRANSACTION_KEYS_MAX, Limits
from raftdb.machine.operations import TransactionOperation
from raftdb.machine.revisions import ReadRevisions
from tests.frontend.redis_support import Client, request, serve, turns

OK, QUEUED, NOTHING = b"+OK\r\n", b"+QUEUED\r\n", b"*-1\r\n"
EXEC, MULTI = request("EXEC"), request("MULTI")


async def test_a_transaction_is_one_entry() -> None:
    node, server = serve()
    client = Client(server)
    client.send(MULTI, request("SET", "a", "1"), request("PING"), request("INCR", "a"), EXEC)
    assert await client.receive(5) == OK + QUEUED * 3 + b"*3\r\n+OK\r\n+PONG\r\n:2\r\n"
    (transaction,) = node.submitted
    assert isinstance(transaction, TransactionOperation)
    assert len(transaction.commands) == 2


async def test_without_a_command_for_the_node_nothing_is_asked_of_it() -> None:
    node, server = serve()
    client = Client(server)
    client.send(MULTI, request("PING"), EXEC)
    assert await client.receive(3) == OK + QUEUED + b"*1\r\n+PONG\r\n"
    assert node.submitted == []


async def test_a_watched_key_that_another_changes_aborts_and_the_next_transaction_runs() -> None:
    _, server = serve()
    client, other = Client(server), Client(server)
    await client.ask("WATCH", "a", "b")
    await other.ask("SET", "b", "1")
    client.send(MULTI, request("SET", "a", "x"), EXEC)
    assert await client.receive(3) == OK + QUEUED + NOTHING
    client.send(MULTI, request("GET", "a"), EXEC)
    assert await client.receive(3) == OK + QUEUED + b"*1\r\n$-1\r\n"


async def test_a_watched_key_that_comes_back_the_same_aborts() -> None:
    _, server = serve()
    client = Client(server)
    await client.ask("SET", "a", "1")
    client.send(request("WATCH", "a"), request("DEL", "a"), request("SET", "a", "1"), MULTI, EXEC)
    assert (await client.receive(5)).endswith(NOTHING)


async def test_a_watched_key_whose_time_is_up_aborts() -> None:
    """Hazard B57."""
    node, server = serve()
    client = Client(server)
    client.send(request("SET", "a", "1", "PX", "50"), request("WATCH", "a"), MULTI, request("INCR", "a"))
    await client.receive(4)
    node.database.now_ms += 60
    assert await client.ask("EXEC") == NOTHING


async def test_a_key_whose_time_was_up_before_it_was_watched_does_not() -> None:
    """Hazard B57."""
    node, server = serve()
    client = Client(server)
    await client.ask("SET", "a", "1", "PX", "50")
    node.database.now_ms += 60
    await client.ask("SET", "b", "1")
    client.send(request("WATCH", "a"), MULTI, request("INCR", "a"), EXEC)
    assert await client.receive(4) == OK + OK + QUEUED + b"*1\r\n:1\r\n"


async def test_exec_waits_for_the_revisions_of_a_watch_before_it() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(request("SET", "a", "1"), request("WATCH", "a"), MULTI, request("GET", "a"), EXEC)
    assert len(node.submitted) == 1
    node.answer_all()
    await turns(lambda: len(node.submitted) == 2)
    assert node.submitted[1] == ReadRevisions((b"a",))
    node.answer_all()
    await turns(lambda: len(node.submitted) == 3)
    node.answer_all()
    assert await client.receive(5) == OK + OK + OK + QUEUED + b"*1\r\n$1\r\n1\r\n"
    transaction = node.submitted[2]
    assert isinstance(transaction, TransactionOperation)
    assert transaction.watched == ((b"a", 1),)


async def test_the_first_of_two_watches_of_a_key_counts() -> None:
    _, server = serve()
    client = Client(server)
    client.send(request("WATCH", "a"), request("SET", "a", "1"), request("WATCH", "a"), MULTI, EXEC)
    assert (await client.receive(5)).endswith(NOTHING)


async def test_a_watch_that_fails_watches_nothing() -> None:
    node, server = serve()
    node.failure = Unavailable("no_leader", "nobody leads")
    client = Client(server)
    assert await client.ask("WATCH", "a") == b"-CLUSTERDOWN nobody leads\r\n"
    node.failure = None
    client.send(request("SET", "a", "1"), MULTI, EXEC)
    assert await client.receive(3) == OK + OK + b"*0\r\n"


async def test_what_was_forgotten_meanwhile_is_not_watched() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(request("WATCH", "a"), request("RESET"))
    node.answer_all()
    assert await client.receive(2) == OK + b"+RESET\r\n"
    assert len(client.protocol.client.watched) == 0


async def test_a_transaction_of_unknown_outcome_says_so_once() -> None:
    node, server = serve()
    client = Client(server)
    client.send(MULTI, request("SET", "a", "1"))
    await client.receive(2)
    node.failure = OutcomeUnknown("no word of it")
    assert await client.ask("EXEC") == b"-UNKNOWNOUTCOME no word of it\r\n"
    assert (await client.ask("EXEC")).startswith(b"-ERR EXEC without MULTI")


async def test_what_is_queued_is_bounded() -> None:
    """Hazard B97."""
    _, server = serve(command_limits=Limits(value_bytes=1000, command_bytes=3000))
    client = Client(server)
    client.send(MULTI, request("SET", "a", b"x" * 1000) * 700)
    replies = await client.receive(701)
    assert replies.count(QUEUED) < 700
    assert b"-ERR the transaction is too large\r\n" in replies
    assert sum(map(len, client.protocol.client.queued or [])) == 0
    assert (await client.ask("EXEC")).startswith(b"-EXECABORT ")


async def test_what_one_entry_cannot_hold_is_not_run() -> None:
    _, server = serve(command_limits=Limits(value_bytes=1000, command_bytes=3000))
    client = Client(server)
    client.send(MULTI, request("SET", "a", b"x" * 1000) * 4, EXEC)
    assert b"-EXECABORT Transaction discarded: the transaction has 40" in await client.receive(6)
    assert await client.ask("GET", "a") == b"$-1\r\n"


async def test_what_takes_too_long_to_apply_is_not_run() -> None:
    node, server = serve()
    client = Client(server)
    keys = [b"k%d" % number for number in range(100)]
    client.send(MULTI, request("DEL", *keys) * (1 + TRANSACTION_KEYS_MAX // 100), EXEC)
    assert b"-EXECABORT Transaction discarded: the transaction touches" in await client.receive(
        3 + TRANSACTION_KEYS_MAX // 100
    )
    assert node.submitted == []


async def test_too_many_keys_are_not_watched() -> None:
    _, server = serve()
    reply = await Client(server).ask("WATCH", *(str(number) for number in range(1025)))
    assert reply == b"-ERR too many keys are watched: the limit is 1024\r\n"


HTTP, REDIS = parse_endpoint("192.0.2.2:8001"), parse_endpoint("192.0.2.2:6391")
N2 = LeaderHint("n2", HTTP, RedisAddresses(None, REDIS))
MOVED = b"-MOVED 15495 192.0.2.2:6391\r\n"
"""Where the key `a` is."""


async def test_another_nodes_keys_are_moved_when_they_are_queued_and_fail_the_transaction() -> None:
    """As in a Redis cluster: its clients find the node by the slot, and try the transaction again there."""
    node, server = serve()
    node.leader = N2
    client = Client(server)
    client.send(MULTI, request("PING"), request("SET", "a", "1"), request("INCR", "a"), EXEC)
    replies = await client.receive(5)
    assert replies.startswith(OK + QUEUED + MOVED * 2 + b"-EXECABORT ")
    assert node.submitted == []
    node.leader = None
    client.send(MULTI, request("SET", "a", "1"), EXEC)
    assert await client.receive(3) == OK + QUEUED + b"*1\r\n+OK\r\n"


@pytest.mark.parametrize("is_watched", [True, False])
async def test_exec_is_moved_with_the_slot_of_the_first_key(is_watched: bool) -> None:
    """The leadership may be lost after the commands were queued."""
    node, server = serve()
    client = Client(server)
    if is_watched:
        assert await client.ask("WATCH", "a") == OK
        queued = request("PING")
    else:
        assert await client.ask("WATCH", "b") == OK
        queued = request("PING") + request("SET", "a", "1") + request("SET", "b", "1")
    client.send(MULTI, queued)
    await client.receive(2 if is_watched else 4)
    node.failure = Unavailable("not_leader", "", leader=N2)
    assert await client.ask("EXEC") == MOVED
    assert (await client.ask("EXEC")).startswith(b"-ERR EXEC without MULTI")
