"""What a connection holds in memory for its present request, against the node's account (`raftdb.memory`).

The body takes its place as it arrives, and several times its length once it is whole, for what is made of it. The
answer takes its place before it is written, and gives it back when the client has read all but the last bytes of it.
"""

from typing import Protocol, cast

from aiohttp import web

from raftdb.errors import OutcomeUnknown, Unavailable
from raftdb.memory import ANSWER_FACTOR, DECODED_FACTOR, DECODED_FACTOR_SMALL, LARGE_BYTES, Hold

COUNTED_BYTES_MIN = 1024
"""Shorter bodies and answers are not counted: most are, and all that may be in flight together take 32 MiB."""


class _Holding(Protocol):
    """A connection of `raftdb.frontend.http_server`."""

    memory: Hold


def held_for(request: web.BaseRequest) -> Hold:
    """What the connection of the request has taken."""
    return cast(_Holding, request.protocol).memory


def hold_body(request: web.BaseRequest, body_bytes: int) -> None:
    """The body is whole: take what it will be decoded to. Raises Unavailable (`busy`)."""
    if body_bytes > COUNTED_BYTES_MIN:
        factor = DECODED_FACTOR if body_bytes > LARGE_BYTES else DECODED_FACTOR_SMALL
        held_for(request).resize(factor * body_bytes)


def hold_answer(request: web.BaseRequest, value_bytes: int, *, was_written: bool) -> None:
    """There is an answer of about so many bytes: take what it will be encoded to.

    Raises Unavailable (`busy`); after a write, which has taken effect, OutcomeUnknown.
    """
    if value_bytes <= COUNTED_BYTES_MIN:
        return
    try:
        held_for(request).grow(ANSWER_FACTOR * value_bytes)
    except Unavailable as error:
        if not was_written:
            raise
        raise OutcomeUnknown(
            "it was executed, but there is no memory for its answer", hint="send fewer such requests at once"
        ) from error
