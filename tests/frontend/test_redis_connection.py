"""A connection of a Redis client: order, bounds, and how it ends."""

import asyncio

import pytest

from raftdb.endpoint import RedisAddresses, parse_endpoint
from raftdb.errors import LeaderHint, OutcomeUnknown, RaftdbError, Unavailable
from raftdb.frontend.redis.bounds import OUT_AT_FIRST, OUT_BYTES_MAX, QUANTUM, REPLIES_MAX
from raftdb.frontend.redis.inbox import AT_ONCE
from raftdb.frontend.redis.server import RedisLimits, RedisServer
from raftdb.limits import MIB, Limits
from raftdb.machine.batches import MultiSet
from raftdb.machine.operations import ClientOperation, TransactionOperation
from raftdb.machine.scanning import Keys
from raftdb.machine.service import Query
from raftdb.machine.strings import Get, Set
from raftdb.memory import HUGE_FRACTION, MEMORY_BYTES_MIN, MemoryAccount
from raftdb.node.effects import OnAnswer
from tests.frontend.redis_support import Client, MachineNode, request, serve, turns

SET = request("SET", "a", "1")
GET = request("GET", "a")
OK, ONE, NIL, PONG = b"+OK\r\n", b"$1\r\n1\r\n", b"$-1\r\n", b"+PONG\r\n"


def is_paused(client: Client) -> bool:
    return client.transport.is_reading_paused


async def test_replies_come_in_the_order_of_the_requests_and_in_one_write() -> None:
    _node, server = serve()
    client = Client(server)
    client.send(GET, request("PING"), SET, request("ECHO", "x"), GET, request("NONE"))
    replies = await client.receive(6)
    assert replies.startswith(NIL + PONG + OK + b"$1\r\nx\r\n" + ONE + b"-ERR unknown command 'NONE'")
    assert client.transport.writes <= 3
    assert server.in_flight == 0


async def test_what_is_answered_early_waits_for_what_is_before_it() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(GET, GET, request("PING"))
    (first, second), node.waiting = node.waiting, []
    second[1](node.answer_to(second[0]))
    await asyncio.sleep(0)
    assert client.take() == b""
    first[1](node.answer_to(first[0]))
    assert await client.receive(3) == NIL + NIL + PONG


async def test_a_read_after_a_write_becomes_a_part_of_the_log_and_nothing_waits() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(SET, GET, request("INCR", "a"), GET)
    assert [type(operation) for operation in node.submitted] == [
        Set,
        TransactionOperation,
        type(node.submitted[2]),
        TransactionOperation,
    ]
    node.answer_all()
    assert await client.receive(4) == OK + ONE + b":2\r\n" + b"$1\r\n2\r\n"


async def test_an_error_of_such_a_read_is_that_of_the_read() -> None:
    _node, server = serve()
    client = Client(server)
    client.send(SET, request("GET", "k" * 481), request("MGET", "a", "b"))
    replies = await client.receive(3)
    assert replies == OK + b"-ERR key is empty or too long\r\n" + b"*2\r\n" + ONE + NIL


async def test_a_write_waits_for_the_reads_before_it() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(GET, SET, GET)
    assert node.submitted == [Get(b"a")]
    node.answer_all()
    await turns(lambda: len(node.submitted) == 3)
    node.answer_all()
    assert await client.receive(3) == NIL + OK + ONE


async def test_a_read_of_very_many_keys_waits_for_the_writes_before_it() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(SET, request("KEYS", "*"), request("MGET", *("a",) * 300))
    assert node.submitted == [Set(b"a", b"1")]
    node.answer_all()
    await turns(lambda: len(node.submitted) == 3)
    assert node.submitted[1] == Keys(b"")
    node.answer_all()
    assert await client.receive(3) == OK + b"*1\r\n$1\r\na\r\n" + b"*300\r\n" + ONE * 300


async def test_nothing_passes_an_operation_that_is_encoded_on_a_thread() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    pairs = [text for number in range(300) for text in (f"k{number}", number)]
    client.send(request("MSET", *pairs), request("SET", "k1", "x"), request("GET", "k1"))
    assert [type(operation) for operation in node.submitted] == [MultiSet]
    node.answer_all()
    await turns(lambda: len(node.submitted) == 3)
    node.answer_all()
    assert await client.receive(3) == OK + OK + b"$1\r\nx\r\n"


@pytest.mark.parametrize("first", [GET, SET + GET])
async def test_a_reply_is_written_in_the_version_in_which_it_was_asked_for(first: bytes) -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(request("DEL", "a"), first, request("HELLO", "3"), request("GET", "none"))
    asked = 0
    while asked < len(node.submitted):
        asked = len(node.submitted)
        node.answer_all()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    before, _hello, after = client.take().partition(b"%7")
    assert before in (b":0\r\n" + NIL, b":0\r\n" + OK + ONE)
    assert after.endswith(b"_\r\n")


async def test_without_space_a_read_after_a_write_waits_instead() -> None:
    class FullNode(MachineNode):
        def submit(
            self, operation: ClientOperation | Query, on_answer: OnAnswer, *, user: bytes | None = None
        ) -> None:
            if isinstance(operation, TransactionOperation):
                raise Unavailable("no_space", "the disk is full")
            super().submit(operation, on_answer)

    _, server = serve(FullNode())
    client = Client(server)
    client.send(request("DEL", "a"), GET)
    assert await client.receive(2) == b":0\r\n" + NIL


async def test_a_long_pipeline_is_begun_in_parts_and_reading_pauses() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(SET * 5000)
    assert len(node.waiting) == OUT_AT_FIRST
    assert is_paused(client)
    replies = 0
    while replies < 5000:
        assert len(node.waiting) <= REPLIES_MAX
        node.answer_all()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        replies += client.take().count(OK)
    assert node.most_waiting == REPLIES_MAX
    assert not is_paused(client)
    assert server.in_flight == 0


async def test_fewer_are_begun_while_replies_are_long() -> None:
    node, server = serve()
    client = Client(server)
    await client.ask("SET", "long", b"x" * 1_000_000)
    client.send(request("GET", "long") * OUT_AT_FIRST)
    await client.receive(OUT_AT_FIRST)
    node.most_waiting = 0
    client.send(request("GET", "long") * 20)
    assert (await client.receive(20)).count(b"$1000000\r\n") == 20
    assert node.most_waiting == 1 + OUT_BYTES_MAX // 1_000_000
    await client.ask("DEL", "long")
    client.send(request("GET", "long") * 5_000)
    await turns(lambda: len(client.transport.written) == 5_000 * len(NIL))
    assert node.most_waiting == REPLIES_MAX


async def test_what_is_answered_here_makes_room_for_what_follows() -> None:
    _, server = serve()
    client = Client(server)
    client.send(request("PING") * 5000)
    await turns(lambda: len(client.transport.written) == 5000 * len(PONG))
    assert not client.transport.is_reading_paused


async def test_all_connections_together_have_a_bound_and_take_turns() -> None:
    node, server = serve(limits=RedisLimits(in_flight_max=10))
    node.is_held = True
    clients = [Client(server) for _ in range(4)]
    for client in clients:
        client.send(SET * 8)
    for _ in range(20):
        await asyncio.sleep(0)
        assert len(node.waiting) <= 10
        node.answer_all()
        await asyncio.sleep(0)
    assert [client.take() for client in clients] == [OK * 8] * 4


async def test_who_has_gone_makes_room_for_those_in_line() -> None:
    node, server = serve(limits=RedisLimits(in_flight_max=1))
    node.is_held = True
    gone, waiting = Client(server), Client(server)
    gone.send(SET)
    waiting.send(GET)
    gone.protocol.connection_lost(None)
    node.answer_all()
    await turns(lambda: bool(node.waiting))
    node.answer_all()
    assert await waiting.receive(1) == ONE


async def test_for_a_client_that_does_not_read_nothing_is_begun() -> None:
    node, server = serve()
    client = Client(server)
    client.protocol.pause_writing()
    client.send(SET * 3)
    await asyncio.sleep(0)
    assert node.submitted == []
    assert client.transport.is_reading_paused
    client.protocol.resume_writing()
    assert await client.receive(3) == OK * 3
    assert not client.transport.is_reading_paused


async def test_who_reads_nothing_is_cut_off_and_who_reads_slowly_is_not() -> None:
    _, server = serve(limits=RedisLimits(unread_s=0.001))
    slow, silent = Client(server), Client(server)
    for client in (slow, silent):
        client.transport.unread_bytes = 100_000
        client.protocol.pause_writing()
    slow.transport.unread_bytes = 99_999
    while not silent.transport.is_aborted:
        slow.transport.unread_bytes -= 1
        await asyncio.sleep(0.0001)
    slow.protocol.resume_writing()
    assert not slow.transport.is_aborted


async def test_replies_that_nobody_reads_take_no_more_memory_than_there_is() -> None:
    memory = MemoryAccount(MEMORY_BYTES_MIN)
    node, server = serve(memory=memory)
    clients = [Client(server) for _ in range(10)]
    await clients[0].ask("SET", "a", b"x" * 1_000_000)
    for client in clients:
        client.transport.unread_bytes = 0
        client.send(GET * OUT_AT_FIRST)
    node.is_held = True
    await asyncio.sleep(0)
    replies = [await client.receive(OUT_AT_FIRST) for client in clients]
    busy = sum(reply.count(b"-BUSY the memory for requests is in use") for reply in replies)
    assert busy > 0
    assert sum(len(reply) for reply in replies) < MEMORY_BYTES_MIN
    assert sum(reply.count(b"$1000000\r\n") for reply in replies) == 10 * OUT_AT_FIRST - busy
    assert await clients[0].ask("PING") == PONG


async def silent_crowd(server: RedisServer) -> list[Client]:
    """Ten clients that have asked for much, and do not read."""
    await Client(server).ask("SET", "long", b"x" * 1_000_000)
    crowd = [Client(server) for _ in range(10)]
    for client in crowd:
        client.transport.reads_nothing = True
        client.send(request("GET", "long") * 20)
    await turns(lambda: all(client.transport.written for client in crowd))
    for client in crowd:
        client.protocol.pause_writing()
    return crowd


async def test_who_reads_nothing_takes_no_memory_from_a_pipeline() -> None:
    memory = MemoryAccount(320 * MIB)
    _, server = serve(memory=memory)
    crowd = await silent_crowd(server)
    assert memory.request_bytes > HUGE_FRACTION * memory.bytes_max
    pipeline = Client(server)
    for _ in range(5):
        pipeline.send(SET * 8_000)
        assert await pipeline.receive(8_000) == OK * 8_000
    assert not any(client.transport.is_closed for client in [pipeline, *crowd])


@pytest.fixture
async def ahead_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds the loop's clock is ahead."""
    loop, ahead_s = asyncio.get_running_loop(), [0.0]
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + ahead_s[0])
    return ahead_s


async def test_who_does_nothing_is_cut_off_for_others_who_holds_most_first(ahead_s: list[float]) -> None:
    memory = MemoryAccount(MEMORY_BYTES_MIN)
    _, server = serve(memory=memory, limits=RedisLimits(stalled_s=60.0, unread_s=600.0))
    crowd = await silent_crowd(server)
    ahead_s[0] = 61.0
    others = [Client(server) for _ in range(3)]
    largest, second, *_ = sorted(crowd, key=lambda client: -len(client.transport.written))
    room_bytes = memory.bytes_max - memory.request_bytes - 100_000
    memory.watch("changes", lambda: room_bytes)
    others[0].send(request("ECHO", b"x" * 300_000)[:-3])
    assert [client.transport.is_aborted for client in (largest, second)] == [True, False], (
        "the two hold the same"
    )
    assert b"evicted_clients:1\r\n" in await others[1].ask("INFO", "stats")
    largest.protocol.connection_lost(None)
    assert not others[0].transport.is_closed


@pytest.mark.parametrize("does", ["read", "send", "wait"])
async def test_who_reads_or_sends_or_waits_for_the_node_is_not_cut_off(
    does: str, ahead_s: list[float]
) -> None:
    memory = MemoryAccount(MEMORY_BYTES_MIN)
    node, server = serve(memory=memory, limits=RedisLimits(stalled_s=60.0, unread_s=600.0))
    client, other = Client(server), Client(server)
    await other.ask("SET", "long", b"x" * 1_000_000)
    client.transport.reads_nothing = True
    client.send(request("GET", "long") * 15)
    await turns(lambda: len(client.transport.written) > 15_000_000)
    client.protocol.pause_writing()
    ahead_s[0] = 61.0
    if does == "read":
        client.transport.written = client.transport.written[1:]
    elif does == "send":
        client.send(request("PING"))
    else:
        client.protocol.resume_writing()
        node.is_held = True
        client.send(request("GET", "long"))
    memory.watch("changes", lambda: MEMORY_BYTES_MIN)
    other.send(request("ECHO", b"x" * 300_000)[:-3])
    assert not client.transport.is_aborted
    assert other.take().startswith(b"-BUSY ")


async def test_a_request_for_which_there_is_no_memory_ends_its_connection() -> None:
    memory = MemoryAccount(MEMORY_BYTES_MIN)
    memory.watch("changes", lambda: MEMORY_BYTES_MIN)
    _, server = serve(memory=memory)
    clients = [Client(server) for _ in range(4)]
    for client in clients:
        client.send(b"*2\r\n$3\r\nGET\r\n$4000000\r\n" + b"x" * 3_900_000)
    refused = [client for client in clients if client.transport.is_closed]
    assert refused
    assert refused[0].take().startswith(b"-BUSY the memory for requests is in use")


async def test_requests_that_wait_take_no_more_memory_than_there_is() -> None:
    """Hazard B97."""
    memory = MemoryAccount(MEMORY_BYTES_MIN)
    node, server = serve(memory=memory)
    node.is_held = True
    clients = [Client(server) for _ in range(400)]
    for client in clients:
        client.send(SET * 9000)
    ended = [client for client in clients if client.protocol.client.is_ending]
    assert 0 < len(ended) < 400
    assert memory.request_bytes < MEMORY_BYTES_MIN
    node.is_held = False
    node.answer_all()
    await turns(lambda: all(client.transport.is_closed for client in ended))
    assert all(
        client.take().endswith(
            b"-BUSY the memory for requests is in use (send fewer or smaller ones at once)\r\n"
        )
        for client in ended
    )


async def test_queued_and_watched_take_memory_until_they_are_dropped() -> None:
    memory = MemoryAccount(MEMORY_BYTES_MIN)
    _, server = serve(memory=memory)
    client = Client(server)
    await client.ask("WATCH", *("k" * 400 + str(number) for number in range(100)))
    await client.ask("MULTI")
    assert memory.request_bytes > 100 * 400
    await client.ask("SET", "a", b"x" * 100_000)
    assert memory.request_bytes > 100 * 400 + 100_000
    await client.ask("DISCARD")
    assert memory.request_bytes == 0


@pytest.mark.parametrize("data", [b"*1\r\n:1\r\n", b'GET "a\r\n'])
async def test_what_cannot_be_read_is_refused_after_the_replies_before_it(data: bytes) -> None:
    _, server = serve()
    client = Client(server)
    client.send(SET, GET, data)
    replies = await client.receive(3)
    assert replies.startswith(OK + ONE + b"-ERR Protocol error: ")
    assert client.transport.is_closed


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\nSET a 1\r\n",
        request("post", "x") + SET,
    ],
)
async def test_words_of_http_end_the_connection(data: bytes) -> None:
    """Hazard B100."""
    node, server = serve()
    client = Client(server)
    client.send(data)
    assert client.transport.is_closed
    assert node.submitted == []
    assert client.take() in (b"", b"-ERR wrong number of arguments for 'get' command\r\n")


async def test_quit_is_answered_last() -> None:
    node, server = serve()
    client = Client(server)
    client.send(SET, request("QUIT"), SET)
    assert await client.receive(2) == OK + OK
    assert client.transport.is_closed
    assert len(node.submitted) == 1


async def test_who_says_nothing_more_still_gets_the_replies() -> None:
    _, server = serve()
    client = Client(server)
    client.send(SET * 3)
    assert client.protocol.eof_received()
    assert not client.transport.is_closed
    assert await client.receive(3) == OK * 3
    assert client.transport.is_closed


async def test_there_is_a_most_of_connections() -> None:
    _, server = serve(limits=RedisLimits(connections_max=1))
    first, second = Client(server), Client(server)
    assert second.take() == b"-ERR max number of clients reached\r\n"
    assert second.transport.is_closed
    second.protocol.connection_lost(None)
    first.protocol.connection_lost(None)
    assert await Client(server).ask("PING") == PONG


HTTP, REDIS = parse_endpoint("192.0.2.2:8001"), parse_endpoint("192.0.2.2:6379")
N2 = LeaderHint("n2", HTTP)


@pytest.mark.parametrize(
    ("failure", "reply"),
    [
        (Unavailable("busy", "much waits", hint="send less"), b"-BUSY much waits (send less)\r\n"),
        (Unavailable("no_space", "no room"), b"-OOM no room\r\n"),
        (Unavailable("no_leader", "nobody leads"), b"-CLUSTERDOWN nobody leads\r\n"),
        (
            Unavailable("not_leader", "n2 leads, not n1", leader=N2),
            b"-CLUSTERDOWN n2 leads, not n1; the leader is at 192.0.2.2:8001\r\n",
        ),
        (
            Unavailable("not_leader", "", leader=LeaderHint("n2", HTTP, RedisAddresses(REDIS))),
            b"-MOVED 15495 192.0.2.2:6379\r\n",
        ),
        (OutcomeUnknown("no word of it"), b"-UNKNOWNOUTCOME no word of it\r\n"),
    ],
)
@pytest.mark.parametrize("is_early", [True, False])
async def test_what_the_node_cannot_do_is_said_in_a_word_for_programs(
    failure: RaftdbError, reply: bytes, is_early: bool
) -> None:
    node, server = serve()
    if is_early:
        node.refusal = failure
    else:
        node.failure = failure
    assert await Client(server).ask("GET", "a") == reply


async def test_a_client_of_clusters_is_sent_to_the_port_of_its_kind() -> None:
    node = MachineNode()
    plain, cluster = parse_endpoint("192.0.2.2:6381"), parse_endpoint("192.0.2.2:6391")
    clients = [Client(RedisServer(node, for_clusters=of_clusters)) for of_clusters in (False, True)]
    for known, replies in (
        (
            RedisAddresses(plain, cluster),
            [b"-MOVED 15495 192.0.2.2:6381\r\n", b"-MOVED 15495 192.0.2.2:6391\r\n"],
        ),
        (RedisAddresses(plain), 2 * [b"-MOVED 15495 192.0.2.2:6381\r\n"]),
        (RedisAddresses(None, cluster), 2 * [b"-MOVED 15495 192.0.2.2:6391\r\n"]),
    ):
        node.failure = Unavailable("not_leader", "", leader=LeaderHint("n2", HTTP, known))
        assert [await client.ask("GET", "a") for client in clients] == replies
    # A leader that was heard no more is not named: clients would try it a few times at once, and give up.
    node.unreachable = {"n2"}
    assert [(await client.ask("GET", "a"))[:13] for client in clients] == 2 * [b"-CLUSTERDOWN "]
    for client, mode, flag in zip(clients, (b"standalone", b"cluster"), (b"0", b"1"), strict=True):
        assert b"mode\r\n$%d\r\n%b" % (len(mode), mode) in await client.ask("HELLO")
        assert b"cluster_enabled:" + flag in await client.ask("INFO", "cluster")


async def test_reads_without_keys_are_executed_by_any_node_of_a_cluster() -> None:
    follower, leader = MachineNode(), MachineNode()
    follower.failure = Unavailable(
        "not_leader", "", leader=LeaderHint("n2", HTTP, RedisAddresses(None, REDIS))
    )
    client = Client(RedisServer(follower, for_clusters=True, wide_reader=leader))
    assert [
        await client.ask(*words) for words in (("DBSIZE",), ("KEYS", "*"), ("SCAN", 0), ("RANDOMKEY",))
    ] == [*(b":0\r\n", b"*0\r\n", b"*2\r\n$1\r\n0\r\n*0\r\n", NIL)]
    assert (await client.ask("FLUSHALL")).startswith(b"-MOVED ")


async def test_a_client_may_say_that_its_reads_may_be_stale() -> None:
    node, server = serve()
    client = Client(server)
    for words in (("GET", "a"), ("READONLY",), ("GET", "a"), ("WATCH", "a"), ("DBSIZE",), ("READWRITE",)):
        assert not (await client.ask(*words)).startswith(b"-")
    client.send(request("READONLY"), SET, GET)
    assert await client.receive(3) == OK + OK + ONE, "a read behind a write sees it"
    await client.ask("RESET")
    await client.ask("GET", "a")
    assert node.stale == [False, True, False, True, False]


async def test_a_node_that_stops_says_that_it_does_not_know() -> None:
    node, server = serve()
    node.is_held = True
    client = Client(server)
    client.send(SET)
    node.waiting[0][1](None)
    assert (await client.receive(1)).startswith(b"-UNKNOWNOUTCOME ")


async def test_what_is_too_large_is_refused_and_the_connection_goes_on() -> None:
    _, server = serve(command_limits=Limits(value_bytes=100, command_bytes=250))
    client = Client(server)
    assert await client.ask("SET", "a", b"x" * 101) == b"-ERR a value has 101 bytes: the limit is 100\r\n"
    too_much = await client.ask("MGET", *(b"x" * 50,) * 6)
    assert too_much == b"-ERR the arguments have 304 bytes: the limit is 250\r\n"
    assert await client.ask("SET", "a", b"x" * 100) == OK


async def test_a_listener_on_a_socket_serves_and_closes() -> None:
    node, server = serve()
    _, port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(SET + GET)
    assert await reader.readexactly(len(OK + ONE)) == OK + ONE
    node.is_held = True
    writer.write(SET)
    while not node.waiting:
        await asyncio.sleep(0)
    closing = asyncio.create_task(server.close(grace_s=10.0))
    await asyncio.sleep(0)
    node.answer_all()
    assert await reader.read() == OK
    await closing
    writer.close()


async def test_a_listener_cuts_off_what_does_not_end() -> None:
    node, server = serve()
    _, port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    node.is_held = True
    writer.write(SET)
    while not node.waiting:
        await asyncio.sleep(0)
    await server.close(grace_s=0.0)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


async def test_who_asks_for_little_waits_only_for_a_part_of_what_others_ask_for() -> None:
    node, server = serve(limits=RedisLimits(in_flight_max=QUANTUM))
    node.is_held = True
    busy, modest = [Client(server) for _ in range(3)], Client(server)
    for client in busy:
        client.send(SET * 500)
    modest.send(request("SET", "modest", "1"))
    turns_taken = 0
    while not modest.transport.written:
        turns_taken += 1
        node.answer_all()
        await asyncio.sleep(0)
    assert modest.take() == OK
    assert turns_taken <= 2 * (len(busy) + 1)
    assert server.in_flight == QUANTUM


async def go_on(node: MachineNode, ahead_s: list[float], client: Client) -> bytes:
    """Let others go on, a few every tenth of a second, until `client` is answered; returns what."""
    for _ in range(30):
        ahead_s[0] += 0.1
        node.answer_all()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if client.transport.written.endswith(b"once)\r\n"):
            break
    return client.take()


async def test_what_waits_in_line_for_too_long_is_refused(ahead_s: list[float]) -> None:
    node, server = serve(limits=RedisLimits(in_flight_max=QUANTUM))
    node.is_held = True
    others, client = [Client(server) for _ in range(30)], Client(server)
    for other in others:
        other.send(SET * QUANTUM)
    client.send(SET * 3)
    refused = b"-BUSY too many requests wait (send fewer at once)\r\n"
    assert await go_on(node, ahead_s, client) == refused * 3
    assert 1.0 <= ahead_s[0] < 2.0
    node.is_held = False
    node.answer_all()
    assert await client.ask("GET", "a") == ONE


async def test_a_long_pipeline_that_nobody_keeps_waiting_is_not_refused(ahead_s: list[float]) -> None:
    """It takes long because it is long: in line it is always the next."""
    node, server = serve(limits=RedisLimits(in_flight_max=QUANTUM))
    node.is_held = True
    client = Client(server)
    client.send(SET * 30 * QUANTUM)
    for _ in range(30):
        ahead_s[0] += 0.1
        node.answer_all()
        await turns(lambda: server.in_flight == QUANTUM or len(node.submitted) == 30 * QUANTUM)
    node.answer_all()
    assert await client.receive(30 * QUANTUM) == OK * 30 * QUANTUM


async def test_who_waits_because_nobody_leads_is_not_refused(ahead_s: list[float]) -> None:
    node, server = serve(limits=RedisLimits(in_flight_max=QUANTUM))
    node.is_held = True
    Client(server).send(SET * QUANTUM)
    client = Client(server)
    client.send(SET * 3)
    ahead_s[0] = 3.0
    node.is_held = False
    node.answer_all()
    assert await client.receive(3) == OK * 3


@pytest.mark.parametrize("queued", [0, 1])
async def test_no_part_of_a_transaction_is_executed_without_the_others(
    ahead_s: list[float], queued: int
) -> None:
    """What arrives behind the part that is refused must not be taken for commands outside a transaction."""
    parts = [request("MULTI"), SET, request("SET", "b", "2"), request("EXEC")]
    node, server = serve(limits=RedisLimits(in_flight_max=QUANTUM))
    node.is_held = True
    others, client = [Client(server) for _ in range(30)], Client(server)
    client.send(*parts[:queued])
    for other in others:
        other.send(SET * QUANTUM)
    client.send(request("PING"), *parts[queued:2])
    replies = await go_on(node, ahead_s, client)
    assert replies.endswith(b"-BUSY too many requests wait (send fewer at once)\r\n")
    assert client.transport.is_closed
    client.send(*parts[2:])
    assert Set(b"b", b"2") not in node.submitted


@pytest.mark.parametrize("line", [b"x\n", b"\r\n", b"PING\r\n", b"*1\r\n$0\r\n\r\n", b"*0\r\n"])
async def test_what_has_arrived_is_taken_apart_a_little_at_a_time(line: bytes) -> None:
    """However many requests there are in it: bytes stay bytes until it is their turn (hazards B97, B98)."""
    memory = MemoryAccount(64 * MIB)
    _, server = serve(memory=memory)
    data = line * (260_000 // len(line))
    clients = [Client(server) for _ in range(50)]
    for client in clients:
        client.send(data)
        inbox = client.protocol._inbox
        assert len(inbox.requests) <= AT_ONCE
        assert inbox.parsed_bytes < 32 * 1024
    assert all(client.transport.is_reading_paused for client in clients)
    other = Client(server)
    assert await other.ask("SET", "k", "v") == b"+OK\r\n"
    assert any(client.protocol._inbox.has_unread for client in clients), (
        "it did not have to wait for all of that"
    )
    for client in clients:
        client.protocol.connection_lost(None)
    assert memory.request_bytes == 0


async def test_all_that_was_sent_at_once_is_answered_in_order() -> None:
    _, server = serve()
    client = Client(server)
    sent = b"".join(
        request("ECHO", str(number))
        + b"ECHO %d\r\n\r\n" % number
        + request("SET", "k", "v" * (number % 7000))
        for number in range(3_000)
    )
    for begin in range(0, len(sent), 100_000):
        client.send(sent[begin : begin + 100_000])
    told = await client.receive(9_000)
    assert told == b"".join(
        2 * (b"$%d\r\n%d\r\n" % (len(str(number)), number)) + b"+OK\r\n" for number in range(3_000)
    )
