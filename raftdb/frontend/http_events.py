"""GET /v1/events: what a node is and does, as a stream of events, for pages and for people with curl.

A stream begins with a snapshot of each topic that was asked for, and goes on with what has changed, gathered four times
a second at most. All streams share one timer, one comparison with what was said last, and the same bytes; without a
stream there is no timer, and the node's chronicle counts nothing.

A block of an event is named after its topic. Its data is `{"snapshot": ...}`, or `{"changes": ...}`: of `status`, `log`
and `metrics` the fields that are other than before, of `raft` what was added. Blocks of `raft` have an id, the start of
the node and the number of the last happening, by which a client that comes back (`Last-Event-ID`, or `after=` for pages
of another origin) gets what it has missed, as far as the node still has it. A client that reads too slowly loses
changes, and gets snapshots again once it has read the rest.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from raftdb.errors import RequestRefused, Unavailable
from raftdb.frontend.http_login import USER
from raftdb.frontend.http_query import parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_stream import COMMENT, EVENT_STREAM, EventStream, EventStreams, event_block
from raftdb.frontend.json_values import encode_json
from raftdb.frontend.node_api import Node
from raftdb.node.chronicle import KEPT_MAX, Happening
from raftdb.route import Permission, Route

logger = logging.getLogger("raftdb.http")

TOPICS = ("status", "log", "raft", "metrics")
PERIOD_S = 0.25
"""How often changes are gathered."""
WATCHERS_MAX = 256
"""Most streams of this kind at a node: each gets up to four blocks a second."""
WATCHERS_OF_USER_MAX = 64
"""So many of them of one user, where there are users."""
HISTORY_MAX = 500
"""So much of what happened stands in a snapshot of `raft`, and in one block."""


class Watcher:
    """One client. `missing` are the topics of which it needs a snapshot."""

    def __init__(
        self, stream: EventStream, topics: frozenset[str], after: int | None, user: bytes | None
    ) -> None:
        self.stream = stream
        self.user = user
        self.topics = topics
        self.missing = set(topics)
        self.after = after
        """The number of the last happening that it has got, if it has got one of this start of the node."""


class EventsApi:
    """The handler, and what all watchers share."""

    def __init__(self, node: Node, streams: EventStreams, *, watchers_max: int = WATCHERS_MAX) -> None:
        self._node = node
        self._streams = streams
        self.watchers: list[Watcher] = []
        self._timer: asyncio.TimerHandle | None = None
        self._said: dict[str, Mapping[str, Any]] = {}
        """What the watchers of a topic know."""
        self._said_number = 0
        self._sources: dict[str, Callable[[], Mapping[str, Any]]] = {}

    def routes(self) -> dict[str, dict[str, Route]]:
        """The one path."""
        events, head = Route(self.events, Permission.READ), Route(self.head, Permission.READ)
        return {"/v1/events": {"GET": events, "HEAD": head}}

    async def head(self, request: web.BaseRequest) -> Reply:
        """HEAD /v1/events: the head of a stream."""
        _topics_of(parameters(request, ("topics", "after")))
        return Reply(None, content_type=EVENT_STREAM)

    async def events(self, request: web.BaseRequest) -> Reply:
        """GET /v1/events?topics=&after="""
        given = parameters(request, ("topics", "after"))
        topics = _topics_of(given)
        if len(self.watchers) >= WATCHERS_MAX:
            raise Unavailable("busy", f"{WATCHERS_MAX} pages watch this node", hint="ask another node")
        user = request.get(USER)
        if user is not None and sum(one.user == user for one in self.watchers) >= WATCHERS_OF_USER_MAX:
            raise Unavailable(
                "busy", f"{WATCHERS_OF_USER_MAX} pages of this user watch this node", hint="close some"
            )
        self._streams.admit()
        place = given["after"].decode("ascii", "replace") if "after" in given else None
        after = self._number_of(request.headers.get("Last-Event-ID", "") if place is None else place)
        watcher = Watcher(EventStream(request, lambda: COMMENT), topics, after, user)
        return await self._streams.run(watcher.stream, self._watch(watcher))

    async def _watch(self, watcher: Watcher) -> None:
        """Be among the watchers until the stream is over, which cancels this."""
        if not self.watchers:
            self._begin()
        self.watchers.append(watcher)
        try:
            self._tell_missing(watcher)
            await asyncio.Event().wait()
        finally:
            self.watchers.remove(watcher)
            if not self.watchers:
                self._end()

    def _begin(self) -> None:
        """Somebody watches: count what is frequent, and look again and again."""
        node = self._node
        self._sources = {"status": node.status, "log": node.log_shape, "metrics": node.figures}
        self._said_number = node.chronicle.last_number
        node.chronicle.is_watched = True
        self._schedule()

    def _end(self) -> None:
        """Nobody watches any more: from now on this costs nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._said.clear()
        self._node.chronicle.is_watched = False
        self._node.chronicle.take_flows()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._look)

    def _look(self) -> None:
        """Tell the watchers what has changed since the last look."""
        self._schedule()
        try:
            wanted = frozenset[str]().union(*(watcher.topics for watcher in self.watchers))
            blocks = {topic: self._changes(topic) for topic in TOPICS if topic in wanted}
        except Exception:
            # Watching is for people: whatever is wrong with it must not stop the node, nor be hidden.
            logger.exception("the watchers are not told what has changed")
            return
        for watcher in self.watchers:
            if watcher.missing:
                self._tell_missing(watcher)
                continue
            for topic in TOPICS:
                block = blocks.get(topic) if topic in watcher.topics else None
                if block is not None and not watcher.stream.send(block):
                    watcher.missing.add(topic)
                elif block is not None and topic == "raft":
                    watcher.after = self._said_number

    def _changes(self, topic: str) -> bytes | None:
        """The block with what has changed of a topic; None if nothing has, or nobody knows it yet."""
        if topic == "raft":
            return self._raft_changes()
        before = self._said.get(topic)
        if before is None:
            return None
        self._said[topic] = now = dict(self._sources[topic]())
        changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
        return event_block(encode_json({"changes": changed}), event=topic) if changed else None

    def _raft_changes(self) -> bytes | None:
        chronicle = self._node.chronicle
        sent, told = chronicle.take_flows()
        happened = chronicle.after(self._said_number, HISTORY_MAX)
        if happened:
            self._said_number = happened[-1].number
        changes = {
            "events": _shown(happened),
            "sent": sent,
            "told": told,
            "timer": self._node.election_timer(),
        }
        return self._raft_block({"changes": changes}, self._said_number)

    def _tell_missing(self, watcher: Watcher) -> None:
        """Give the watcher the snapshots that it needs, as far as it reads them."""
        for topic in TOPICS:
            if topic in watcher.missing:
                tell = self._tell_happened if topic == "raft" else partial(self._tell_fields, topic)
                if tell(watcher):
                    watcher.missing.discard(topic)

    def _tell_fields(self, topic: str, watcher: Watcher) -> bool:
        """Send all fields of a topic, as the other watchers know them. Returns whether it was sent."""
        said = self._said.get(topic)
        if said is None:
            said = self._said[topic] = dict(self._sources[topic]())
        return watcher.stream.send(event_block(encode_json({"snapshot": said}), event=topic))

    def _tell_happened(self, watcher: Watcher) -> bool:
        """Send what the watcher has missed or, if it is new, the newest of what happened, in pieces. Returns whether
        all was sent."""
        after, last = watcher.after, self._said_number
        happened = self._node.chronicle.after(after or 0, HISTORY_MAX if after is None else KEPT_MAX)
        happened = [one for one in happened if one.number <= last]
        for begin in range(0, max(len(happened), 1), HISTORY_MAX):
            part = happened[begin : begin + HISTORY_MAX]
            value = {"events": _shown(part), "timer": self._node.election_timer()}
            fields = {"changes": value} if begin else {"snapshot": value, "resumed": after is not None}
            number = part[-1].number if part else last
            if not watcher.stream.send(self._raft_block(fields, number)):
                return False
            watcher.after = number
        return True

    def _raft_block(self, fields: dict[str, Any], number: int) -> bytes:
        place = f"{self._node.chronicle.start}-{number}"
        return event_block(encode_json(fields), event="raft", id=place)

    def _number_of(self, place: str) -> int | None:
        """The number in an id of this start of the node; None if it is another one's, or no id."""
        start, _, number = place.partition("-")
        if (
            start != self._node.chronicle.start
            or not (number.isascii() and number.isdigit())
            or len(number) > 18
        ):
            return None
        return int(number) if int(number) <= self._node.chronicle.last_number else None


def _topics_of(given: Mapping[str, bytes]) -> frozenset[str]:
    """The topics that are asked for: all of them unless they are said. Raises RequestRefused."""
    if "topics" not in given:
        return frozenset(TOPICS)
    topics = given["topics"].decode("ascii", "replace").split(",")
    if not set(topics) <= set(TOPICS):
        raise RequestRefused("bad_request", "there is no such topic", hint=f"topics are: {', '.join(TOPICS)}")
    return frozenset(topics)


def _shown(happened: list[Happening]) -> list[dict[str, object]]:
    return [
        {"number": one.number, "time_ms": one.time_ms, "what": one.what, "level": one.level, **_details(one)}
        for one in happened
    ]


def _details(one: Happening) -> dict[str, object]:
    return {"details": one.details} if one.details else {}
