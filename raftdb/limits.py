"""The limits on commands, keys, values, sessions and answers.

There are two kinds of limit. `Limits` is a node's configuration: it is checked where a request enters, before it
reaches the log, and nodes may differ in it. The constants are the same on every node of every cluster: the machine
checks them at apply, so they are part of the replicated rules, and may only change together with the format version
(hazard B64).
"""

from dataclasses import dataclass

MIB = 1024 * 1024
"""Bytes in a mebibyte."""

KEY_BYTES_MAX = 480
"""Longest key. LMDB takes 511 bytes at most; the difference is room for the prefixes of the key space (hazard B67)."""

VALUE_BYTES_CEILING = 4 * MIB
"""Longest value that any node may be configured to accept, and the longest that `append` may build."""

COMMAND_BYTES_CEILING = 5 * MIB
"""Most bytes of arguments that a node may be configured to accept in one command: the largest value, with room for its
key."""

ENTRY_BYTES_MAX = COMMAND_BYTES_CEILING + 1 * MIB
"""Longest data of an entry of the log: the most bytes of arguments that a node may be configured to accept, and their
encoding."""

TIME_MS_MAX = 2**62
"""Latest time that an entry may bear, in milliseconds: no clock gets there, and the sum with the longest time to live
stays within 64 bits."""

BESIDE_VALUE_BYTES = 1024
"""The bytes of arguments that a command needs beside its value: a key and some words. A node refuses settings that
leave less."""

KEYS_PER_COMMAND_MAX = 4_096
"""Most keys that one command may name. It bounds the time that one log entry takes to apply, during which a node does
nothing else. So do the next three limits, and all are chosen so that the largest legal entry takes less than 20 ms in
`benchmarks/worst_request.py`: measured with 600,000 keys on the disk, each key of an `mset` takes 4 us, each command of
a transaction 6 to 9 us, and each MiB of values from the disk 1 ms."""

TRANSACTION_KEYS_MAX = 2_048
"""Most keys that one transaction may touch: those that it watches or its commands name, at least one for each command,
and those that its scans pass."""

TRANSACTION_MOVED_BYTES_MAX = 16 * MIB
"""Most bytes of values that all commands of one transaction may read and write, because a short `append` reads and
writes a long value."""

REPLY_BYTES_MAX = 8 * MIB
"""Most bytes of values in one reply, so that an `mget` of many large values fails instead of using up the memory."""

KEYS_LISTED_MAX = 10_000
"""Most keys that `keys` answers; with more of them it fails, and `scan` has to be used."""

SCAN_LIMIT_DEFAULT = 100
"""Keys in one answer of `scan`, unless the command gives a number."""

SCAN_LIMIT_MAX = 1_000
"""Most keys in one answer of `scan`."""

PAGE_BYTES_MAX = 4 * MIB
"""A page of keys or of the log ends once it has this many bytes of values or entries, so the last one may exceed it."""

TTL_MS_MAX = 2**53
"""Longest time to live, in milliseconds: some 285,000 years. Added to the cluster clock it stays within 64 bits."""

WAIT_MS_MAX = 50_000
"""Longest time for which one request may wait until it is served, in milliseconds; clients ask again."""

WAIT_AGAIN_MS = 40_000
"""A client that asks to wait at least so long, in milliseconds, and gets nothing will ask again at once: its place in a
line is kept for that, as that of one whose connection broke."""

WAITING_MAX = 20_000
"""Most requests that one node holds until they can be served."""

SESSION_IDLE_MS = 3_600_000
"""A session that is not used for this long, by the cluster clock, ends."""

SESSION_TTL_MS_MIN = 1_000
SESSION_TTL_MS_MAX = 24 * 3_600_000
"""The time to live that a client may give its session: it ends if it is not used for so long."""

SESSIONS_MAX = 65_536
"""Most sessions; registering one more ends the one that was idle for longest."""

USER_SESSIONS_MAX = SESSIONS_MAX // 4
"""Most sessions of one user, so that no user takes those of all others; one more ends one of its own."""

NODE_SESSIONS_MAX = 4_096
"""Most sessions of nodes, which pass requests on: those of 64 starts within an hour. They are counted apart, so that no
client's session ever takes the place of one."""

SESSION_REPLIES_MAX = 1_024
"""Most replies that are kept for one session until its client acknowledges them."""

SESSION_REPLY_BYTES_MAX = 32 * MIB
"""Bytes of kept replies at which a session takes no more operations until its client acknowledges some."""

SESSION_BOUND_MAX = 1_000
"""Most locks and places in lines that one session has at once."""

SESSION_KEYS_MAX = 1_000
"""Most keys that are bound to one session at once. All of them are removed in the entry in which it ends: no more than
an `Expire` may end (`budgets.SWEEP_VALUES_MAX`)."""

USERS_MAX = 1_000
"""Most users of a cluster, and most roles."""

USER_NAME_BYTES_MAX = 63
"""Longest name of a user, of a role, and longest label of a token."""

USER_ROLES_MAX = 16
"""Most roles of one user."""

ROLE_GRANTS_MAX = 64
"""Most grants of one role."""

USER_TOKENS_MAX = 100
"""Most tokens of one user. All of them go with the user, in one entry."""

LOCK_NAME_BYTES_MAX = 200
"""Longest name of a lock."""

OWNER_BYTES_MAX = 100
"""Longest owner of a lock."""

OWNER_PLACES_MAX = 1_000
"""Most locks for which one owner waits at once."""

FENCES_MAX = 64
"""Most locks on whose tokens one request may rely beside its commands."""

LOCK_LINE_MAX = 10_000
"""Most owners that wait for one lock."""

LOCK_LIMIT_MAX = 1_000_000
"""Most holders of a lock with a limit."""

LOCK_TTL_MS_MIN = 1_000
"""Shortest lease of a lock: shorter ones could not be renewed in time."""

LOCK_TTL_MS_MAX = 86_400_000
"""Longest lease of a lock: a day."""

LOCK_TTL_MS_DEFAULT = 30_000
"""The lease of a lock, unless the command says another."""

LOCK_FIRST_LEASE_MS = 10_000
"""Longest lease of a lock that is granted to somebody who waited, until it is renewed: the client may be gone."""


QUEUE_NAME_BYTES_MAX = 200
"""Longest name of a queue."""

QUEUE_WORD_BYTES_MAX = 100
"""Longest GROUP, DEDUP, UNIQUE and WORKER of a message."""

MESSAGE_ERROR_BYTES_MAX = 1_000
"""How much of the text of an error is kept with the message that failed."""

RECEIVE_COUNT_MAX = 100
"""Most messages that one `receive` hands out."""

RECEIVE_BYTES_MAX = 4 * MIB
"""Most bytes of values that one `receive` hands out; the first message may have more."""

RECEIPTS_MAX = 500
"""Most receipts or ids that one command on a queue names, for the sake of time, as `KEYS_PER_COMMAND_MAX`."""

QUEUE_STEPS_MAX = 4
"""What a command on one message counts for, in keys, where `TRANSACTION_KEYS_MAX` bounds a transaction."""

DEDUP_IDS_MAX = 1_000_000
"""Most DEDUP ids that are kept for one queue."""

DEAD_LETTER_QUEUES_MAX = 16
"""Most queues that one follows from another by `dead_letter`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one node accepts from clients: `value_bytes` in a value, `command_bytes` in all arguments of a
    command, or of all commands of a transaction together.

    Raises `ValueError` for a limit that is not positive or above its ceiling.
    """

    value_bytes: int = 1 * MIB
    command_bytes: int = 4 * MIB

    def __post_init__(self) -> None:
        """Refuse limits above what the machine, the log and the peers can take."""
        if not 0 < self.value_bytes <= VALUE_BYTES_CEILING:
            raise ValueError(f"value_bytes must be from 1 to {VALUE_BYTES_CEILING}, not {self.value_bytes}")
        if not 0 < self.command_bytes <= COMMAND_BYTES_CEILING:
            raise ValueError(
                f"command_bytes must be from 1 to {COMMAND_BYTES_CEILING}, not {self.command_bytes}"
            )


CEILING = Limits(value_bytes=VALUE_BYTES_CEILING, command_bytes=COMMAND_BYTES_CEILING)
"""The highest limits of any node. A client refuses larger commands without sending them."""

DEFAULT_LIMITS = Limits()
"""The limits of a node that is not configured otherwise: 1 MiB per value, 4 MiB per command."""
