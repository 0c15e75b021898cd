"""One connection of a Redis client: replies are written in the order of the requests, and both are bounded.

Order
-----
Redis runs the commands of a connection one after the other, and clients rely on it: a GET sees the SET before it in the
same pipeline. The node orders writes as they are submitted, but a read need not see writes that are under way, and may
see one that was submitted later. So:

* a write waits for the reads before it;
* a read after writes that are not answered becomes a part of the log, as a transaction of one command: it is answered
  where it stands there, and nothing waits;
* no command passes one that is encoded on a thread;
* none is begun while the node holds one until it can be served (`WAIT`): the connection is blocked, as by Redis'
  `BLPOP`, and a client that goes away gives up its turn.

The bounds of a connection are those of `raftdb.frontend.redis.bounds`.
"""

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, cast

from raftdb.budgets import KEYS_ON_LOOP_MAX
from raftdb.errors import RaftdbError, Unavailable
from raftdb.frontend.redis.beginning import begin, first_named, is_http, queue
from raftdb.frontend.redis.bounds import (
    BLOCKED_BYTES_MAX,
    COUNTED_BYTES_MIN,
    LINE_TOO_LONG,
    OUT_AT_FIRST,
    OUT_BYTES_MAX,
    QUANTUM,
    REFUSED_AT_ONCE,
    REPLIES_MAX,
)
from raftdb.frontend.redis.client_state import ClientState, shown_address
from raftdb.frontend.redis.errors import CommandRefused, error_of
from raftdb.frontend.redis.inbox import Inbox
from raftdb.frontend.redis.logging_in import LoginCall, LoginReply, begin_login
from raftdb.frontend.redis.replying import (
    LoggedReadReply,
    ReadyReply,
    Reply,
    WaitReply,
    WriteReply,
    unsaid,
)
from raftdb.frontend.redis.rows import Arguments, Call, Row, WaitingCall
from raftdb.frontend.redis.table import BY_NAME, find
from raftdb.frontend.redis.unread import ReadingWatch
from raftdb.machine.operations import TransactionOperation
from raftdb.machine.service import Command
from raftdb.machine.services import QUERIES, READS, keys_named
from raftdb.memory import DECODED_FACTOR_SMALL, Hold
from raftdb.wire.resp import DEFAULT_LIMITS, STRANGERS_LIMITS
from raftdb.wire.resp_replies import Error, encode

if TYPE_CHECKING:
    from raftdb.frontend.redis.server import RedisServer

_READ_TYPES = frozenset({*READS, *QUERIES})


class RedisConnection(asyncio.Protocol):
    """One connection of a Redis client. Everything is called on the event loop."""

    def __init__(self, server: "RedisServer") -> None:
        self._server, self.node = server, server.node
        self.address_of = server.address_of
        self.requests, self.began_s = server.requests, 0.0
        self._inbox = Inbox()
        self._replies: deque[Reply | ReadyReply | LoginReply] = deque()
        self._reads_out = 0
        self._writes_out = 0
        self._waits_for_all = False
        """True while a large operation is under way, which nothing may pass."""
        self._may_be_large = False
        """True if requests in the inbox may be larger than the limits."""
        self._expected_bytes = OUT_BYTES_MAX // OUT_AT_FIRST
        """How long the next reply may be, to judge by the last ones."""
        self._is_full = False
        self._is_paused = self._at_end = False
        self.is_in_line = False
        """Whether it waits in the server's line to begin more."""
        self.quantum = QUANTUM
        """Requests that it may still begin before others in line have their turn."""
        self.lined_s = 0.0
        """When it joined the line last."""
        self._hold = Hold(server.memory, cut=self._cut_off)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a new client."""
        self._transport = cast(asyncio.Transport, transport)
        self._reading = ReadingWatch(
            self._transport, self._server.limits.unread_s, lambda: self.client.address
        )
        self.client = ClientState(
            self._server.next_id(),
            self._server,
            shown_address(transport.get_extra_info("peername")),
            shown_address(transport.get_extra_info("sockname")),
            asyncio.get_running_loop().time,
        )
        self.client.end = self.abort
        if not self._server.takes(self):
            self._end_with(Error("ERR max number of clients reached"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone: what it has asked for goes on, and nobody reads the replies; only what is held is given
        up."""
        self._server.forget(self)
        self._give_up()
        self._inbox.clear()
        self._replies.clear()
        self._at_end = True
        self.client.is_ending = True
        self.client.leave_transaction()
        self._hold.release()
        self._reading.stop()

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived, and begin what can be begun."""
        if self.client.is_ending:
            return
        self.client.last_used, self.began_s = self.client.now(), perf_counter()
        inbox = self._inbox
        inbox.put(data)
        if inbox.held_bytes > self._server.command_limits.value_bytes:
            self._may_be_large = True
        self._server.expect_turn()
        self.advance()
        if inbox.requests or inbox.held_bytes + self._hold.bytes + self.client.held_bytes:
            self._count_memory()

    def eof_received(self) -> bool:
        """The client sends no more, but may still read; one that is blocked has gone, as with Redis."""
        self._at_end = True
        if self.client.blocked is not None:
            self._give_up()
            self._inbox.clear()
        self._end_if_done()
        return True

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._is_full = True
        self._reading.begin()

    def resume_writing(self) -> None:
        """The client has read enough."""
        self._is_full = False
        self._reading.stop()
        self.advance()

    def advance(self) -> None:
        """Write ready replies, and begin requests as far as order and bounds allow."""
        inbox = self._inbox
        self.quantum = QUANTUM
        if self._replies:
            self.write_replies()
        requests = inbox.requests
        while (requests or self._take_apart()) and self._has_room():
            if not self._begin(requests[0]):
                break
            requests.popleft()
            if self.client.is_ending:
                inbox.clear()
        if inbox.is_empty:
            self._may_be_large, inbox.parsed_bytes = False, 0
            if inbox.reader.error is not None and not self.client.is_ending:
                self._end_with(Error(f"ERR {inbox.reader.error}"))
        if self._replies or self.client.is_ending or self._at_end:
            self.write_replies()
        is_blocked = self.client.blocked is not None and inbox.waiting_bytes < BLOCKED_BYTES_MAX
        pauses = not (is_blocked or inbox.is_empty)
        if pauses != self._is_paused and not self._transport.is_closing():
            self._is_paused = pauses
            (self._transport.pause_reading if pauses else self._transport.resume_reading)()

    def _take_apart(self) -> bool:
        """Take some of what has arrived apart, if it is this connection's turn. Returns whether there is a request."""
        inbox = self._inbox
        inbox.reader.limits = STRANGERS_LIMITS if self.client.is_stranger else DEFAULT_LIMITS
        while inbox.has_unread and not self._is_full and self.client.blocked is None:
            if not self._server.may_look(self) or inbox.take_apart():
                break
            self._server.looked_in_vain()
        return bool(inbox.requests)

    def _has_room(self) -> bool:
        """True if one more request may be begun now."""
        if self._is_full or self.client.blocked is not None:
            return False
        out = self._reads_out + self._writes_out
        if out and out * self._expected_bytes >= OUT_BYTES_MAX:
            return False
        if len(self._replies) >= REPLIES_MAX:
            # Replies that need no node are ready, and writing them makes room.
            self.write_replies()
            if len(self._replies) >= REPLIES_MAX:
                return False
        return self._server.may_begin(self)

    def settled(self, reply: Reply, reply_bytes: int) -> None:
        """Note that the reply to one request is ready."""
        if reply.waits:
            self.client.blocked = None
        else:
            self._server.settled_one()
        if reply.is_write:
            self._writes_out -= 1
        else:
            self._reads_out -= 1
        if not self._writes_out and not self._reads_out:
            self._waits_for_all = False
        self._expected_bytes = max(reply_bytes, self._expected_bytes * 3 // 4)
        if not self._replies:
            # The client has gone.
            return
        if reply_bytes > COUNTED_BYTES_MIN:
            try:
                self._hold.grow(reply_bytes)
            except Unavailable as error:
                reply.data = encode(unsaid(reply, error))
        if self._replies[0] is reply:
            self._server.is_ready(self)

    def write_replies(self) -> None:
        """Write the ready replies at the front of the queue."""
        replies = self._replies
        ready: list[bytes] = []
        while replies and (data := replies[0].data) is not None:
            ready.append(data)
            replies.popleft()
        if ready and not self._transport.is_closing():
            self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
            if self._hold.bytes:
                self._count_memory()
        self._end_if_done()

    def refuse_waiting(self) -> int:
        """Refuse what waits in line, because there is too much of it; returns how many requests. If a part of a
        transaction may be among it, the connection ends, so that no other part is executed."""
        requests = self._inbox.taken(REFUSED_AT_ONCE)
        count = len(requests)
        if self.client.queued is not None or any(arguments[0].upper() == b"MULTI" for arguments in requests):
            self._inbox.clear()
            self._end_with(error_of(LINE_TOO_LONG))
        else:
            requests.clear()
            self._replies.extend([ReadyReply(encode(error_of(LINE_TOO_LONG)))] * count)
            self.advance()
        return count

    def close(self) -> None:
        """Begin no more requests, and end the connection when all open ones are answered."""
        self.client.is_ending = True
        self._inbox.clear()
        self._end_if_done()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def _cut_off(self) -> bool:
        """End the connection at once, because others need its memory, if it waits for a client that does nothing."""
        waits_for_client = self._is_full or (not self._replies and self._inbox.is_empty)
        if (
            not waits_for_client
            or self._reading.idle_s(self.client.last_used) < self._server.limits.stalled_s
        ):
            return False
        self._reading.cut_off("a client that does nothing is cut off for others", self._hold.bytes)
        self._server.evicted += 1
        self.client.is_ending = True
        return True

    def _begin(self, arguments: Arguments) -> bool:
        """Begin one request. Returns False if it has to wait for earlier ones."""
        client = self.client
        row = BY_NAME.get(arguments[0])
        if row is None or row.subcommands or not row.accepts(len(arguments)):
            try:
                row = find(arguments)
            except CommandRefused as refused:
                client.is_ending = is_http(client, arguments)
                client.fail_transaction()
                return client.is_ending or self._put(refused.error)
        if client.queued is not None and not row.is_immediate:
            return self._put(queue(self._server, client, row, arguments))
        if self._reads_out and row.waits_for_reads:
            return False
        if self._writes_out and self._waits_for_writes(row, len(arguments)):
            return False
        client.last_command = row.name
        named = first_named(client) if row.name == "exec" else arguments
        begun = begin(self._server, client, row, arguments, may_be_large=self._may_be_large)
        if isinstance(begun, WaitingCall):
            if begun.wait_ms:
                self._wait(row, arguments, begun)
                return True
            begun = (begun.command, begun.reply_of)
        if isinstance(begun, LoginCall):
            self._replies.append(begin_login(self._server, self, begun))
            return True
        if type(begun) is tuple:
            return self._submit(row, named, begun)
        return self._put(begun)

    def _waits_for_writes(self, row: Row, count: int) -> bool:
        """True if a request with `count` arguments has to wait until the writes before it are answered."""
        if self._waits_for_all or row.waits_for_writes:
            return True
        return count > KEYS_ON_LOOP_MAX and row.build is not None and not row.waits_for_reads

    def _submit(self, row: Row, arguments: Arguments, call: Call) -> bool:
        """Submit an operation to the node. Returns False if the request has to wait after all."""
        server, (operation, reply_of) = self._server, call
        kind: type[Reply] = Reply
        if type(operation) not in _READ_TYPES:
            kind = WriteReply
        elif self._writes_out:
            operation, kind = TransactionOperation((cast(Command, operation),)), LoggedReadReply
        reply = kind(self, row, arguments, reply_of)
        try:
            node = server.wide_reader if row.is_wide_read else server.node
            if kind is Reply:
                stale = self.client.is_readonly and "readonly" in row.flags
                node.read(operation, reply.settle, stale=stale, user=self.client.user)
            else:
                node.submit(operation, reply.settle, user=self.client.user)
        except RaftdbError as error:
            if kind is LoggedReadReply and error.code == "no_space":
                # Outside the log a read needs no space, so it waits for the writes instead.
                return False
            return self._put(reply.refused(error))
        server.in_flight += 1
        if kind.is_write:
            self._writes_out += 1
            if row.name == "exec" or len(arguments) > KEYS_ON_LOOP_MAX:
                self._waits_for_all = keys_named(operation) > KEYS_ON_LOOP_MAX  # type: ignore[arg-type]
        else:
            self._reads_out += 1
        self._replies.append(reply)
        return True

    def _wait(self, row: Row, arguments: Arguments, call: WaitingCall) -> None:
        """Have the node hold a request until it can be served; no other is begun meanwhile."""
        reply = WaitReply(self, row, arguments, call.reply_of)
        try:
            reply.begin(call.command, call.wait_ms)
        except RaftdbError as error:
            self._put(reply.refused(error))
            return
        self.client.blocked = reply
        self._writes_out += 1
        self._replies.append(reply)

    def _give_up(self) -> None:
        """Give up the request that the node holds: its client has gone."""
        blocked, self.client.blocked = self.client.blocked, None
        if isinstance(blocked, WaitReply):
            self.node.leave(blocked.number)
            self._writes_out -= 1
            self._replies.pop()

    def _put(self, reply: object) -> bool:
        """Put a reply that needs no node in its place. Returns True: its request is begun, and done."""
        self._replies.append(ReadyReply(encode(reply, self.client.version)))
        return True

    def _end_with(self, error: Error) -> None:
        """Reply with an error, and end the connection once it is written."""
        self._put(error)
        self.client.is_ending = True
        self.write_replies()

    def _end_if_done(self) -> None:
        if self._replies or not self._inbox.is_empty or not (self.client.is_ending or self._at_end):
            return
        if not self._transport.is_closing():
            self._transport.close()

    def _count_memory(self) -> None:
        """Take memory for requests that wait, arrive or are queued, for watched keys, and for replies that were not
        read. Without room the connection ends, unless all of it is replies."""
        client = self.client
        replies = sum(len(reply.data) for reply in self._replies if reply.data is not None)
        replies += self._transport.get_write_buffer_size()
        requests = self._inbox.held_bytes + client.held_bytes
        requests += DECODED_FACTOR_SMALL * self._inbox.parsed_bytes
        try:
            self._hold.resize(requests + replies)
        except Unavailable as error:
            self._hold.set(requests + replies)
            if requests > COUNTED_BYTES_MIN and not client.is_ending:
                self._inbox.clear()
                client.leave_transaction()
                self._end_with(error_of(error))
