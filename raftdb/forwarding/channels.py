"""The ways to a leader: another node's executor over a connection, or this node's own."""

from collections.abc import Callable, Sequence
from typing import Protocol

from raftdb.forwarding.executor import Executor, Holding, Submit
from raftdb.forwarding.frames import (
    Outcome,
    Request,
    decode_answers,
    decode_requests,
    encode_answers,
    encode_outcome,
    encode_requests,
    frames_of,
)
from raftdb.forwarding.ports import ChannelEvents
from raftdb.memory import Hold
from raftdb.transport import ForwardEvents, ForwardStream


class Link(Protocol):
    """A connection to another node: see `raftdb.transport.ForwardLink`."""

    @property
    def has_room(self) -> bool:
        """True while it takes more."""
        ...

    def send(self, body: bytes) -> None:
        """Send a frame of requests."""

    def close(self) -> None:
        """End it; nothing is called any more."""


class HereChannel:
    """The way to this node's own driver, while it leads."""

    has_room = True

    def __init__(self, submit: Submit, held: Holding, memory: Hold, events: ChannelEvents) -> None:
        self._executor = Executor(
            submit, held, memory=memory, on_answers=events.on_answers, on_over=events.on_down
        )

    def send(self, requests: Sequence[Request]) -> None:
        """See `Channel`."""
        self._executor.take(requests)

    def close(self) -> None:
        """See `Channel`."""
        self._executor.end()


class LinkChannel:
    """The way to another node."""

    def __init__(self, dial: Callable[[ForwardEvents], Link], events: ChannelEvents) -> None:
        self._link = dial(
            ForwardEvents(
                on_room=events.on_room,
                on_answers=lambda body: events.on_answers(decode_answers(body)),
                on_down=events.on_down,
            )
        )

    @property
    def has_room(self) -> bool:
        """See `Channel`."""
        return self._link.has_room

    def send(self, requests: Sequence[Request]) -> None:
        """See `Channel`."""
        for frame in frames_of(requests, lambda request: len(request.payload)):
            self._link.send(encode_requests(frame))  # type: ignore[arg-type]  # requests, as they were

    def close(self) -> None:
        """See `Channel`."""
        self._link.close()


def execute_for(stream: ForwardStream, submit: Submit, held: Holding) -> Callable[[bytes], None]:
    """Execute what arrives on `stream`; returns what takes a frame of it."""

    def answer(answers: Sequence[tuple[int, Outcome]]) -> None:
        rows = [(number, encode_outcome(outcome)) for number, outcome in answers]
        for frame in frames_of(rows, lambda row: len(row[1])):
            stream.send(encode_answers(frame))

    executor = Executor(submit, held, memory=stream.memory, on_answers=answer, on_over=stream.close)
    stream.on_end = executor.end
    return lambda body: executor.take(decode_requests(body))
