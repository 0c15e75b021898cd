"""What a Redis client has sent and was not begun: bytes as they came, of which few are taken apart at a time.

A request that was taken apart takes many times the memory of its bytes if they are few, and processor time. So bytes
stay bytes until it is their turn: whoever sends a hundred thousand lines of one letter at once holds up nobody.
"""

from collections import deque

from raftdb.frontend.redis.rows import Arguments
from raftdb.wire.resp import RequestReader

AT_ONCE = 64
"""Requests that are taken apart at once."""
SLICE_BYTES = 4096
"""Bytes that are looked at for that, unless an argument is longer."""


class Inbox:
    """Those of one connection. `requests` are taken apart, in order; `parsed_bytes` is how long they were, at most."""

    __slots__ = ("_unread", "parsed_bytes", "reader", "requests", "unread_bytes")

    def __init__(self) -> None:
        self.reader = RequestReader(at_once=AT_ONCE)
        self.requests: deque[Arguments] = deque()
        self.parsed_bytes = 0
        self.unread_bytes = 0
        self._unread: deque[memoryview] = deque()

    @property
    def has_unread(self) -> bool:
        """True if there is something to take apart."""
        return bool(self._unread) or self.reader.has_more

    @property
    def is_empty(self) -> bool:
        """True if there is nothing, but for a request that is not all there."""
        return not self.requests and not self.has_unread

    @property
    def waiting_bytes(self) -> int:
        """How long all of it was as it came, at most."""
        return self.parsed_bytes + self.unread_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes that were not taken apart, and those of a request that is not all there."""
        return self.unread_bytes + self.reader.buffered_bytes

    def put(self, data: bytes) -> None:
        """Keep bytes that have arrived."""
        self._unread.append(memoryview(data))
        self.unread_bytes += len(data)

    def take_apart(self) -> bool:
        """Take some requests apart; returns whether there are any."""
        reader = self.reader
        data = b""
        if not reader.has_more:
            first, size = self._unread.popleft(), max(SLICE_BYTES, reader.wanted_bytes)
            if len(first) > size:
                self._unread.appendleft(first[size:])
                first = first[:size]
            data = bytes(first)
            self.unread_bytes -= len(data)
            self.parsed_bytes += len(data)
        found = reader.feed(data)
        if reader.error is not None:
            self._unread.clear()
            self.unread_bytes = 0
        self.requests.extend(found)
        return bool(found)

    def taken(self, count: int) -> deque[Arguments]:
        """Take requests apart until there are so many, or all that there are; returns those that wait."""
        while self.has_unread and len(self.requests) < count:
            self.take_apart()
        return self.requests

    def clear(self) -> None:
        """Drop everything."""
        self.requests.clear()
        self._unread.clear()
        self.reader.drop()
        self.parsed_bytes = self.unread_bytes = 0
