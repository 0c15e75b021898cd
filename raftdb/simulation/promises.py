"""Checking that a message is sent only after what it says is synced (thesis 3.8; hazard B02).

A message may leave a node only if a crash at that moment, with all unsynced writes lost, could not undo what it says.
The rule is checked where the message is sent, so a broken promise is found at once, and not only when a crash happens
to do harm.
"""

from typing import Protocol

from raftdb.core.messages import (
    AppendEntriesReply,
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raftdb.core.model import Index, NodeId, Term
from raftdb.errors import InvariantBroken


class PromiseBroken(InvariantBroken):
    """A message says what a crash could still undo."""


class SyncedDisk(Protocol):
    """The content of one node's disk that would survive a crash now, and that would have survived earlier ones."""

    @property
    def synced_term(self) -> Term:
        """The term in the synced hard state."""
        ...

    def synced_vote(self, term: Term) -> NodeId | None:
        """The node that the synced hard state voted for in `term`; None if there was no vote."""

    def has_synced(self, index: Index, term: Term) -> bool:
        """True if the log of the leader of `term` was synced here up to `index`."""
        ...


def check_promise(message: Message, disk: SyncedDisk) -> None:
    """Raise `PromiseBroken` unless the sender's disk keeps what `message` says."""
    spoken_term = message.term
    if isinstance(message, RequestPreVote) or (isinstance(message, RequestPreVoteReply) and message.granted):
        # The term of a pre-vote has not begun, so only an earlier one must be synced.
        spoken_term = min(spoken_term - 1, disk.synced_term)
    if spoken_term > disk.synced_term:
        raise PromiseBroken(f"spoke in term {spoken_term}, synced is {disk.synced_term}: {message}")
    if isinstance(message, RequestVote) and disk.synced_vote(message.term) != message.source:
        raise PromiseBroken(f"asks for votes before its own is synced: {message}")
    if isinstance(message, RequestVoteReply) and message.granted:
        vote = disk.synced_vote(message.term)
        if vote != message.target:
            raise PromiseBroken(f"grants a vote, synced is one for {vote}: {message}")
    if (
        isinstance(message, AppendEntriesReply)
        and message.success
        and not disk.has_synced(message.match_index, message.term)
    ):
        raise PromiseBroken(f"acknowledges entries that are not synced: {message}")
