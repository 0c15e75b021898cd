"""The memory that a connection takes for its request from the node's account (`raftdb.memory`).

A body takes memory as it arrives, and several times its length once it is complete, for decoding. An answer takes
memory before it is encoded, and gives it back when the client has read all but its last bytes.
"""

from typing import Protocol, cast

from aiohttp import web

from raftdb.errors import OutcomeUnknown, Unavailable
from raftdb.memory import ANSWER_FACTOR, DECODED_FACTOR, DECODED_FACTOR_SMALL, LARGE_BYTES, Hold

COUNTED_BYTES_MIN = 1024
"""Shorter bodies and answers are not counted. Most are that short, and as many as may be in flight take 32 MiB."""


class _Holding(Protocol):
    """A connection of `raftdb.frontend.http_server`."""

    memory: Hold


def held_for(request: web.BaseRequest) -> Hold:
    """The memory that the connection of the request has taken."""
    return cast(_Holding, request.protocol).memory


def hold_body(request: web.BaseRequest, body_bytes: int) -> None:
    """Take memory for decoding a complete body. Raises Unavailable (`busy`)."""
    if body_bytes > COUNTED_BYTES_MIN:
        factor = DECODED_FACTOR if body_bytes > LARGE_BYTES else DECODED_FACTOR_SMALL
        held_for(request).resize(factor * body_bytes)


def hold_answer(request: web.BaseRequest, value_bytes: int, *, was_written: bool) -> None:
    """Take memory for encoding an answer of about this length.

    Raises Unavailable (`busy`), or OutcomeUnknown after a write, which has taken effect.
    """
    take_for_answer(held_for(request), value_bytes, was_written=was_written)


def take_for_answer(held: Hold, value_bytes: int, *, was_written: bool) -> None:
    """The same for a connection that holds `held`."""
    if value_bytes <= COUNTED_BYTES_MIN:
        return
    try:
        held.grow(ANSWER_FACTOR * value_bytes)
    except Unavailable as error:
        if not was_written:
            raise
        raise OutcomeUnknown(
            "the write was executed, but there is no memory for its answer",
            hint="send fewer such requests at once",
        ) from error
