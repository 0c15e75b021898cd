"""The results of a client's calls, with the names and units of the HTTP interface.

`body` is the JSON object as the node sent it, for fields that this version does not know and for `-o json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeAlias

from raftdb.client.given import V
from raftdb.errors import CommandFailed, LeaderHint

Value: TypeAlias = "str | bytes | int | list[Value] | None"
"""A result of a command: a status (`OK`, `PONG`) is `str`, a stored string `bytes`, nil None, and several results are a
list. With `decode=True` a stored string is `str` as well."""

Json: TypeAlias = Mapping[str, object]
"""A decoded JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A command's result, with the `index` and `term` of its entry, or of the entry up to which a read saw the state.

    `revision` is the index of the entry that last changed the key, 0 if there is no such key, and None for a command
    whose answer has none.
    """

    value: Value
    index: int
    term: int
    revision: int | None = None
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionAnswer:
    """The result of each command of a transaction, in order, and the `index` and `term` of its entry.

    In mode `redis` the result of a command that failed is its error, which is not raised. Of one that branches the
    results are those of the commands that were executed, and `succeeded` says whether all conditions held.
    """

    results: "tuple[Value | CommandFailed, ...]"
    index: int
    term: int
    succeeded: bool | None = None
    body: Json = field(default_factory=dict, repr=False, compare=False)


class KeyValue(NamedTuple, Generic[V]):
    """One key of a scan, its value (empty if only keys were asked for), and the index of the entry that last changed
    it."""

    key: V
    value: V
    revision: int


ChangeKind: TypeAlias = Literal["put", "delete", "expire", "snapshot", "snapshot_end", "reset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[V]):
    """A change of a key, as a watch tells it, with the index of its entry and its place among the changes of that.

    `kind` is `put`, with the new value; `delete`; or `expire`: its time was up. `previous` is the value before, if that
    was asked for and there was one. `expires_at_ms` is when the new value ends, on the cluster clock, None if it stays.
    `session` tells the session of the client that wrote, if it was written in one, from others: a digest of its id.

    A watch with a snapshot has three more kinds: `snapshot` is a key as it is; `snapshot_end` says that these were all
    of them, as of `revision`; and `reset`, that what was told so far is to be forgotten, because another snapshot
    follows. The last two have no key.
    """

    kind: ChangeKind
    key: V
    value: V | None
    revision: int
    place: int = 0
    previous: V | None = None
    expires_at_ms: int | None = None
    session: str | None = None
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage(Generic[V]):
    """A page of keys in order, all as of one moment. `next_after` is the `after` of the next page; None if this is the
    last."""

    keys: tuple[KeyValue[V], ...]
    next_after: V | None
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One node of the cluster. A field is None if the answering node cannot know it, mostly because it does not lead.

    A member that is not a `voter` is a learner, which becomes a voter by itself if it is `joining`. `match_index` is
    the last index at which its log agrees with the leader's. `alive` says whether the answering node hears it, and
    `problem` why there is no connection to it. `last_contact_seconds` is the time since it was last heard, and
    `suspicion` is phi, which grows as so long a silence gets less likely. `put_back`: its data folder is an older copy
    of itself, and it does not count towards majorities until it has caught up.
    """

    id: str
    http: str
    redis: str | None
    redis_cluster: str | None = None
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
    """The members as the leader knows them, the ids of removed members, which cannot be used again, and the last index
    of its log.

    After a change `index` is that of the entry with the new members, and `pending` says whether an added node is still
    catching up; otherwise they are None and False.
    """

    members: tuple[Member, ...]
    removed: tuple[str, ...]
    last_index: int
    index: int | None = None
    pending: bool = False
    body: Json = field(default_factory=dict, repr=False, compare=False)

    def find(self, node_id: str) -> Member | None:
        """The member with this id, or None."""
        return next((member for member in self.members if member.id == node_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node's view of itself and the cluster (`GET /v1/status`). Indexes are those of the log, from 1; 0 means none.
    `birth` identifies the cluster's life, which a recovery begins anew; `put_back` is as in `Member`.
    `fault_injection`: its links may be made worse than they are."""

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
    fault_injection: bool = False
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry of the leader's log. `command` is None for entries without a command (no-op, configuration)."""

    index: int
    term: int
    kind: str
    command: str | None
    arguments: tuple[bytes, ...]
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """A page of the leader's log, in ascending order. `first_index` and `last_index` are those of its whole log, not of
    the page; entries above `commit_index` may still be replaced."""

    first_index: int
    last_index: int
    commit_index: int
    entries: tuple[LogEntry, ...]
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user, with its roles and the names of its tokens. Without `has_password` only tokens let it in."""

    name: str
    roles: tuple[str, ...]
    tokens: tuple[str, ...]
    has_password: bool
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that a user did, or was refused, at one node: when (milliseconds since 1970, by the node's clock),
    what, and the details, such as `by`, `from` and `what`."""

    time_ms: int
    what: str
    details: Json
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role with its grants, such as `b"write keys app/"`."""

    name: str
    grants: tuple[bytes, ...]
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of a user, by its name. The times are those of the cluster clock; without `ends_ms` it has no end."""

    name: str
    made_ms: int
    ends_ms: int | None
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that was just made. `secret` is what its bearer sends, and is told here alone."""

    secret: str = field(repr=False)
    ends_ms: int | None
    body: Json = field(default_factory=dict, repr=False, compare=False)
