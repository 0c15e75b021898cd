"""What the calls of a client return: typed, with the fields of our HTTP interface (its names, its units).

`body` is the JSON object as the node sent it, for fields that this version does not know and for `-o json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeAlias

from raftdb.client.given import V
from raftdb.errors import CommandFailed, LeaderHint

Value: TypeAlias = "str | bytes | int | list[Value] | None"
"""A result: `str` is a status (`OK`, `PONG`), `bytes` a stored string, None nil, a list several of those. With
`decode=True` a stored string is `str` as well."""

Json: TypeAlias = Mapping[str, object]
"""A decoded JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A command's result and where in the log it stands: `index` and `term` of the entry (or of the read
    point).

    `revision`, for reads of one key: the index that last changed the key, 0 if there is no such key. None
    where the node did not say.
    """

    value: Value
    index: int
    term: int
    revision: int | None = None
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionAnswer:
    """What each command of a transaction answered, in order, and the entry that all of them are: `index`, `term`.

    In mode `redis` an error stands in the place of a command that failed, as a value and not raised.
    """

    results: "tuple[Value | CommandFailed, ...]"
    index: int
    term: int
    body: Json = field(default_factory=dict, repr=False, compare=False)


class KeyValue(NamedTuple, Generic[V]):
    """One key of a scan, its value (empty if only keys were asked for), and the index that last changed it."""

    key: V
    value: V
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage(Generic[V]):
    """A page of keys in order, all as of one moment. `next_after`: where the next page begins; None if this is the
    last."""

    keys: tuple[KeyValue[V], ...]
    next_after: V | None
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One node of the cluster. None is what the answering node cannot know, mostly because it does not lead.

    `voter` False: a learner, which becomes a voter by itself if it is `joining`. `match_index`: how far its log agrees
    with the leader's. `alive`: a connection to it stands; `problem`: why not. `last_contact_seconds`: since it was
    heard; `suspicion`: phi, how unlikely so long a silence is. `put_back`: its data folder is an older copy of itself,
    and it counts for nothing until it is filled anew.
    """

    id: str
    http: str
    redis: str | None
    voter: bool
    joining: bool = False
    match_index: int | None
    alive: bool | None
    problem: str | None = None
    last_contact_seconds: float | None = None
    suspicion: float | None = None
    put_back: bool = False
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The members as the leader knows them, the ids that were members and never are again, and where its log ends.

    After a change `index` is that of the entry with the new members, and `pending` says whether a node that was added
    is still catching up; else they are None and False.
    """

    members: tuple[Member, ...]
    removed: tuple[str, ...]
    last_index: int
    index: int | None = None
    pending: bool = False
    body: Json = field(default_factory=dict, repr=False, compare=False)

    def find(self, node_id: str) -> Member | None:
        """The member of that id, or None."""
        return next((member for member in self.members if member.id == node_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node's view of itself and the cluster (`GET /v1/status`). Indexes are of the log, from 1; 0 is
    none. `birth` names the life of the cluster; `put_back` is that of this node as a `Member`."""

    id: str
    cluster_id: str
    version: str
    role: str
    term: int
    leader: LeaderHint | None
    first_index: int
    last_index: int
    commit_index: int
    applied_index: int
    checkpoint_index: int
    members: tuple[Member, ...]
    uptime_seconds: float
    put_back: bool = False
    birth: str | None = None
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry of the leader's log. `command` is None for entries that are no commands (no-op,
    configuration)."""

    index: int
    term: int
    kind: str
    command: str | None
    arguments: tuple[bytes, ...]
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """A page of the leader's log, ascending. `first_index` and `last_index` are of the whole log kept, not of
    the page; entries above `commit_index` may still be replaced."""

    first_index: int
    last_index: int
    commit_index: int
    entries: tuple[LogEntry, ...]
    body: Json = field(default_factory=dict, repr=False, compare=False)
