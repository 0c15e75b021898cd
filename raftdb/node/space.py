"""How much a node may still write: told by whoever measures the disk, asked before anything that grows the data.

A node whose disk is full stops, so growth ends while there is still a reserve, in two steps:

* *Short*: the reserve is touched. As a leader the node refuses growing commands. As a follower it goes on taking
  entries, for those under way would else be stuck, and the deletes behind them; but it says so with every heartbeat
  that it answers, and a leader refuses growth once the members that are not short are no majority.
* *Exhausted*: the last few megabytes are touched. The node takes no more commands from its leader. So one full disk
  does not stop its node: it lags behind a majority that has space, and catches up when it has space itself.

What others put on the disk knows no such steps. Where hardly anything is left at all, a leader takes no writes either,
and no checkpoint is made that has no room (`SpaceBudget.refusal`); what must be written then, a vote or a term, finds
pages of its own file that are free.

What is written between two measurements counts against what the last one found.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

from raftdb.core.messages import AppendEntries, HeartbeatReply, Message
from raftdb.core.model import EntryKind, NodeId, Role
from raftdb.core.quorum import is_majority
from raftdb.core.state import RaftState

GROWTH_OVERHEAD_BYTES = 512
"""What a command takes on the disk beside its own bytes, which are there twice: in the log, and in the state."""
WRITE_BYTES = 1 << 20
"""What the disk must have at all for a write that grows nothing: its entry, and the pages that are copied for it."""


class SpaceBudget:
    """What is left of the space that was found at the last look, and what peers say of theirs.

    Without a look there is no limit.
    """

    def __init__(self) -> None:
        self.grown_bytes = 0
        """What was taken on may have come to so much on the disk, since the start."""
        self._reason: str | None = None
        self._short_at_bytes: int | None = None
        self._exhausted_at_bytes: int | None = None
        self._room_bytes: int | None = None
        self.checkpoint_bytes = 0
        """What a checkpoint would have taken on the disk at the last look."""
        self._short_members: set[NodeId] = set()

    def measured(
        self,
        reason: str | None,
        *,
        grown_bytes: int,
        headroom_bytes: int,
        last_headroom_bytes: int,
        room_bytes: int | None = None,
    ) -> None:
        """What was found when `grown_bytes` had been taken on: why this node is short (None: it is not), and how much
        more it may write until it is short, and until it is exhausted. `room_bytes`: what the disk has at all."""
        self._room_bytes = room_bytes
        self._reason = reason
        self._short_at_bytes = grown_bytes + headroom_bytes
        self._exhausted_at_bytes = grown_bytes + last_headroom_bytes

    @property
    def is_spent(self) -> bool:
        """True if all was used up that the last look found: only another look can tell what is left."""
        return self._short_at_bytes is not None and self.grown_bytes >= self._short_at_bytes

    @property
    def shortage(self) -> str | None:
        """Why this node is short of space, for people; None if it is not."""
        if self._reason is not None:
            return self._reason
        return "all space that was left is used" if self.is_spent else None

    @property
    def is_exhausted(self) -> bool:
        """True if only what this node needs for itself is left."""
        return self._exhausted_at_bytes is not None and self.grown_bytes >= self._exhausted_at_bytes

    def refusal(self, needed_bytes: int) -> str | None:
        """Why not even what grows nothing may be written, which takes `needed_bytes` for a while; None if it may.

        A write that finds no space ends the node, and whoever filled its disk may make room again.
        """
        if self._room_bytes is None or self._room_bytes >= needed_bytes:
            return None
        return f"the disk is full: {self._room_bytes} bytes are left, and that takes {needed_bytes}"

    def take(self, data_bytes: int, *, commands: int = 1) -> None:
        """Count what was taken on: growing commands of `data_bytes` together."""
        self.grown_bytes += 2 * data_bytes + GROWTH_OVERHEAD_BYTES * commands

    def says(self, messages: Sequence[Message]) -> Sequence[Message]:
        """`messages` as they leave: who is short of space says so with each heartbeat that it answers."""
        if self.shortage is None:
            return messages
        return [
            replace(message, is_short_of_space=True) if isinstance(message, HeartbeatReply) else message
            for message in messages
        ]

    def hears(self, message: Message) -> bool:
        """Take note of what a peer's message says about space, and takes of it; False if it is not to be taken in."""
        if isinstance(message, HeartbeatReply):
            if message.is_short_of_space:
                self._short_members.add(message.source)
            else:
                self._short_members.discard(message.source)
        elif isinstance(message, AppendEntries) and message.entries:
            if self.is_exhausted and any(entry.kind is EntryKind.COMMAND for entry in message.entries):
                return False
            self.take(sum([len(entry.data) for entry in message.entries]), commands=len(message.entries))
        return True

    def shortage_of_members(self, core: RaftState, links: Set[NodeId]) -> str | None:
        """Why the cluster cannot grow, though this node, its leader, could: the members that `links` reach and that
        are not short of space are no majority with it. None if they are, or another leads."""
        short = self._short_members & links
        if not short or core.role is not Role.LEADER:
            return None
        if is_majority(core.configurations.voters, {*links, core.id} - short):
            return None
        return f"too many members are short of disk space: {', '.join(sorted(short))}"
