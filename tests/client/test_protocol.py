"""Requests as they are sent."""

from raftdb.client.protocol import Kind, Request, Stamp

EXECUTE = {"command": "receive", "args": ["jobs"]}


def test_a_request_that_waits_asks_for_what_is_left_of_its_time() -> None:
    request = Request("POST", "/v1/execute", EXECUTE, Kind.WRITE, wait_ms=20_000)
    stamped = request.stamped(Stamp("ab", 1, 1))
    assert stamped.held(12_345.6).content == {
        "command": "receive",
        "args": ["jobs"],
        "session": {"id": "ab", "seq": 1, "acknowledged": 1},
        "wait_ms": 12_345,
    }
    assert request.content == EXECUTE


def test_one_that_does_not_wait_is_sent_as_it_is() -> None:
    request = Request("POST", "/v1/execute", EXECUTE, Kind.WRITE)
    assert request.held(5.0) is request
