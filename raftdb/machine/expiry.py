"""Values that live for a while: the commands about it, and the end of what is due.

The end comes by an entry of its own, `Expire`, which a leader proposes when the time is near; it ends a bounded number
of values and sessions, and the leader proposes the next while some are left. Between the time and that entry a value
is invisible already (`raftdb.machine.values`). An entry of a client that keeps a session alive races its end: the log
decides (hazard B55).
"""

from raftdb.commands.budgets import SWEEP_REPLIES_MAX, SWEEP_SESSIONS_MAX, SWEEP_VALUES_MAX
from raftdb.commands.limits import TTL_MS_MAX
from raftdb.commands.model import Command, ExpireAfter, Persist, TimeToLive
from raftdb.errors import ReplyError
from raftdb.machine import sessions
from raftdb.machine.clock import read_clock
from raftdb.machine.deadlines import EXPIRIES, IDLE_SESSIONS
from raftdb.machine.keyspace import HEADER_BYTES, KEY_VALUE_PREFIX, NEVER_EXPIRES, decode_header
from raftdb.machine.kv import ReadHandler, WriteHandler
from raftdb.machine.reply import Result
from raftdb.machine.transaction import KeyValueView, Transaction
from raftdb.machine.values import load_head, put_value, remove_value, state_key_of, visible


def expire_after(transaction: Transaction, command: ExpireAfter, revision: int) -> Result:
    """Set when the key ends, or delete it. Answers 1, or 0 if there is no such key."""
    state_key = state_key_of(command.key)
    if command.ttl_ms > TTL_MS_MAX:
        raise ReplyError("invalid time to live", hint=f"at most {TTL_MS_MAX} milliseconds")
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    if before is None or stored is None:
        return Result(0, 0)
    if command.ttl_ms <= 0:
        remove_value(transaction, state_key, before)
        return Result(1, stored.revision)
    expires_ms = read_clock(transaction) + command.ttl_ms
    put_value(transaction, state_key, before, stored.data, revision=revision, expires_ms=expires_ms)
    return Result(1, revision)


def persist(transaction: Transaction, command: Persist, revision: int) -> Result:
    """Let the key stay. Answers 1, or 0 if there is no such key or it had no expiry."""
    state_key = state_key_of(command.key)
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    if stored is None or stored.expires_ms == NEVER_EXPIRES:
        return Result(0, 0 if stored is None else stored.revision)
    put_value(transaction, state_key, before, stored.data, revision=revision)
    return Result(1, revision)


def time_to_live(view: KeyValueView, command: TimeToLive) -> Result:
    """Answer the seconds that are left, rounded up; -1 for a key that stays, -2 for a missing one."""
    stored = load_head(view, command.key)
    if stored is None:
        return Result(-2, 0)
    if stored.expires_ms == NEVER_EXPIRES:
        return Result(-1, stored.revision)
    return Result(-((read_clock(view) - stored.expires_ms) // 1000), stored.revision)


def sweep(transaction: Transaction) -> Result:
    """End what is due by the clock, up to a bound. Answers how many values and sessions that were."""
    clock_ms = read_clock(transaction)
    values = EXPIRIES.due(transaction, clock_ms, limit=SWEEP_VALUES_MAX)
    for expires_ms, key in values:
        state_key = KEY_VALUE_PREFIX + key
        before = transaction.head(state_key, HEADER_BYTES)
        if before is not None and decode_header(before)[2] == expires_ms:
            remove_value(transaction, state_key, before)
    if values:
        EXPIRIES.swept(transaction, *values[-1])
    return Result(len(values) + _sweep_sessions(transaction, clock_ms), None)


def _sweep_sessions(transaction: Transaction, clock_ms: int) -> int:
    """End the sessions that are due, up to a bound; returns how many those were."""
    ended = removed = 0
    last: tuple[int, bytes] | None = None
    for last in IDLE_SESSIONS.due(transaction, clock_ms, limit=SWEEP_SESSIONS_MAX):
        removed += sessions.end(transaction, last[1])
        ended += 1
        if removed >= SWEEP_REPLIES_MAX:
            break
    if last is not None:
        IDLE_SESSIONS.swept(transaction, *last)
    return ended


READS: dict[type[Command], ReadHandler] = {TimeToLive: time_to_live}
"""Handlers that only look."""

WRITES: dict[type[Command], WriteHandler] = {ExpireAfter: expire_after, Persist: persist}
"""Handlers that may change the state."""
