"""Answers that go on: streams of events, which are bounded and end with the node."""

import asyncio
from collections.abc import Callable, Coroutine

from aiohttp import web

from raftdb.frontend.http_stream import COMMENT, UNSENT_BYTES_MAX, EventStream, EventStreams, event_block
from raftdb.route import Permission, Route, Routes
from raftdb.tally import RequestTallies
from tests.frontend.support import RawClient, get, running, wait_until

Work = Callable[[EventStream], Coroutine[object, object, None]]


class Streaming:
    """A route that opens streams, and those that it has opened."""

    def __init__(self, *, work: Work | None = None, streams_max: int = 10, heartbeat_s: float = 3600) -> None:
        self.streams = EventStreams(streams_max=streams_max, heartbeat_s=heartbeat_s)
        self.opened: list[EventStream] = []
        self._work = work

    @property
    def routes(self) -> Routes:
        return {"/stream": {"GET": Route(self._serve, Permission.READ)}}

    async def _serve(self, request: web.BaseRequest) -> EventStream:
        stream = EventStream(request, lambda: COMMENT)
        self.opened.append(stream)
        return await self.streams.run(stream, None if self._work is None else self._work(stream))


async def begun(client: RawClient) -> bytes:
    await client.send(get("/stream"))
    return await client.reader.readuntil(b"\r\n\r\n")


def test_an_event_has_a_type_and_an_id_if_they_are_given() -> None:
    assert event_block(b"{}") == b"data: {}\n\n"
    assert event_block(b"1", event="change", id="a-7") == b"event: change\nid: a-7\ndata: 1\n\n"


async def test_blocks_are_sent_at_once_and_the_end_closes_the_connection() -> None:
    streaming = Streaming()
    async with running(more_routes=streaming.routes) as http:
        client = await http.connect()
        head = await begun(client)
        assert b"200 OK" in head
        assert b"text/event-stream" in head
        assert b"Cache-Control: no-store" in head
        (stream,) = streaming.opened
        assert stream.send(event_block(b"1"))
        assert await client.reader.readuntil(b"\n\n") == b"data: 1\n\n"
        assert stream.send(event_block(b"2"))
        stream.end(event_block(b"3"))
        assert not stream.send(event_block(b"4"))
        assert await client.ends() == b"data: 2\n\ndata: 3\n\n"
        await wait_until(lambda: streaming.streams.count == 0)


async def test_a_client_that_does_not_read_gets_no_further_block_and_then_whole_ones() -> None:
    streaming = Streaming()
    block = event_block(b"x" * 16 * 1024)
    async with running(more_routes=streaming.routes) as http:
        client = await http.connect()
        await begun(client)
        (stream,) = streaming.opened
        sent = 0
        while stream.send(block):
            sent += 1
            await asyncio.sleep(0)
        assert stream.is_behind
        assert stream.is_open
        stream.end(event_block(b"slow"))
        got = await client.ends()
        assert got == block * sent + event_block(b"slow")
        assert len(got) > UNSENT_BYTES_MAX


async def test_a_client_that_goes_ends_its_stream_and_what_is_done_for_it() -> None:
    ended = asyncio.Event()

    async def work(stream: EventStream) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    streaming = Streaming(work=work)
    async with running(more_routes=streaming.routes) as http:
        client = await http.connect()
        await begun(client)
        await client.close()
        await asyncio.wait_for(ended.wait(), 10)
        assert not streaming.opened[0].is_open
        await wait_until(lambda: streaming.streams.count == 0)


async def test_a_client_that_sends_no_more_before_it_has_begun_gets_a_head_and_no_more() -> None:
    async def work(stream: EventStream) -> None:
        stream.send(event_block(b"1"))

    streaming = Streaming(work=work)
    async with running(more_routes=streaming.routes) as http:
        client = await http.connect()
        await client.send(get("/stream"))
        client.writer.write_eof()
        answer = await client.ends()
        assert answer.count(b"HTTP/1.1") <= 1
        assert b"500" not in answer.partition(b"\r\n")[0]
        await wait_until(lambda: streaming.streams.count == 0)


async def test_work_that_fails_ends_the_stream() -> None:
    async def work(stream: EventStream) -> None:
        raise ValueError("a bug")

    streaming = Streaming(work=work)
    async with running(more_routes=streaming.routes) as http:
        client = await http.connect()
        await begun(client)
        assert await client.ends() == b""
        assert streaming.streams.count == 0


async def test_a_stream_counts_as_no_request() -> None:
    """It lasts for as long as its client wants, which says nothing about the node."""
    streaming, requests = Streaming(), RequestTallies()
    async with running(more_routes=streaming.routes, requests=requests) as http:
        client = await http.connect()
        await begun(client)
        await streaming.streams.close()
        assert await client.ends() == b""
        assert (await http.request(get("/v1/status"))).status == 200
        assert [operation for operation, _, _ in requests.all()] == ["GET /v1/status"]


async def test_no_more_streams_are_opened_than_allowed() -> None:
    streaming = Streaming(streams_max=1)
    async with running(more_routes=streaming.routes) as http:
        await begun(await http.connect())
        refused = await http.request(get("/stream"))
        assert (refused.status, refused.code) == (503, "busy")


async def test_each_stream_gets_a_block_now_and_then() -> None:
    streaming = Streaming(heartbeat_s=0.01)
    async with running(more_routes=streaming.routes) as http:
        client = await http.connect()
        await begun(client)
        beating = asyncio.ensure_future(streaming.streams.beat())
        assert await client.reader.readuntil(b"\n\n") == COMMENT
        assert await client.reader.readuntil(b"\n\n") == COMMENT
        beating.cancel()


async def test_the_end_of_the_node_ends_all_streams_and_opens_no_more() -> None:
    streaming = Streaming()
    async with running(more_routes=streaming.routes) as http:
        clients = [await http.connect() for _ in range(3)]
        for client in clients:
            await begun(client)
        await streaming.streams.close()
        assert all(stream.is_gone for stream in streaming.opened), "aiohttp has nothing left to cut off"
        for client in clients:
            assert await client.ends() == b""
        refused = await http.request(get("/stream"))
        assert (refused.status, refused.code) == (503, "no_leader")
