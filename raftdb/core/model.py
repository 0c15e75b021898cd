"""The vocabulary of the core: log entries, hard state, members, roles.

Entries travel and are kept in blocks (`raftdb.core.block`). An `Entry` is what is made of one for a moment, where
somebody looks at it alone.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from raftdb.endpoint import NO_REDIS, Endpoint, RedisAddresses

NodeId = str
"""Identity of a node, unique for ever in its cluster. An address is data of a member, never its identity."""
Term = int
"""Logical clock of elections (thesis 3.3). 0 before the first start; grows by one per election."""
Index = int
"""Position in the log, from 1. Index 0 stands before the first entry and has term 0."""


class Role(StrEnum):
    """What a node is at the moment. A learner is a follower whose configuration does not make it a voter."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class EntryKind(IntEnum):
    """What an entry's data means. The numbers are on disk and on the wire: never reuse one."""

    NOOP = 0
    COMMAND = 1
    CONFIGURATION = 2


class Entry(NamedTuple):
    """One entry of the log. (index, term) names it and everything before it (Log Matching, thesis 3.5)."""

    index: Index  # type: ignore[assignment]  # hides tuple.index, which nobody misses on an entry
    term: Term
    kind: EntryKind
    data: bytes

    @property
    def name(self) -> "EntryId":
        """Its index and term, which tell it from every other entry."""
        return EntryId(self.index, self.term)


class EntryId(NamedTuple):
    """The name of an entry: its index and its term."""

    index: Index  # type: ignore[assignment]  # hides tuple.index
    term: Term


ORIGIN = EntryId(0, 0)
"""The position before the first entry of a log that was never compacted."""


class StartId(NamedTuple):
    """One start of a node's process. `number` is one more than that of the start before it in the same folder; `nonce`
    is drawn anew, so that a folder that was put back to an older copy cannot start twice as the same."""

    number: int
    nonce: str


NO_START = StartId(0, "")
"""The start of a node that nobody has met."""


@dataclass(frozen=True, slots=True)
class HardState:
    """What must be on disk before a node speaks in a term (thesis figure 3.1): the term and the vote in it."""

    term: Term = 0
    voted_for: NodeId | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster. `http` and `redis` are where clients reach it; the core only compares them."""

    id: NodeId
    http: Endpoint
    redis: RedisAddresses = NO_REDIS
    voter: bool = True
    """False: a learner, which gets the log and neither votes nor counts."""
    joining: bool = False
    """A learner that the leader makes a voter, by itself, once it has caught up."""
    uuid: str | None = None
    """The data folder that this voter is; None until it is known. Another folder under its id is another node."""
    start: StartId | None = None
    """The latest start of the node that the leader had met; None if it had met none. A node whose folder was put back
    counts again once an entry that names a later start of it is committed (`raftdb.core.doubts`)."""
