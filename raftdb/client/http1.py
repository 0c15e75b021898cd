"""The part of HTTP/1.1 that the client needs: encoding a request, and parsing a response. No I/O.

Considered and rejected: `http.client` imports `email` and `ssl` (50 ms of the 150 ms that a one-shot command may take),
its timeouts are per read instead of per call, so that a server that sends byte by byte holds the caller for ever, and
it reads bodies of any size. The client needs little: a status, headers, and a body by Content-Length, in chunks, or up
to the end of the connection (RFC 9112, section 6.3). `h11` is sound, pure Python and quick to import, but takes 46
microseconds for one exchange (version 0.16, measured) where this module takes 5, and a whole call of the client 60.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from raftdb.errors import RemoteProtocolError, required
from raftdb.wire.json_bytes import RESPONSE_BYTES_MAX

HEAD_BYTES_MAX = 64 * 1024
"""Most bytes of a status line and headers together, and of one chunk-size line."""

CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;|\Z)")
"""A chunk's size (RFC 9112, section 7.1): hexadecimal digits only. `int` would also take signs, `0x` and `_`."""

LENGTH = re.compile(r"[0-9]{1,19}")
"""A length, or an index, in a header. `int` would also take signs, spaces and other scripts' digits, and fail on
thousands of them."""

_CRLF = b"\r\n"


class NotSent(Exception):
    """No connection could be made, so nothing was sent. The text is the reason."""


class AnswerLost(Exception):
    """The request was sent, wholly or in part, and no complete answer came. The text is the reason."""


class Interrupted(Exception):
    """The exchange was broken off by the client itself, which does not want its answer any more."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response: `status` 200..599, `headers` by lower-case name, the whole `body`, and whether the
    server keeps the connection (`keep_alive`)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    keep_alive: bool = True


def encode_request(
    method: str, target: str, *, host: str, body: bytes | None = None, headers: Sequence[str] = ()
) -> bytes:
    """The bytes of one request: head and body in one piece, so that a small request is one packet.

    `target` is the path with its query, percent-encoded by the caller; `body` is JSON, and `headers` are further lines
    of the head.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Accept: application/json", "User-Agent: raftdb"]
    lines += headers
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


class Sink(Protocol):
    """Takes a body that is too long for memory. If it raises, the exchange ends with that exception."""

    def begin(self, head: Response) -> None:
        """Take the head of a response with status 200. It is called again if the exchange broke off and is repeated."""

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body, which is never empty."""


class ResponseParser:
    """Parses received bytes into the `Response` to one request.

    The bytes may be cut anywhere. Malformed or oversized input raises `RemoteProtocolError`, after which the connection
    has to be closed.
    """

    def __init__(self, *, body_bytes_max: int = RESPONSE_BYTES_MAX, sink: Sink | None = None) -> None:
        """`sink` takes the body of a response with status 200 piece by piece, however long it is; `body` is empty
        then."""
        self._buffer = bytearray()
        self._body = bytearray()
        self._body_bytes_max = body_bytes_max
        self._offered_sink = sink
        self._sink: Sink | None = None
        self._head: Response | None = None
        # "head", then "length", "until_close", or, for a chunked body, "size", "chunk" and at last "trailer".
        self._framing = "head"
        # Bytes of the body ("length"), or of the chunk and its CRLF ("chunk"), that are still to come.
        self._left = 0
        # No head ends before this place of the buffer: it is not looked through again.
        self._searched = 0

    @property
    def started(self) -> bool:
        """True once any byte of the answer has arrived."""
        return self._head is not None or bool(self._buffer)

    @property
    def has_sink(self) -> bool:
        """True if the body may go to a sink, so that `feed` may block as long as the sink does."""
        return self._offered_sink is not None

    @property
    def streaming(self) -> bool:
        """True once the body is going to the sink."""
        return self._sink is not None

    def feed(self, data: bytes) -> Response | None:
        """Take received bytes (at least one). Returns the response if it is complete now, else None."""
        self._searched = max(0, len(self._buffer) - len(_CRLF + _CRLF) + 1)
        self._buffer += data
        if self._framing == "head" and not self._parse_head():
            return None
        return self._parse_body()

    def end(self) -> Response | None:
        """Take the end of the connection. Returns the response if its body ends by that, else None."""
        return self._complete() if self._framing == "until_close" else None

    def _parse_head(self) -> bool:
        """Read the status line and headers, skipping interim (1xx) responses; True once they are complete."""
        while True:
            end = self._buffer.find(_CRLF + _CRLF, self._searched)
            if max(end, 0 if end >= 0 else len(self._buffer)) > HEAD_BYTES_MAX:
                raise RemoteProtocolError(
                    f"the head of an HTTP response is longer than {HEAD_BYTES_MAX} bytes"
                )
            if end < 0:
                return False
            head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            self._searched = 0
            version, status, headers = _parse_head_text(head)
            if status >= 200:
                break
        self._head = Response(status, headers, keep_alive=_keeps_alive(version, headers))
        if status == 200 and self._offered_sink is not None:
            self._sink = self._offered_sink
        self._choose_framing(status, headers)
        if self._sink is not None:
            self._sink.begin(self._head)
        return True

    def _choose_framing(self, status: int, headers: Mapping[str, str]) -> None:
        """Find out how the body ends (RFC 9112, section 6.3). Both framings at once, by which requests are smuggled,
        are refused."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise RemoteProtocolError("an HTTP response with an unexpected Transfer-Encoding")
            self._framing = "size"
        elif status in (204, 304):
            self._framing, self._left = "length", 0
        elif length is not None:
            if LENGTH.fullmatch(length) is None:
                raise RemoteProtocolError("an HTTP response whose Content-Length is not a number")
            self._framing, self._left = "length", int(length)
            self._check_body_size(self._left)
        else:
            self._framing = "until_close"

    def _parse_body(self) -> Response | None:
        """Move received bytes to the body. Returns the response if it is complete, else None."""
        if self._framing == "until_close":
            self._take(len(self._buffer))
            return None
        if self._framing == "length":
            self._left -= self._take(self._left)
            return self._complete() if self._left == 0 else None
        return self._parse_chunks()

    def _parse_chunks(self) -> Response | None:
        """Chunked coding (RFC 9112, section 7.1): size line, data, CRLF, ..., a chunk of 0, trailers, empty
        line."""
        while True:
            if self._framing == "chunk":
                data_left = self._left - len(_CRLF)
                if data_left > 0:
                    self._left -= self._take(data_left)
                if self._left > len(_CRLF) or len(self._buffer) < self._left:
                    return None
                del self._buffer[: self._left]
                self._framing = "size"
            line = self._take_line()
            if line is None:
                return None
            if self._framing == "trailer":
                if not line:
                    return self._complete()
            else:
                self._start_chunk(line)

    def _start_chunk(self, line: bytes) -> None:
        """Read a chunk-size line; extensions after `;` are ignored."""
        digits = CHUNK_SIZE.match(line)
        if digits is None:
            raise RemoteProtocolError("an HTTP chunk whose size is not a number")
        size = int(digits[1], 16)
        self._check_body_size(len(self._body) + size)
        self._framing, self._left = ("chunk", size + len(_CRLF)) if size else ("trailer", 0)

    def _take_line(self) -> bytes | None:
        """The next whole line without its CRLF, or None."""
        end = self._buffer.find(_CRLF)
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise RemoteProtocolError("a line of a chunked HTTP response is too long")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _take(self, count: int) -> int:
        """Move up to `count` received bytes to the body or the sink; returns how many."""
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        if self._sink is not None:
            if piece:
                self._sink.write(piece)
        else:
            self._check_body_size(len(self._body) + len(piece))
            self._body += piece
        return len(piece)

    def _check_body_size(self, size: int) -> None:
        if self._sink is None and size > self._body_bytes_max:
            raise RemoteProtocolError(f"an HTTP response of more than {self._body_bytes_max} bytes")

    def _complete(self) -> Response:
        """The complete response. If bytes follow its end, which no request asked for, the connection is not kept."""
        head = required(self._head, "head of a response that is complete")
        keep_alive = head.keep_alive and self._framing != "until_close" and not self._buffer
        return Response(head.status, head.headers, bytes(self._body), keep_alive)


def _parse_head_text(head: bytes) -> tuple[str, int, dict[str, str]]:
    """The version, status and headers by lower-case name of a head without its final empty line."""
    status_line, *header_lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit() and len(code) == 3):
        raise RemoteProtocolError("the answer is not HTTP", hint="is that address a node's --listen address?")
    headers: dict[str, str] = {}
    for line in header_lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise RemoteProtocolError("an HTTP response with a malformed header")
        name = name.lower()
        if name == "content-length" and headers.get(name, value.strip()) != value.strip():
            raise RemoteProtocolError("an HTTP response with two different Content-Lengths")
        # A list may come as several fields of the name (RFC 9110, section 5.3).
        is_list = name in ("connection", "transfer-encoding") and name in headers
        headers[name] = f"{headers[name]}, {value.strip()}" if is_list else value.strip()
    return version, int(code), headers


def _keeps_alive(version: str, headers: Mapping[str, str]) -> bool:
    """Whether the connection outlives this response (RFC 9112, section 9.3)."""
    options = {option.strip() for option in headers.get("connection", "").lower().split(",")}
    return "close" not in options and (version == "HTTP/1.1" or "keep-alive" in options)
