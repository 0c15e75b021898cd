"""Following changes over HTTP: `GET /v1/watch` (docs/interface.md, section 3).

The answer is a stream of events, or, with `wait`, a page of what has happened since. What a watcher gets, and how it
goes on at another node, is in `raftdb.node.watches`; how all watchers are told is in `watch_hub`.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, cast

from aiohttp import web

from raftdb.budgets import REPLY_BYTES_ON_LOOP_MAX
from raftdb.errors import Compacted, ReplyError, RequestRefused, Unavailable
from raftdb.frontend.http_connection import Connection
from raftdb.frontend.http_login import STILL_PROVED, USER
from raftdb.frontend.http_memory import hold_answer
from raftdb.frontend.http_query import flag_of, key_of_query, parameters, revision_of
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_stream import COMMENT, EVENT_STREAM, EventStream, EventStreams, event_block
from raftdb.frontend.json_values import encode_json, record_fields
from raftdb.frontend.node_api import Node
from raftdb.frontend.watch_hub import StreamFollower, WatchHub, bytes_of, shown
from raftdb.limits import PAGE_BYTES_MAX
from raftdb.machine.reply import KeyRecord, Page, value_bytes
from raftdb.machine.scanning import ReadStored
from raftdb.machine.users.rights import Domain, Need
from raftdb.node.aside import Aside
from raftdb.node.watches import Part, Watcher, missed
from raftdb.route import Permission, Route

WAIT_S_MAX = 60.0
"""Longest wait for the first change of a page."""
CHANGES_IN_PAGE = 1_000
"""Changes after which a page gets no further entry."""
LAST_EVENT_ID = "Last-Event-ID"
"""The header in which a client that comes back says what it has got."""
KEYS_TOGETHER = 100
"""Keys of the present state that are read at a time."""


class _Asked(NamedTuple):
    """A request to follow changes. `after` is None for what happens from now on; `cluster_id` is that of the place that
    a client comes back to."""

    prefix: bytes
    after: int | None
    cluster_id: str | None
    with_before: bool
    with_present: bool
    wait_s: float | None


class WatchApi:
    """The handlers for those who follow changes."""

    def __init__(self, node: Node, streams: EventStreams, aside: Aside) -> None:
        self._node = node
        self._streams = streams
        self._aside = aside
        self.hub = WatchHub(node, aside)

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with these routes."""
        return {
            "/v1/watch": {
                "GET": Route(self.watch, Permission.READ),
                "HEAD": Route(self.watch_head, Permission.READ),
            }
        }

    async def watch_head(self, _request: web.BaseRequest) -> Reply:
        """HEAD /v1/watch: the head of the answer alone."""
        return Reply(None, content_type=EVENT_STREAM)

    async def watch(self, request: web.BaseRequest) -> Reply:
        """GET /v1/watch[?prefix=&after=&prev=&snapshot=&wait=]: the changes of keys, as a stream or a page."""
        asked, user = _asked(request), request.get(USER)
        check = partial(
            self._node.check, user, Need(Domain.KEYS, asked.prefix, changes=False, is_prefix=True)
        )
        check()
        history = self._node.history
        after, is_whole = asked.after, asked.after is not None or not asked.with_present
        if after is not None:
            try:
                self._check_place(after, asked.cluster_id)
            except Compacted:
                if not asked.with_present:
                    raise
                is_whole = False
        watcher = Watcher(asked.prefix, history.applied if after is None or not is_whole else after)
        if asked.wait_s is not None:
            checks = [request.get(STILL_PROVED, lambda: None), check]
            return await self._page(request, watcher, asked.wait_s, checks, with_before=asked.with_before)
        self._streams.admit()
        stream = EventStream(request, lambda: COMMENT)
        stream.checks.append(check)
        place_of = self.hub.place_of
        follower = StreamFollower(watcher, stream, with_before=asked.with_before, place_of=place_of)
        follower.is_whole = is_whole
        self.hub.enter(follower)
        try:
            return await self._streams.run(stream, self._follow(follower, user))
        finally:
            self.hub.leave(follower)

    def _check_place(self, after: int, cluster_id: str | None) -> None:
        """Raise `Compacted` if a watcher cannot go on from there."""
        history = self._node.history
        if cluster_id is not None and cluster_id != self._node.cluster_id:
            raise Compacted(history.begin, code="reset")
        history.after(after, limit=1)

    async def _follow(self, follower: StreamFollower, user: bytes | None) -> None:
        """Send what a stream lacks, until it is told of changes as the others are."""
        watches = self.hub.watches
        try:
            if not follower.is_whole:
                await self._send_present(follower, user)
            follower.stream.heartbeat = partial(self._progress, follower.watcher)
            # So a client knows from where on it gets everything, even if nothing comes.
            await self._write(follower, self._progress(follower.watcher))
            while follower.stream.is_open:
                await self._send(follower, watches.catch_up(follower.watcher))
                if self.hub.join(follower):
                    return
                await asyncio.sleep(0)
        except Compacted as error:
            self.hub.end_compacted(follower, error)
        except Unavailable:
            follower.end("stalled")
        except (RequestRefused, ReplyError):
            # Its user may not read this any more.
            follower.stream.end()

    def _progress(self, watcher: Watcher) -> bytes:
        """A block that says only how far a watcher has got, so that a quiet prefix is not compacted away under it."""
        return b"id: %b\n\n" % self.hub.place_of(self.hub.watches.position_of(watcher)).encode()

    async def _send(self, follower: StreamFollower, parts: Sequence[Part]) -> None:
        """Write the changes to a stream, at the pace of its client."""
        with_before, has_places = bool(follower.with_before), follower.is_whole
        for block in await self.hub.encoded(parts, with_before=with_before, has_places=has_places):
            await self._write(follower, block)

    async def _write(self, follower: StreamFollower, block: bytes) -> None:
        stream = follower.stream
        if not stream.send(block) and not (await stream.room() and stream.send(block)):
            follower.end("slow")

    async def _send_present(self, follower: StreamFollower, user: bytes | None) -> None:
        """Send the keys as they are, page by page, and what happens meanwhile to those that were sent."""
        watcher, stream = follower.watcher, follower.stream
        last_key: bytes | None = None
        while stream.is_open:
            query = ReadStored(watcher.prefix, last_key or b"", KEYS_TOGETHER)
            answer = await self._node.execute(query, consistency="stale", user=user)
            is_all = False
            while not is_all and stream.is_open:
                parts, is_all = missed(self._node.history, watcher, answer.index, last_key)
                await self._send(follower, parts)
            page = cast(Page, answer.value)
            if value_bytes(page) <= REPLY_BYTES_ON_LOOP_MAX:
                block = _present_block(page.records)
            else:
                block = await self._aside.run(_present_block, page.records)
            await self._write(follower, block)
            last_key = page.next_after
            if last_key is None:
                follower.is_whole = True
                end = encode_json({"revision": watcher.position})
                place = self.hub.place_of(watcher.position)
                await self._write(follower, event_block(end, event="snapshot_end", id=place))
                return

    async def _page(
        self,
        request: web.BaseRequest,
        watcher: Watcher,
        wait_s: float,
        checks: Sequence[Callable[[], None]],
        *,
        with_before: bool,
    ) -> Reply:
        """The changes that are there, or that come within the wait, as many as fit into a page."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        waiting = _Waiting(watcher)
        self.hub.enter(waiting)
        try:
            while True:
                parts, is_all = await self._catch_up(watcher)
                if parts or (is_all and loop.time() >= until_s):
                    break
                if is_all and self.hub.join(waiting):
                    await waiting.first(request, until_s - loop.time())
                    self.hub.rest(waiting)
        finally:
            self.hub.leave(waiting)
        # Meanwhile the user may have lost the right, or be gone.
        for check in checks:
            check()
        changes = [change for part in parts for change in shown(part, with_before=with_before)]
        fields = {"changes": changes, "revision": watcher.position, "id": self.hub.place_of(watcher.position)}
        hold_answer(request, bytes_of(parts), was_written=False)
        if bytes_of(parts) <= REPLY_BYTES_ON_LOOP_MAX:
            return Reply(encode_json(fields))
        return Reply(await self._aside.run(encode_json, fields))

    async def _catch_up(self, watcher: Watcher) -> tuple[list[Part], bool]:
        """What comes next for a watcher, up to a page; and whether that is all there is."""
        found: list[Part] = []
        while bytes_of(found) < PAGE_BYTES_MAX and sum(len(part.changes) for part in found) < CHANGES_IN_PAGE:
            found += self.hub.watches.catch_up(watcher)
            if watcher.position >= self._node.history.applied:
                return found, True
            await asyncio.sleep(0)
        return found, False


class _Waiting:
    """A request that waits for the first change."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.with_before: bool | None = None
        self._ended: str | None = None
        self._settled: asyncio.Future[None] | None = None

    def take(self, block: bytes) -> bool:
        """See `Follower`: it has what it waits for, and reads that itself."""
        return False

    def end(self, event: str) -> None:
        """See `Follower`."""
        self._ended = event
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    async def first(self, request: web.BaseRequest, wait_s: float) -> None:
        """Wait until something has come, or for so long. Raises Unavailable if this node may be left behind, and
        ConnectionError if the client has gone."""
        self._settled = settled = asyncio.get_running_loop().create_future()

        def give_up() -> None:
            if not settled.done():
                settled.set_exception(ConnectionResetError("the client has gone"))

        with suppress(TimeoutError), cast(Connection, request.protocol).held(lambda: None, give_up):
            async with asyncio.timeout(wait_s):
                await settled
        if self._ended == "stalled":
            raise Unavailable("no_leader", "no leader is known", hint="ask another node")


def _present_block(records: Sequence[KeyRecord]) -> bytes:
    """The events for keys that are there."""
    return b"".join(event_block(encode_json(record_fields(record)), event="snapshot") for record in records)


def _asked(request: web.BaseRequest) -> _Asked:
    given = parameters(request, ("prefix", "after", "prev", "snapshot", "wait"))
    prefix = key_of_query(given, "prefix")
    after = revision_of("after", given["after"]) if "after" in given else None
    cluster_id = None
    place = request.headers.get(LAST_EVENT_ID)
    if place is not None:
        cluster_id, _, revision = place.rpartition("-")
        after = revision_of("Last-Event-ID", revision.encode())
    with_present = flag_of("snapshot", given.get("snapshot", b"false"))
    if with_present and "wait" in given:
        raise RequestRefused("bad_request", "a page has no snapshot", hint="GET /v1/keys has the keys")
    wait_s = _wait_of(given["wait"]) if "wait" in given else None
    with_before = flag_of("prev", given.get("prev", b"false"))
    return _Asked(prefix, after, cluster_id, with_before, with_present, wait_s)


def _wait_of(text: bytes) -> float:
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= WAIT_S_MAX:
        raise RequestRefused("bad_request", f"wait is from 0 to {WAIT_S_MAX:g} seconds")
    return wait_s
