"""Requests about queues and locks, and what their answers come to: as values, without a node."""

from typing import Any

from raftdb.client.service_methods import nack
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
