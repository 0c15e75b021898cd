"""How large commands may be.

Two kinds of limit, never mixed. `Limits` is a node's configuration: it is checked where a request enters,
before anything reaches the log, and nodes may differ in it. The constants are the same on every node of every
cluster: the machine checks them at apply, so they are part of the replicated rules (hazard B64) and may only
change together with the format version.
"""

from dataclasses import dataclass

MIB = 1024 * 1024
"""Bytes in a mebibyte."""

KEY_BYTES_MAX = 480
"""Longest key. LMDB takes 511 bytes at most; the difference is room for the prefixes of the key space (hazard
B67)."""

VALUE_BYTES_CEILING = 4 * MIB
"""Longest value that any node may be configured to accept, and the longest that `append` may build."""

COMMAND_BYTES_CEILING = 5 * MIB
"""Most bytes of arguments that one command may be configured to hold: the largest value, with room for its
key."""

ENTRY_BYTES_MAX = COMMAND_BYTES_CEILING + 1 * MIB
"""Longest data of an entry of the log: the most bytes of arguments that a node can be configured to take, and what
stands around them."""

TIME_MS_MAX = 2**62
"""Latest time that an entry may bear: no clock gets there, and with the longest time to live it stays in 64 bits."""

BESIDE_VALUE_BYTES = 1024
"""What a command may hold beside its value: a key and some words. A node takes no setting that leaves less."""

KEYS_PER_COMMAND_MAX = 4_096
"""Most keys that one command may name: bounds the time that one log entry takes to apply, which holds up everything
else that a node does. So do the next three, chosen so that the largest legal entry takes less than 20 ms on the machine
of `benchmarks/worst_request.py`: with 600,000 keys on the disk, 4 us for each key of an `mset`, 6 to 9 us for each
command of a transaction, and 1 ms for each MiB of values that comes from the disk."""

TRANSACTION_KEYS_MAX = 2_048
"""Most keys that all commands of one transaction may touch: those that it names or watches, each command counting for
at least one, and those that its scans pass."""

TRANSACTION_MOVED_BYTES_MAX = 16 * MIB
"""Most bytes of values that all commands of one transaction may read and write: a short `append` moves a long value."""

REPLY_BYTES_MAX = 8 * MIB
"""Most bytes of values in one reply: `mget` of many large values is an error and not an exhausted memory."""

KEYS_LISTED_MAX = 10_000
"""Most keys that `keys` answers; who has more is to use `scan`."""

SCAN_LIMIT_DEFAULT = 100
"""Keys in one answer of `scan`, unless the command says."""

SCAN_LIMIT_MAX = 1_000
"""Most keys in one answer of `scan`."""

PAGE_BYTES_MAX = 4 * MIB
"""Bytes of values, or of entries of the log, with which a page ends; one value, or entry, more may be on it."""

TTL_MS_MAX = 2**53
"""Longest time to live, in milliseconds: some 285,000 years. With the cluster clock it stays below 64 bits."""

SESSION_IDLE_MS = 3_600_000
"""A session that is not used for so long, by the cluster clock, ends."""

SESSIONS_MAX = 65_536
"""Most sessions; to register one more ends the one that was idle for longest."""

SESSION_REPLIES_MAX = 1_024
"""Most replies that are kept for one session until its client has acknowledged them."""

SESSION_REPLY_BYTES_MAX = 32 * MIB
"""Bytes of kept replies at which a session takes no more operations until its client has acknowledged some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one node accepts from clients: `value_bytes` per value, `command_bytes` for all arguments of a command, or
    of all commands of a transaction, together.

    Raises `ValueError` for a limit that is not positive or above its ceiling.
    """

    value_bytes: int = 1 * MIB
    command_bytes: int = 4 * MIB

    def __post_init__(self) -> None:
        """Refuse limits that apply, the log or the peers could not honour."""
        if not 0 < self.value_bytes <= VALUE_BYTES_CEILING:
            raise ValueError(f"value_bytes must be from 1 to {VALUE_BYTES_CEILING}, not {self.value_bytes}")
        if not 0 < self.command_bytes <= COMMAND_BYTES_CEILING:
            raise ValueError(
                f"command_bytes must be from 1 to {COMMAND_BYTES_CEILING}, not {self.command_bytes}"
            )


CEILING = Limits(value_bytes=VALUE_BYTES_CEILING, command_bytes=COMMAND_BYTES_CEILING)
"""What is above this no node accepts, however it is configured: clients refuse it without asking one."""

DEFAULT_LIMITS = Limits()
"""The limits of a node that is not configured otherwise: 1 MiB per value, 4 MiB per command."""
