"""Telling the watchers of a node: new changes are found once for all of them, and written to the stream of each.

One task goes through what is new (`raftdb.node.watches`), while anybody watches; without watchers nothing is done here,
and applying costs nothing more. The blocks of an entry are made once for all watchers of a prefix, long ones on a
thread, and are written to a bounded number of streams in one turn of the loop. A stream that takes no block ends with
the place that its watcher has got to. If no leader is known for two election timeouts, all are told that this node may
have been left behind (`stalled`), and end: their clients go on at another.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

from raftdb.budgets import REPLY_BYTES_ON_LOOP_MAX
from raftdb.errors import Compacted
from raftdb.frontend.http_stream import STREAMS_PER_TURN, EventStream, event_block
from raftdb.frontend.json_values import encode_json
from raftdb.frontend.node_api import Node
from raftdb.machine.keyspace import KIND_STRING, NEVER_EXPIRES
from raftdb.machine.session_records import shown_session
from raftdb.node.aside import Aside
from raftdb.node.history import Kind, key_of_change, value_of
from raftdb.node.watches import Delivery, Part, Watcher, Watches

LOOK_S = 0.25
"""How often it is looked whether a leader is known, while anybody watches."""
STALLED_TIMEOUTS = 2
"""After so many election timeouts without a leader watchers are ended."""


class Follower(Protocol):
    """One who follows changes: a stream, or a request that waits for the first."""

    watcher: Watcher
    with_before: bool | None
    """Whether blocks have the values before; None: this one takes no blocks."""

    def take(self, block: bytes) -> bool:
        """Take the changes of one entry; False if it cannot: then it is live no longer, and is ended."""
        ...

    def end(self, event: str) -> None:
        """End it, because of what the event of this name says. It may have ended."""
        ...


class StreamFollower:
    """A watcher with a stream. `place_of` writes an `id` of a revision."""

    def __init__(
        self, watcher: Watcher, stream: EventStream, *, with_before: bool, place_of: Callable[[int], str]
    ) -> None:
        self.watcher = watcher
        self.stream = stream
        self.with_before: bool | None = with_before
        self.is_whole = True
        """False while the client has a part of the present state only: it cannot come back to that."""
        self._place_of = place_of

    def take(self, block: bytes) -> bool:
        """See `Follower`."""
        return self.stream.send(block)

    def end(self, event: str, **fields: object) -> None:
        """End the stream by an event that says why, with the place that it has got to."""
        position = self.watcher.position if self.is_whole else None
        data = encode_json({"revision": position, **fields})
        place = None if position is None else self._place_of(position)
        self.stream.end(event_block(data, event=event, id=place))


class WatchHub:
    """The followers of one node; see the module."""

    def __init__(self, node: Node, aside: Aside) -> None:
        self._node = node
        self._aside = aside
        self._followers: dict[Watcher, Follower] = {}
        self._woken = asyncio.Event()
        self._has_followers = asyncio.Event()
        self._led_s = 0.0

    @cached_property
    def watches(self) -> Watches:
        """Who is live, and what is for whom."""
        return Watches(self._node.history)

    @property
    def count(self) -> int:
        """How many follow changes here."""
        return len(self._followers)

    @property
    def lag_entries(self) -> int:
        """How many of the entries that are applied here the follower lacks that lacks most."""
        positions = [self.watches.position_of(watcher) for watcher in self._followers]
        return max(0, self._node.history.applied - min(positions)) if positions else 0

    def place_of(self, revision: int) -> str:
        """Return what names a revision of this cluster to those who come back."""
        return f"{self._node.cluster_id}-{revision}"

    def enter(self, follower: Follower) -> None:
        """Count a follower, which is not live yet."""
        if not self._followers:
            self._led_s = asyncio.get_running_loop().time()
            self._has_followers.set()
        self._followers[follower.watcher] = follower

    def join(self, follower: Follower) -> bool:
        """Let it be live if it has got all that the others have: see `Watches.join`."""
        is_live = self.watches.join(follower.watcher)
        if is_live:
            self._node.history.on_change = self._woken.set
            if self.watches.is_behind:
                self._woken.set()
        return is_live

    def rest(self, follower: Follower) -> None:
        """Let a follower be live no longer; it may go on to catch up."""
        self.watches.leave(follower.watcher)
        if not self.watches.has_live:
            self._node.history.on_change = None

    def leave(self, follower: Follower) -> None:
        """Forget a follower."""
        self.rest(follower)
        self._followers.pop(follower.watcher, None)

    async def run(self) -> None:
        """Tell those who are live of what is new; for ever, as a task of the node."""
        while True:
            if not self._followers:
                self._has_followers.clear()
                await self._has_followers.wait()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            self._end_if_stalled()
            try:
                while self.watches.is_behind:
                    for delivery in self.watches.advance():
                        await self._deliver(delivery)
                    self.watches.told()
                    await asyncio.sleep(0)
            except Compacted as error:
                for watcher in self.watches.live():
                    self.end_compacted(self._followers[watcher], error)

    def end_compacted(self, follower: Follower, error: Compacted) -> None:
        """End one whose position is no longer in the history."""
        self.rest(follower)
        if isinstance(follower, StreamFollower):
            follower.end(error.code, begin=error.begin)
        else:
            follower.end(error.code)

    async def encoded(
        self, parts: Sequence[Part], *, with_before: bool, has_places: bool = True
    ) -> list[bytes]:
        """Return a block for each part, made on a thread if they are long; with the place of the entry at its end,
        unless the client cannot come back to that."""
        if bytes_of(parts) <= REPLY_BYTES_ON_LOOP_MAX:
            return self._blocks(parts, with_before, has_places)
        return await self._aside.run(self._blocks, parts, with_before, has_places)

    def _blocks(self, parts: Sequence[Part], with_before: bool, has_places: bool) -> list[bytes]:
        blocks = []
        for part in parts:
            changes = [encode_json(change) for change in shown(part, with_before=with_before)]
            events = [event_block(change, event="change") for change in changes[:-1]]
            place = self.place_of(part.entry.revision) if has_places else None
            last = event_block(changes[-1], event="change", id=place)
            blocks.append(b"".join((*events, last)))
        return blocks

    async def _deliver(self, delivery: Delivery) -> None:
        part, watchers = delivery
        followers = [self._followers[watcher] for watcher in watchers if watcher in self._followers]
        blocks = {
            with_before: (await self.encoded([part], with_before=with_before))[0]
            for with_before in sorted(
                {each.with_before for each in followers if each.with_before is not None}
            )
        }
        for number, follower in enumerate(followers, 1):
            block = b"" if follower.with_before is None else blocks[follower.with_before]
            watcher = follower.watcher
            if not self.watches.is_live(watcher) or watcher.position >= part.entry.revision:
                # It has left while others were told, and may have caught up since.
                continue
            if follower.take(block):
                watcher.position = part.entry.revision
            else:
                self.rest(follower)
                follower.end("slow")
            if number % STREAMS_PER_TURN == 0:
                await asyncio.sleep(0)

    def _end_if_stalled(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._node.is_leader() or self._node.leader_hint() is not None:
            self._led_s = now_s
        elif now_s - self._led_s > STALLED_TIMEOUTS * self._node.election_timeout_s:
            for follower in list(self._followers.values()):
                self.rest(follower)
                follower.end("stalled")


def shown(part: Part, *, with_before: bool) -> list[dict[str, object]]:
    """Return the changes of a part as JSON shows them (docs/interface.md, section 3)."""
    entry = part.entry
    changes = []
    for place, change in part.changes:
        _, kind, before, after = change
        fields: dict[str, object] = {
            "revision": entry.revision,
            "place": place,
            "key": key_of_change(change),
            "kind": KIND_NAMES[kind],
            **_value(after),
        }
        if with_before:
            previous = value_of(before)
            fields["prev"] = None if previous is None else {**_value(before), "revision": previous.revision}
        if entry.session is not None:
            fields["session"] = shown_session(entry.session)
        fields["clock_ms"] = entry.clock_ms
        changes.append(fields)
    return changes


def _value(record: bytes | None) -> dict[str, object]:
    stored = value_of(record)
    if stored is None:
        return {}
    fields: dict[str, object] = {}
    if stored.kind == KIND_STRING:
        fields["value"] = stored.data
    if stored.expires_ms != NEVER_EXPIRES:
        fields["expires_at"] = stored.expires_ms
    return fields


KIND_NAMES: dict[int, str] = {kind: kind.name.lower() for kind in Kind}


def bytes_of(parts: Sequence[Part]) -> int:
    """Return about how many bytes the values in these changes have."""
    return sum(
        len(record)
        for part in parts
        for _, (_, _, *records) in part.changes
        for record in records
        if record is not None
    )
