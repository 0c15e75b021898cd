"""The limits on the head of a request, and the refusals of one that is too long or malformed."""

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
