"""Requests for other members or another leader: how they wait, and what they are told.

A change is done when its entry is committed. One that adds a node is done when that node is a voter, if it is to be
one; until then the answer, when patience ends, says how far it is. A change was surely not made if an entry of another
term is committed in its place; the outcome of a change that is not committed in time is unknown (hazard B54).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raftdb.core.events import (
    AddMember,
    Change,
    ConfigurationChangeAsked,
    TransferAsked,
    UpdateAddresses,
)
from raftdb.core.membership import Configuration
from raftdb.core.model import EntryId, Index, Member, NodeId, Role
from raftdb.core.raft import Raft
from raftdb.core.update import Refusal, TransferEnded, Update
from raftdb.errors import (
    LeaderHint,
    LocalProtocolError,
    OutcomeUnknown,
    RaftdbError,
    RequestRefused,
    Unavailable,
    required,
)
from raftdb.node.pending import WriteRequest
from raftdb.wire.configuration import encode_configuration

HELD_BYTES_MAX = 16 << 20
"""Bytes of writes that wait while the leadership is handed over; writes beyond that are refused as `busy`."""


class ChangeRequest(NamedTuple):
    """A request that the members change."""

    request_id: int
    change: Change
    force: bool


class TransferRequest(NamedTuple):
    """A request that `target` lead (None: the voter that is furthest)."""

    request_id: int
    target: NodeId | None


class CatchingUp(NamedTuple):
    """A new member was added, and does not vote yet: it holds the log up to `match_index` of `last_index`.

    `match_index` None: this node does not lead any more, and does not know.
    """

    node: NodeId
    match_index: Index | None
    last_index: Index


class MembersChanged(NamedTuple):
    """The value of the answer to a change: the members, and the catching up that is left to wait for, if any."""

    members: tuple[Member, ...]
    catching_up: CatchingUp | None = None


class Done(NamedTuple):
    """A request has its answer: a value as of the entry at (index, term), or an error."""

    request_id: int
    value: MembersChanged | LeaderHint | RaftdbError
    entry: EntryId


@dataclass(slots=True)
class _Waiting:
    """A change whose entry was appended as `entry`; with `joins`, it is done when that node votes."""

    request_id: int
    entry: EntryId
    joins: NodeId | None
    deadline: int


def check_change(change: Change) -> None:
    """Raise RequestRefused if no configuration can hold what the change says of a member."""
    match change:
        case AddMember(member=member):
            members: tuple[Member, ...] = (member,)
        case UpdateAddresses(moved=moved):
            members = tuple(Member(*new) for new in moved)
        case _:
            return
    try:
        encode_configuration(Configuration(members))
    except LocalProtocolError as error:
        raise RequestRefused(
            "bad_request",
            f"not a member that can be: {error.message}",
            hint="an id has letters, digits, dots, dashes; an address is HOST:PORT",
        ) from None


def error_of(refusal: Refusal) -> RaftdbError:
    """The core's refusal as the error that a client gets."""
    if refusal.code == "outcome_unknown":
        return OutcomeUnknown(refusal.reason, hint=refusal.hint)
    if refusal.code in ("busy", "no_leader"):
        return Unavailable(refusal.code, refusal.reason, hint=refusal.hint)
    return RequestRefused(refusal.code, refusal.reason, hint=refusal.hint)


class MembershipRequests:
    """The waiting requests of one node, and the writes that are held while the leadership is handed over."""

    def __init__(
        self,
        raft: Raft,
        patience_ticks: Callable[[], int],
        refusal: Callable[[], Unavailable],
        leader_hint: Callable[[], LeaderHint | None],
    ) -> None:
        self._raft = raft
        self._core = raft.state
        self._patience_ticks = patience_ticks
        self._refusal = refusal
        self._leader_hint = leader_hint
        """Why a node that does not lead cannot help."""
        self._changes: list[_Waiting] = []
        self._transfers: set[int] = set()
        self._done: list[Done] = []
        self._held: list[WriteRequest] = []
        self._held_bytes = 0

    @property
    def count(self) -> int:
        """Requests that wait, held writes not counted."""
        return len(self._changes) + len(self._transfers)

    def ask_all(
        self, changes: Sequence[ChangeRequest], transfers: Sequence[TransferRequest], now_ticks: int
    ) -> Iterator[Update]:
        """Hand the requests to the core, one after the other; yields the update to carry out for each."""
        for change in changes:
            update = self._raft.step(ConfigurationChangeAsked(change.change, change.force))
            if update.accepted is not None:
                self._accepted(change, update.accepted, now_ticks)
            else:
                self._refuse(change.request_id, update.refusal)
            yield update
        for transfer in transfers:
            if self._core.role is Role.LEADER:
                self._transfers.add(transfer.request_id)
                yield self._raft.step(TransferAsked(transfer.request_id, transfer.target))
            else:
                self._refuse(transfer.request_id, None)

    def _accepted(self, request: ChangeRequest, entry: EntryId, now_ticks: int) -> None:
        """The change was appended as `entry`."""
        change = request.change
        joins = change.member.id if isinstance(change, AddMember) and not change.stay_learner else None
        deadline = now_ticks + self._patience_ticks()
        self._changes.append(_Waiting(request.request_id, entry, joins, deadline))

    def _refuse(self, request_id: int, refusal: Refusal | None) -> None:
        """Say why a request is refused: with the core's reason, if this node leads."""
        leads = self._core.role is Role.LEADER
        self._finish(request_id, error_of(refusal) if leads and refusal else self._refusal())

    def _finish(self, request_id: int, value: MembersChanged | LeaderHint | RaftdbError) -> None:
        self._done.append(Done(request_id, value, EntryId(self._core.commit_index, self._core.term)))

    def transfers_ended(self, ended: Sequence[TransferEnded]) -> None:
        """The core knows the outcome of these requests for another leader."""
        leader = self._leader_hint()
        for request_id, refusal in ended:
            self._transfers.discard(request_id)
            if refusal is not None:
                self._finish(request_id, error_of(refusal))
            elif leader is None:
                self._finish(request_id, OutcomeUnknown("the new leader is not known here as a member"))
            else:
                self._finish(request_id, leader)

    @property
    def holds_writes(self) -> bool:
        """True if writes wait here."""
        return bool(self._held)

    def pass_on(self, writes: list[WriteRequest]) -> tuple[list[WriteRequest], list[WriteRequest]]:
        """(writes to propose now, writes to refuse as busy). They wait here while the leadership is handed over: then
        this node goes on leading and takes them, or tells them who leads; either way they were surely not executed."""
        core = self._core
        if not core.hands_over and core.transfer is None:
            held, self._held, self._held_bytes = self._held, [], 0
            return held + writes, []
        refused = []
        for request in writes:
            if self._held_bytes + len(request.payload) > HELD_BYTES_MAX:
                refused.append(request)
            else:
                self._held.append(request)
                self._held_bytes += len(request.payload)
        return [], refused

    def finished(self, now_ticks: int) -> list[Done]:
        """Take the requests whose outcome is known by now, or whose patience has ended."""
        if not self._done and not self._changes:
            return []
        done, self._done = self._done, []
        waiting = []
        for change in self._changes:
            value = self._outcome(change)
            if value is None and change.deadline <= now_ticks:
                value = self._out_of_time(change)
            if value is None:
                waiting.append(change)
            else:
                done.append(Done(change.request_id, value, self._as_of(change.entry)))
        self._changes = waiting
        return done

    def _as_of(self, entry: EntryId) -> EntryId:
        """The change's entry, if it is committed; otherwise, if another change has brought about the same, the last
        committed entry."""
        core = self._core
        # The last committed entry is in the log, or right before it.
        term = required(core.log.term_at(core.commit_index), "term of what is committed")
        return entry if self._is_committed(entry) else EntryId(core.commit_index, term)

    def _is_committed(self, entry: EntryId) -> bool | None:
        """True: yes. False: never, another entry is. None: it is not known yet, or not any more."""
        core = self._core
        if core.commit_index < entry.index or entry.index < core.log.base.index:
            return None
        return core.log.term_at(entry.index) == entry.term

    def _outcome(self, change: _Waiting) -> MembersChanged | RaftdbError | None:
        core = self._core
        is_committed = self._is_committed(change.entry)
        if is_committed is False:
            return Unavailable("no_leader", "another leader was elected before the change was made")
        committed = core.configurations.committed_at(core.commit_index)[1]
        if change.joins is None:
            return MembersChanged(committed.members) if is_committed else None
        member = committed.find(change.joins)
        if member is not None and member.voter:
            return MembersChanged(committed.members)
        if change.joins in committed.removed:
            return RequestRefused("conflict", f"{change.joins} was removed before it had caught up")
        return None

    def _out_of_time(self, change: _Waiting) -> MembersChanged | RaftdbError:
        core = self._core
        configuration = core.configurations.committed_at(core.commit_index)[1]
        if change.joins is None or configuration.find(change.joins) is None:
            return OutcomeUnknown(
                "no majority confirmed the change in time: it may or may not be made",
                hint="look at the members",
            )
        progress = core.leadership.progress.get(change.joins) if core.leadership is not None else None
        match_index = progress.match_index if progress is not None else None
        catching_up = CatchingUp(change.joins, match_index, core.log.last_index)
        return MembersChanged(configuration.members, catching_up)
