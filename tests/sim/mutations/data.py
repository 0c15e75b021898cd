"""Planted bugs of what is kept for clients: sessions, the clock, what expires, transactions."""

from typing import Any

from raftdb.errors import Conflict, ReplyError
from raftdb.machine import clock, machine, session_records, sessions, transactions, values
from raftdb.machine.batches import MultiGet
from raftdb.machine.keyspace import HEADER_BYTES, REPLY_PREFIX, decode_value
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.operations import Mode, SessionOperation, TransactionOperation
from raftdb.machine.reply import Result
from raftdb.machine.service import Command, EntryPlace
from raftdb.machine.session_records import load_session
from raftdb.machine.values import load_head, state_key_of
from raftdb.node import clock as node_clock
from raftdb.node.clock import LeaderClock, _Base
from raftdb.simulation.host import Host
from raftdb.simulation.planting import Patches
from tests.sim.mutations.planting import Mutation


def repetitions_are_executed() -> Patches:
    """Whoever repeats an operation gets it done again."""

    def run(
        layer: Layer,
        operation: SessionOperation,
        payload: bytes,
        entry: EntryPlace,
        performing: sessions.Performing,
    ) -> Result | ReplyError:
        return performing.perform(operation.operation, layer, entry.index)

    return [(sessions, "run", run)]


def on_its_own_clock(owner: Any) -> Patches:
    """Replicas decide by the time of the machine they run on."""
    plain_turn = Host._turn
    now_ms = [0.0]

    def turn(self: Host, epoch: int) -> None:
        now_ms[0] = self.clock.now_ms
        plain_turn(self, epoch)

    return [(Host, "_turn", turn), (owner, "read_clock", lambda view: int(now_ms[0]))]


def ended_sessions_begin_by_themselves() -> Patches:
    """An operation of a session that is gone is executed, as the first of a new one."""
    plain = sessions.run

    def run(layer: Layer, operation: SessionOperation, *others: Any) -> Any:
        if load_session(layer, operation.session) is None:
            sessions.register(layer, sessions.RegisterSession(operation.session), others[1])
        return plain(layer, operation, *others)

    return [(sessions, "run", run)]


def replies_go_too_early() -> Patches:
    """The answer is forgotten with the operation behind it, whatever the client has acknowledged."""
    plain = sessions.run

    def run(layer: Layer, operation: SessionOperation, *others: Any) -> Any:
        reply = plain(layer, operation, *others)
        first = REPLY_PREFIX + operation.session
        for key, _ in layer.scan(first, first + b"\xff" * 9, limit=1_000):
            layer.delete(key)
        return reply

    return [(sessions, "run", run)]


def watches_do_not_see_expiry() -> Patches:
    plain = values.has_changed

    def has_changed(view: KeyValueView, key: bytes, revision: int, seen_at: int) -> bool:
        head = view.head(state_key_of(view, key), HEADER_BYTES)
        is_there_still = head is not None and decode_value(head).revision == revision
        return not is_there_still and plain(view, key, revision, seen_at)

    return [(transactions, "has_changed", has_changed)]


def watches_see_only_whether_a_key_is_there() -> Patches:
    plain = transactions.run

    def run(layer: Layer, operation: TransactionOperation, *others: Any) -> Result:
        for key, watched in operation.watched:
            if (load_head(layer, key) is None) != (watched == 0):
                raise Conflict("changed meanwhile", keys=(key,))
        unwatched = TransactionOperation(operation.commands, (), operation.mode)
        return plain(layer, unwatched, *others)

    return [(transactions, "run", run)]


def keys_come_and_go_unseen() -> Patches:
    return [(values, "note_removal", lambda layer, key, revision: None)]


def a_failed_transaction_is_not_undone() -> Patches:
    plain = transactions.run

    def run(layer: Layer, operation: TransactionOperation, *others: Any) -> Result:
        try:
            return plain(layer, operation, *others)
        except ReplyError as error:
            if not isinstance(error, Conflict) and operation.mode is Mode.ATOMIC:
                plain(layer, TransactionOperation(operation.commands), *others)
            raise

    return [(transactions, "run", run)]


def reads_in_a_transaction_see_what_was_before() -> Patches:
    plain = transactions.run

    def run(
        layer: Layer,
        operation: TransactionOperation,
        revision: int,
        execute: transactions.Execute,
    ) -> Result:
        def elsewhere(command: Command, upper: Layer, index: int) -> Result | ReplyError:
            return execute(command, layer if isinstance(command, MultiGet) else upper, index)

        return plain(layer, operation, revision, elsewhere)

    return [(transactions, "run", run)]


def leaders_stamp_their_own_time() -> Patches:
    """A new leader's clock goes on from wherever its own monotonic clock is."""
    plain = LeaderClock.follow

    def follow(self: LeaderClock, *arguments: Any) -> None:
        plain(self, *arguments)
        base = self._base
        if base is not None:
            self._base = _Base(base.term, int(base.local_ms), base.local_ms)

    return [(LeaderClock, "follow", follow)]


def leaders_forget_what_they_heard() -> Patches:
    """A new leader goes on from the last time in its log, whatever its predecessor has counted since."""
    return [(LeaderClock, "_heard_before", lambda self, core, term_start_index: 0)]


def an_idle_leader_keeps_its_time_to_itself() -> Patches:
    """Only what is due makes an idle leader commit its time: a crash of all forgets what they heard."""
    return [(node_clock, "COMMIT_MS", 1 << 62)]


def what_was_heard_counts_for_ever() -> Patches:
    """A new leader goes on from a time that was heard before another leader began from less."""
    return [(LeaderClock, "_heard_before", lambda self, core, term_start_index: self._heard.clock_ms)]


def values_end_early() -> Patches:
    plain = clock.advance_clock

    def advance(layer: Layer, time_ms: int) -> None:
        plain(layer, time_ms + 50 if time_ms else 0)

    return [(machine, "advance_clock", advance)]


MUTATIONS = (
    Mutation("B53b", "a repetition in a session is executed", repetitions_are_executed),
    Mutation("B55", "sessions end by a local clock", lambda: on_its_own_clock(session_records)),
    Mutation("B56", "an ended session begins by itself", ended_sessions_begin_by_themselves),
    Mutation("B56b", "answers are forgotten too early", replies_go_too_early),
    Mutation("B57", "a watched key expires unseen", watches_do_not_see_expiry),
    Mutation(
        "B58", "a watch sees no change, only whether there is a key", watches_see_only_whether_a_key_is_there
    ),
    Mutation("B58b", "a watch does not see that a missing key came and went", keys_come_and_go_unseen),
    Mutation("B60", "a failed transaction stays half done", a_failed_transaction_is_not_undone),
    Mutation(
        "B61", "reads in a transaction see what was before it", reads_in_a_transaction_see_what_was_before
    ),
    Mutation("B63", "values end by a local clock", lambda: on_its_own_clock(values)),
    Mutation("B70", "a leader stamps its own time", leaders_stamp_their_own_time),
    Mutation("B71", "values end before their time", values_end_early),
    Mutation("B71b", "a new leader forgets the time that it heard", leaders_forget_what_they_heard),
    Mutation("B71c", "an idle leader commits no time", an_idle_leader_keeps_its_time_to_itself),
    Mutation("B71d", "a time that was heard counts for ever", what_was_heard_counts_for_ever),
)
