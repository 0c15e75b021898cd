"""The service of locks: its commands, how they are called, and its ends."""

from raftdb.errors import ReplyError
from raftdb.limits import LOCK_NAME_BYTES_MAX, SCAN_LIMIT_MAX
from raftdb.machine.keyspace import (
    BOUND_PREFIX,
    HELD_PREFIX,
    HOLD_PREFIX,
    LOCK_END_PREFIX,
    LOCK_LINE_PREFIX,
    LOCK_PREFIX,
    LOCK_SWEPT_KEY,
    PLACE_PREFIX,
    TANGLED_PREFIX,
    WAITER_PREFIX,
)
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.ends import LEASES, OF_SESSIONS
from raftdb.machine.locks.fencing import Fence, fence, fence_guard, token_guard
from raftdb.machine.locks.holding import (
    LeaveLine,
    Lock,
    Renew,
    Unlock,
    UnlockOwned,
    leave_line,
    lock,
    outcome_for,
    owner_of,
    renew,
    unlock,
    unlock_owned,
)
from raftdb.machine.locks.inventory import take_inventory
from raftdb.machine.locks.levels import ReadLockLevels, read_lock_levels
from raftdb.machine.locks.looking import LockInfo, Locks, lock_info, locks
from raftdb.machine.locks.records import place_key, place_of, scan_places
from raftdb.machine.locks.spelling import (
    FENCE_SYNTAX,
    LOCK_SYNTAX,
    RENEW_SYNTAX,
    arguments_of_fence,
    arguments_of_lock,
    arguments_of_renew,
    build_fence,
    build_lock,
    build_locks,
    build_renew,
    token_of_text,
)
from raftdb.machine.reply import Result, Told, shown_key
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
    as_flag,
)
from raftdb.machine.waiting import Asker, PlaceWaiting


def _shown_lock(result: Told) -> object:
    """The token, the mode and the time at which the lease ends; nil if somebody else has the lock."""
    return result.value[:3] if isinstance(result.value, list) else None


def _outcome(view: KeyValueView, command: Lock, asker: Asker) -> Result | None:
    owner = owner_of(command, asker)
    if place_of(view, owner, command.name) is not None:
        return None
    outcome = outcome_for(view, command.name, owner)
    if outcome is None:
        raise ReplyError(
            f"the place in the line of {shown_key(command.name)} is gone",
            hint="its session has ended, it was given up, or its user may not take the lock any more",
            code="not_found",
        )
    return outcome


def _places(view: KeyValueView, after: bytes, limit: int) -> list[tuple[bytes, Command]]:
    return [(key, LeaveLine(name, owner)) for key, owner, name in scan_places(view, after, limit)]


WAITING = PlaceWaiting(
    place=lambda command, asker: place_key(owner_of(command, asker), command.name),
    outcome=_outcome,
    give_up=lambda command, asker: LeaveLine(command.name, owner_of(command, asker)),
    places=_places,
    flags=(b"SHARED",),
)

INFO_EXAMPLE = """\
 1) "limit"
 2) 0
 3) "held"
 4) 1
 5) "waiting"
 6) 0
 7) "holders"
 8) 1) 1) "ana"
       2) "exclusive"
       3) 65536
       4) 0
       5) 30000
 9) "line"
10) (empty list)"""

LOCKS = Service(
    heading="locks",
    prefixes=b"".join(
        (
            BOUND_PREFIX,
            HELD_PREFIX,
            HOLD_PREFIX,
            LOCK_END_PREFIX,
            LOCK_LINE_PREFIX,
            LOCK_PREFIX,
            LOCK_SWEPT_KEY,
            PLACE_PREFIX,
            TANGLED_PREFIX,
            WAITER_PREFIX,
        )
    ),
    queries={ReadLockLevels: read_lock_levels},
    ending=LEASES,
    inventory=take_inventory,
    commands=(
        CommandType(
            type=Lock,
            number=48,
            write=lock,
            grows=True,
            keys_named=lambda command: 6,
            arguments=arguments_of_lock,
            shown=_shown_lock,
            waiting=WAITING,
            names=(
                CommandSpec(
                    name="lock",
                    syntax=LOCK_SYNTAX,
                    summary="Take a lock, or wait for it: its token, its mode and the end of its lease; nil if taken.",
                    examples=(
                        Example("lock report OWNER ana", '1) 65536\n2) "exclusive"\n3) 30000'),
                        Example("lock report OWNER budi", "(nil)"),
                        Example("lock gpu LIMIT 2 TTL 60 OWNER ana", '1) 196608\n2) "limited"\n3) 60000'),
                    ),
                    arity=Arity(1, 9),
                    key_bytes_max=LOCK_NAME_BYTES_MAX,
                    reply=ReplyKind.ARRAY,
                    build=build_lock,
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=Renew,
            number=49,
            write=renew,
            guard=token_guard,
            keys_named=lambda command: 4,
            arguments=arguments_of_renew,
            shown=as_flag,
            names=(
                CommandSpec(
                    name="renew",
                    syntax=RENEW_SYNTAX,
                    summary="Hold a lock longer, from now on: 1, or 0 if it is not held under this token any more.",
                    examples=(
                        Example("lock report OWNER ana", '1) 65536\n2) "exclusive"\n3) 30000'),
                        Example("renew report 65536 TTL 60", "1"),
                        Example("renew report 7", "0"),
                    ),
                    arity=Arity(2, 4, 2),
                    key_bytes_max=LOCK_NAME_BYTES_MAX,
                    reply=ReplyKind.INTEGER,
                    build=build_renew,
                ),
            ),
        ),
        CommandType(
            type=Unlock,
            number=50,
            write=unlock,
            guard=token_guard,
            keys_named=lambda command: 8,
            shown=as_flag,
            names=(
                CommandSpec(
                    name="unlock",
                    syntax="unlock NAME TOKEN",
                    summary="Give a lock back: 1, or 0 if it is not held under this token any more.",
                    examples=(
                        Example("lock report OWNER ana", '1) 65536\n2) "exclusive"\n3) 30000'),
                        Example("unlock report 65536", "1"),
                        Example("unlock report 65536", "0"),
                    ),
                    arity=Arity(2, 2),
                    key_bytes_max=LOCK_NAME_BYTES_MAX,
                    reply=ReplyKind.INTEGER,
                    build=lambda given: Unlock(given[0], token_of_text(given[1])),
                ),
            ),
        ),
        CommandType(
            type=Fence,
            number=53,
            read=fence,
            guard=fence_guard,
            keys_named=lambda command: 2,
            arguments=arguments_of_fence,
            shown=as_flag,
            names=(
                CommandSpec(
                    name="fence",
                    syntax=FENCE_SYNTAX,
                    summary="Whether a lock is held under this token: 1 or 0; in a transaction, all is refused if not.",
                    examples=(
                        Example("lock report OWNER ana", '1) 65536\n2) "exclusive"\n3) 30000'),
                        Example("fence report 65536", "1"),
                        Example("fence report 7", "0"),
                    ),
                    arity=Arity(2, 3),
                    key_bytes_max=LOCK_NAME_BYTES_MAX,
                    reply=ReplyKind.INTEGER,
                    build=build_fence,
                ),
            ),
        ),
        CommandType(
            type=LockInfo,
            number=54,
            read=lock_info,
            keys_named=lambda command: 64,
            names=(
                CommandSpec(
                    name="lockinfo",
                    syntax="lockinfo NAME",
                    summary="Who holds a lock, under which token and for how many ms yet, and who waits for it.",
                    examples=(
                        Example("lock report OWNER ana", '1) 65536\n2) "exclusive"\n3) 30000'),
                        Example("lockinfo report", INFO_EXAMPLE),
                        Example("lockinfo other", "(nil)"),
                    ),
                    arity=Arity(1, 1),
                    key_bytes_max=LOCK_NAME_BYTES_MAX,
                    reply=ReplyKind.ARRAY,
                    build=lambda given: LockInfo(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=Locks,
            number=55,
            read=locks,
            keys_named=lambda command: min(command.limit, SCAN_LIMIT_MAX),
            names=(
                CommandSpec(
                    name="locks",
                    syntax="locks [PREFIX [AFTER [LIMIT]]]",
                    summary="The locks that are held, in order: of each its name, mode, holders, and how many wait.",
                    examples=(
                        Example("lock report OWNER ana", '1) 65536\n2) "exclusive"\n3) 30000'),
                        Example("locks", '1) 1) "report"\n   2) "exclusive"\n   3) 1\n   4) 0'),
                    ),
                    arity=Arity(0, 3),
                    reply=ReplyKind.ARRAY,
                    build=build_locks,
                    keys=NO_ARGUMENTS,
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=UnlockOwned, number=51, write=unlock_owned, keys_named=lambda command: 8, log_name="unlock"
        ),
        CommandType(
            type=LeaveLine, number=52, write=leave_line, keys_named=lambda command: 8, log_name="leave"
        ),
    ),
)

LOCKS_OF_SESSIONS = Service(heading="locks of sessions", ending=OF_SESSIONS)
"""What sessions that have ended leave behind. The commands and keys of `LOCKS` are theirs, too."""
