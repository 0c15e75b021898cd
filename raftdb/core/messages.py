"""The messages between nodes (thesis figure 3.1, and 9.6 for the pre-vote).

Every message names its sender, its receiver and a term. `term` is the sender's current term, but for the pre-vote:
a `RequestPreVote` carries the term the sender *would* start, and a granted reply echoes that term.
Requests for votes carry when they were made, `asked_ticks` of the candidate's own clock (0: it does not say), and the
answers echo it, so that also a late one shows how long the way there and back is.
Messages are frozen: in one process they may be shared, between processes `raftdb.wire.peer` encodes them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from raftdb.core.block import Block
from raftdb.core.model import Index, NodeId, Term


@dataclass(frozen=True, slots=True)
class RequestPreVote:
    """Would you vote for me, if I started `term`? Changes nothing at the receiver (thesis 9.6)."""

    source: NodeId
    target: NodeId
    term: Term
    last_index: Index
    last_term: Term
    asked_ticks: int = 0

    def answered(self, term: Term, *, granted: bool) -> "RequestPreVoteReply":
        """The answer of the voter, which echoes when it was asked."""
        return RequestPreVoteReply(self.target, self.source, term, granted, self.asked_ticks)


@dataclass(frozen=True, slots=True)
class RequestPreVoteReply:
    """Answer to `RequestPreVote`. Granted: `term` is the proposed one. Refused: `term` is the voter's own."""

    source: NodeId
    target: NodeId
    term: Term
    granted: bool
    asked_ticks: int = 0


@dataclass(frozen=True, slots=True)
class RequestVote:
    """Vote for me in `term` (thesis 3.4). The last entry lets the voter judge the log (thesis 3.6.1).

    `transfer` marks a candidate that the leader asked to take over: it may be elected while a leader lives.
    """

    source: NodeId
    target: NodeId
    term: Term
    last_index: Index
    last_term: Term
    transfer: bool = False
    asked_ticks: int = 0

    def answered(self, term: Term, *, granted: bool) -> "RequestVoteReply":
        """The answer of the voter, which echoes when it was asked."""
        return RequestVoteReply(self.target, self.source, term, granted, self.asked_ticks)


@dataclass(frozen=True, slots=True)
class RequestVoteReply:
    """The voter's answer for `term`. It leaves only once the vote is on the voter's disk."""

    source: NodeId
    target: NodeId
    term: Term
    granted: bool
    asked_ticks: int = 0


@dataclass(frozen=True, slots=True)
class AppendEntries:
    """Blocks of entries that follow (`previous_index`, `previous_term`), in order and without a gap (thesis 3.5).

    `blocks` may be empty: then it only asks whether the logs agree up to `previous_index`.
    """

    source: NodeId
    target: NodeId
    term: Term
    previous_index: Index
    previous_term: Term
    commit_index: Index
    blocks: tuple[Block, ...]

    @property
    def last_index(self) -> Index:
        """The last entry; `previous_index` if there is none."""
        return self.blocks[-1].last_index if self.blocks else self.previous_index

    @property
    def entry_count(self) -> int:
        """The number of entries."""
        return self.last_index - self.previous_index


@dataclass(frozen=True, slots=True)
class AppendEntriesReply:
    """Answer to `AppendEntries` at `previous_index`.

    Success: the follower holds, on disk, the leader's log up to `match_index`.
    Rejected: `match_index` is meaningless; the logs may agree at most up to (`hint_index`, `hint_term`), the
    follower's last entry whose term is not above the probe's (fast back-up, thesis 3.5 end).
    """

    source: NodeId
    target: NodeId
    term: Term
    previous_index: Index
    success: bool
    match_index: Index
    hint_index: Index = 0
    hint_term: Term = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """I lead `term`. `commit_index` is never above what the receiver is known to hold (hazard B14).

    `round` numbers the leader's heartbeat rounds within its term; ReadIndex counts the answers (thesis 6.4).
    `time_ms` is the cluster clock as the leader counts it, 0 while it does not know the time. The core only carries it:
    the node around the core writes and reads it (`raftdb.node.clock`).
    """

    source: NodeId
    target: NodeId
    term: Term
    commit_index: Index
    round: int
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """The follower still follows the sender of `round` in `term`. Round 0: the heartbeat was of an older term.

    `election_timeout_ms`: how long the follower waits for a leader at least (0: it does not say).
    The core only carries `is_short_of_space`: the node around the core writes and reads it (`raftdb.node.space`).
    """

    source: NodeId
    target: NodeId
    term: Term
    round: int
    is_short_of_space: bool = False
    election_timeout_ms: int = 0


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """The entries that you lack are gone from my log: fetch my snapshot, which has all entries up to (`last_index`,
    `last_term`) applied.

    The file is fetched beside the log's messages, from the sender (thesis 5; of the thesis' RPC this is what the core
    has to judge). It has `size_bytes` and the SHA-256 `digest`, which tells it from all others. `configuration` is the
    one in force at `last_index`, as the data of a CONFIGURATION entry, and was appended at `configuration_index`.
    Answered by `AppendEntriesReply` once the snapshot is in place, or if it is not needed.
    """

    source: NodeId
    target: NodeId
    term: Term
    last_index: Index
    last_term: Term
    configuration_index: Index
    configuration: bytes
    size_bytes: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """Take over: you hold my whole log, up to (`last_index`, `last_term`). Do not wait for your timeout (thesis 3.10).

    A receiver whose log ends elsewhere by now ignores the message, because it comes late.
    """

    source: NodeId
    target: NodeId
    term: Term
    last_index: Index
    last_term: Term


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """From which index on may I serve the reads that I gathered before I numbered this question? (thesis 6.4)

    `number` tells the questions of a node apart, also from those of its earlier starts. A question may come twice.
    """

    source: NodeId
    target: NodeId
    term: Term
    number: int


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    """From `read_index` on: a round that was begun after question `number` had come has confirmed it."""

    source: NodeId
    target: NodeId
    term: Term
    number: int
    read_index: Index


Message: TypeAlias = (
    RequestPreVote
    | RequestPreVoteReply
    | RequestVote
    | RequestVoteReply
    | AppendEntries
    | AppendEntriesReply
    | Heartbeat
    | HeartbeatReply
    | InstallSnapshot
    | TimeoutNow
    | ReadIndex
    | ReadIndexReply
)

MESSAGE_TYPES: tuple[type[Message], ...] = (
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    TimeoutNow,
    ReadIndex,
    ReadIndexReply,
)
"""All message types, in the order of their numbers on the wire: append only."""
