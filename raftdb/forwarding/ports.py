"""The world as the forwarder uses it: the node that it belongs to, and the ways to leaders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from raftdb.errors import LeaderHint
from raftdb.forwarding.frames import Outcome, Request
from raftdb.machine.operations import Submission
from raftdb.node.effects import OnAnswer


class Channel(Protocol):
    """A way to one leader."""

    @property
    def has_room(self) -> bool:
        """True if it takes requests now."""
        ...

    def send(self, requests: Sequence[Request]) -> None:
        """Have them executed, in order."""

    def close(self) -> None:
        """Nothing that comes of it is wanted any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelEvents:
    """What a channel calls, never before it was made: `on_room` when it takes requests, `on_answers` with answers, and
    `on_down` once, when it is over."""

    on_room: Callable[[], None]
    on_answers: Callable[[Sequence[tuple[int, Outcome]]], None]
    on_down: Callable[[str], None]


OpenChannel = Callable[[LeaderHint | None, ChannelEvents], Channel]
"""Opens a channel to a leader; None: to this node itself, as the leader."""


class OwnNode(Protocol):
    """The node that took the requests."""

    def submit(self, operation: Submission, on_answer: OnAnswer) -> None:
        """Run one operation here; see `raftdb.node.driver.Driver.submit`."""

    def is_leader(self) -> bool:
        """True while this node leads, as far as it knows."""
        ...

    def leader_hint(self) -> LeaderHint | None:
        """The leader, as far as this node knows; None if it knows none."""
