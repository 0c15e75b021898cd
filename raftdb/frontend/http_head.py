"""The limits on the head of a request, and the refusals of one that is too long or malformed."""

from collections.abc import Callable
from typing import TypeAlias

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from raftdb.errors import RequestRefused

REQUEST_LINE_BYTES_MAX = 8192
"""Longest target in a request line."""
HEADER_BYTES_MAX = 8190
"""Longest header field, its name and value together."""
HEADERS_MAX = 64
"""Most header fields of one request."""
HEAD_BYTES_MAX = 32 * 1024
"""Longest head of a request that arrives in more than one read; it is in memory before it can be judged."""
HEADS_COUNTED_MIN = 1024
"""Shorter heads that are arriving are not counted: there may be as many of them as connections."""
HEADS_BYTES_MAX = 16 << 20
"""All heads that are arriving, of all connections together: 500 of the longest."""

Cut: TypeAlias = Callable[[], None]
"""Cuts one connection off."""


class ArrivingHeads:
    """The heads that have begun to arrive, of all connections of a listener. Over `bytes_max` the connection whose head
    began first is cut off: others take a moment for theirs."""

    def __init__(self, bytes_max: int = HEADS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes_of: dict[Cut, int] = {}
        self.bytes = 0

    def arrived(self, cut: Cut, head_bytes: int) -> None:
        """So much of the head is there now of the connection that `cut` cuts off."""
        if head_bytes <= HEADS_COUNTED_MIN:
            return
        self.bytes += head_bytes - self._bytes_of.get(cut, 0)
        self._bytes_of[cut] = head_bytes
        while self.bytes > self._bytes_max:
            first = next(iter(self._bytes_of))
            self.ended(first)
            first()

    def ended(self, cut: Cut) -> None:
        """The head is whole, or its connection has gone; it need not be counted."""
        self.bytes -= self._bytes_of.pop(cut, 0)


def refusal_of(error: BaseException | None) -> RequestRefused:
    """The refusal of a request that aiohttp could not parse, given its error."""
    if isinstance(error, LineTooLong):
        if error.args[1] == REQUEST_LINE_BYTES_MAX:
            return head_refused(f"a target of more than {REQUEST_LINE_BYTES_MAX} bytes")
        return head_refused(f"a field of more than {HEADER_BYTES_MAX} bytes")
    if isinstance(error, BadHttpMessage) and error.message == "Too many headers received":
        return head_refused(f"more than {HEADERS_MAX} fields")
    return RequestRefused("bad_request", "this is not a well-formed HTTP/1.1 request")


def head_refused(what: str) -> RequestRefused:
    """The refusal of a head that is too large, because it has `what`."""
    return RequestRefused("head_too_large", f"the head of this request is too large: {what}")
