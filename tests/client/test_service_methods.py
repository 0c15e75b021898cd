"""Requests about queues and locks, and what their answers come to: as values, without a node."""

from itertools import count
from typing import Any

import pytest

from raftdb.client import sync_queues
from raftdb.client.service_methods import Delivery, nack, put_arguments, put_many_arguments
from raftdb.client.sync_client import Client
from raftdb.client.sync_queues import Queue
from raftdb.limits import MESSAGE_ERROR_BYTES_MAX


def arguments(method: Any) -> list[Any]:
    """The arguments of the command that a method sends."""
    words: list[Any] = method.request.content["args"]
    return words


def test_of_a_very_long_error_the_beginning_is_sent() -> None:
    """One of more than a command may have would be refused, and the message would only come back by itself."""
    method = nack(b"q", b"1-0-1", delay=None, error="é" * (2 << 20), free=False, dead=True)
    queue, receipt, option, error, how = arguments(method)
    assert (queue, receipt, option, how) == ("q", "1-0-1", "ERROR", "DEAD")
    assert error == "é" * MESSAGE_ERROR_BYTES_MAX


class Answering:
    """A client whose calls have these results, one after the other."""

    def __init__(self, *results: object) -> None:
        self._results = list(results)
        self.sent: list[list[Any]] = []

    def _run(self, method: Any) -> object:
        self.sent.append([method.request.content["command"], *arguments(method)])
        return self._results.pop(0)


def test_deliveries_that_were_handed_out_too_long_ago_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is over, and it is not known which: the others must not stay hidden, and count as failed."""
    found = [Delivery("1-0", b"1-0-1", 1, b"a"), Delivery("2-0", b"2-0-1", 1, b"b")]
    client: Any = Answering(found, 1, 0, 1)
    queue = Queue(Client("127.0.0.1:1"), "q")
    monkeypatch.setattr(sync_queues, "now_ms", count(0, 20_000).__next__)
    assert queue._fetch(client, 2, 30, 0, 50) == []
    receive, extended, *given_back = client.sent
    assert (receive[0], extended[0]) == ("receive", "extend")
    assert given_back == [["nack", "q", receipt, "FREE"] for receipt in ("1-0-1", "2-0-1")]


def test_the_options_of_a_message_are_sent_in_their_words_and_what_is_none_is_left_out() -> None:
    assert put_arguments(b"mail", "v", {"priority": 9, "delay": 0.25, "dedup": "m-1", "group": None}) == [
        b"mail",
        b"v",
        b"DELAY",
        b"0.250",
        b"DEDUP",
        b"m-1",
        b"PRIORITY",
        b"9",
    ]


def test_an_option_that_there_is_not_is_refused() -> None:
    unknown: Any = {"delays": 1}
    with pytest.raises(TypeError, match="'delays'"):
        put_arguments(b"mail", "v", unknown)
    of_one: Any = {"dedup": "m-1"}
    with pytest.raises(TypeError, match="'dedup'"):
        put_many_arguments(b"mail", "v", of_one)
