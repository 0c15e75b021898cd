"""The HTTP parser: every cut of the stream gives the same response; what is malformed is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.client.http1 import HEAD_BYTES_MAX, Response, ResponseParser, encode_request
from raftdb.errors import RemoteProtocolError

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
ZERO = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://h:1/x\r\nContent-Length: 0\r\n\r\n"


def parse(pieces: list[bytes]) -> Response | None:
    parser = ResponseParser()
    response = None
    for piece in pieces:
        assert response is None, "complete before the end"
        response = parser.feed(piece)
    return response


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (LENGTH, 200, b"hello"),
        (CHUNKED, 404, b"hello"),
        (INTERIM, 200, b"hello"),
        (EMPTY, 204, b""),
        (ZERO, 307, b""),
    ],
)
def test_each_framing_whole_and_byte_by_byte(data: bytes, status: int, body: bytes) -> None:
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        response = parse(pieces)
        assert response is not None
        assert (response.status, response.body, response.keep_alive) == (status, body, True)


@given(st.sampled_from([LENGTH, CHUNKED, INTERIM]), st.lists(st.integers(0, 120), max_size=6))
def test_any_cut_of_the_stream_gives_the_same_response(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    response = parse(pieces)
    assert response is not None
    assert response.body == b"hello"


def test_a_body_without_length_ends_with_the_connection_which_is_not_kept() -> None:
    parser = ResponseParser()
    assert parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel") is None
    assert parser.feed(b"lo") is None
    response = parser.end()
    assert response is not None
    assert (response.body, response.keep_alive) == (b"hello", False)


def test_an_answer_cut_short_is_no_answer() -> None:
    parser = ResponseParser()
    assert parser.feed(LENGTH[:-1]) is None
    assert parser.started
    assert parser.end() is None


@pytest.mark.parametrize(
    "header",
    [
        b"Connection: close\r\n",
        b"Connection: Close\r\n",
        b"Connection: keep-alive, close\r\n",
        b"Connection: close,x\r\n",
        b"Connection: close\r\nConnection: keep-alive\r\n",
    ],
)
def test_a_server_that_closes_is_believed(header: bytes) -> None:
    response = parse([b"HTTP/1.1 200 OK\r\n" + header + b"Content-Length: 0\r\n\r\n"])
    assert response is not None
    assert not response.keep_alive


@pytest.mark.parametrize("options", [b"keep-alive", b"Keep-Alive, x", b"x,keep-alive"])
def test_http_1_0_keeps_a_connection_if_it_says_so(options: bytes) -> None:
    for head, kept in (
        (b"Connection: " + options + b"\r\n", True),
        (b"Connection: x\r\n", False),
        (b"", False),
    ):
        response = parse([b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n" + head + b"\r\n"])
        assert response is not None
        assert response.keep_alive == kept


@pytest.mark.parametrize("size", [b"5", b"05", b"5 ", b"5;a=b", b"5\t;x", b"0000000000000005"])
def test_the_size_of_a_chunk_may_have_extensions(size: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = parse([head + size + b"\r\nhello\r\n0\r\n\r\n"])
    assert response is not None
    assert response.body == b"hello"


def test_bytes_behind_the_answer_end_the_connection() -> None:
    response = parse([LENGTH + b"HTTP/1.1 200 OK\r\n"])
    assert response is not None
    assert not response.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"-ERR unknown command\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        *(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n"
            for size in (b"0x2e", b"+2e", b"2_e", b" 2e", b"2e\n", b"", b";a=b", b"1" * 17)
        ),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n",
        b"x" * (HEAD_BYTES_MAX + 1),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    ],
)
def test_malformed_or_oversized_answers_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ResponseParser().feed(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n123456789",
    ],
)
def test_a_body_over_the_limit_is_refused_before_it_is_stored(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="more than 8 bytes"):
        ResponseParser(body_bytes_max=8).feed(data)


def test_a_request_is_one_piece() -> None:
    data = encode_request("POST", "/v1/execute", host="h:1", body=b"{}")
    assert data.startswith(b"POST /v1/execute HTTP/1.1\r\nHost: h:1\r\n")
    assert data.endswith(b"Content-Length: 2\r\n\r\n{}")
    assert b"Content-Length" not in encode_request("GET", "/v1/status", host="h:1")


class Collected:
    """A sink in memory."""

    def __init__(self) -> None:
        self.heads: list[Response] = []
        self.content = b""

    def begin(self, head: Response) -> None:
        self.heads.append(head)

    def write(self, piece: bytes) -> None:
        assert piece, "an empty piece"
        self.content += piece


@pytest.mark.parametrize("data", [LENGTH, INTERIM, CHUNKED.replace(b"404 Not Found", b"200 OK")])
def test_a_sink_takes_the_body_of_a_success_however_long_it_is(data: bytes) -> None:
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        sink = Collected()
        parser = ResponseParser(body_bytes_max=1, sink=sink)
        responses = [parser.feed(piece) for piece in pieces]
        assert responses[-1] is not None
        assert (responses[-1].status, responses[-1].body) == (200, b"")
        assert (sink.content, len(sink.heads), parser.streaming) == (b"hello", 1, True)


def test_a_sink_takes_nothing_of_an_error() -> None:
    sink = Collected()
    response = ResponseParser(sink=sink).feed(CHUNKED)
    assert response is not None
    assert (response.status, response.body) == (404, b"hello")
    assert (sink.content, sink.heads) == (b"", [])
