"""How much a node may still write: the owner reports measurements of the disk, and asks before anything that grows the
data.

A node whose disk is full stops, so growth ends while there is still a reserve, in two steps:

* *Short*: the reserve is touched. As a leader the node refuses growing commands. As a follower it goes on taking
  entries, because those under way, and the deletes after them, would otherwise be stuck; but it says that it is short
  with every heartbeat that it answers, and a leader refuses growth once the members that are not short are no majority.
* *Exhausted*: the last few megabytes are touched. The node takes no more commands from its leader. So one full disk
  does not stop its node: it lags behind a majority that has space, and catches up when it has space itself.

Other programs that fill the disk do not keep to such steps. Where hardly any space is left, a leader takes no writes at
all, and no checkpoint is made that has no room (`SpaceBudget.refusal`); a vote or a term, which must be written even
then, finds free pages in its own file.

Bytes that are written between two measurements count against the space that the last one found.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

from raftdb.core.messages import AppendEntries, HeartbeatReply, Message
from raftdb.core.model import EntryKind, NodeId, Role
from raftdb.core.quorum import is_majority
from raftdb.core.state import RaftState

GROWTH_OVERHEAD_BYTES = 512
"""The bytes that a command takes on the disk beside its own, which are there twice: in the log, and in the state."""
WRITE_BYTES = 1 << 20
"""The space that the disk must have even for a write that grows nothing: for its entry, and the pages copied for it."""


class SpaceBudget:
    """The space that is left of what was last measured, and what peers say of theirs.

    Before the first measurement there is no limit.
    """

    def __init__(self) -> None:
        self.grown_bytes = 0
        """The bytes on the disk that all accepted commands since the start may have come to."""
        self._reason: str | None = None
        self._short_at_bytes: int | None = None
        self._exhausted_at_bytes: int | None = None
        self._room_bytes: int | None = None
        self.checkpoint_bytes = 0
        """The bytes on the disk that a checkpoint would have taken at the last measurement."""
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
        """Take in a measurement made when `grown_bytes` had been accepted: why this node is short (None: it is not),
        and how much more it may write until it is short, and until it is exhausted. `room_bytes`: all space that the
        disk has."""
        self._room_bytes = room_bytes
        self._reason = reason
        self._short_at_bytes = grown_bytes + headroom_bytes
        self._exhausted_at_bytes = grown_bytes + last_headroom_bytes

    @property
    def is_spent(self) -> bool:
        """True if all space that the last measurement found was used up: only another one can tell what is left."""
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
        """Why not even a write that grows nothing and takes `needed_bytes` for a while may be made; None if it may.

        A write that finds no space ends the node. A refused one leaves it running until there is space again.
        """
        if self._room_bytes is None or self._room_bytes >= needed_bytes:
            return None
        return f"the disk is full: {self._room_bytes} bytes are left, and that takes {needed_bytes}"

    def take(self, data_bytes: int, *, commands: int = 1) -> None:
        """Count accepted commands that grow the data, of `data_bytes` together."""
        self.grown_bytes += 2 * data_bytes + GROWTH_OVERHEAD_BYTES * commands

    def says(self, messages: Sequence[Message]) -> Sequence[Message]:
        """`messages` as they leave: a node that is short of space says so with each heartbeat that it answers."""
        if self.shortage is None:
            return messages
        return [
            replace(message, is_short_of_space=True) if isinstance(message, HeartbeatReply) else message
            for message in messages
        ]

    def hears(self, message: Message) -> bool:
        """Take note of what a peer's message says about space, and count the space that it takes; False if it has to be
        dropped."""
        if isinstance(message, HeartbeatReply):
            if message.is_short_of_space:
                self._short_members.add(message.source)
            else:
                self._short_members.discard(message.source)
        elif isinstance(message, AppendEntries) and message.blocks:
            if self.is_exhausted and any(block.kind is EntryKind.COMMAND for block in message.blocks):
                return False
            data_bytes = sum(block.data_bytes for block in message.blocks)
            self.take(data_bytes, commands=message.entry_count)
        return True

    def shortage_of_members(self, core: RaftState, links: Set[NodeId]) -> str | None:
        """Why the cluster cannot grow although this node, its leader, could: the members that `links` reach and that
        are not short of space make no majority with it. None if they do, or another node leads."""
        short = self._short_members & links
        if not short or core.role is not Role.LEADER:
            return None
        if is_majority(core.configurations.voters, {*links, core.id} - short):
            return None
        return f"too many members are short of disk space: {', '.join(sorted(short))}"
