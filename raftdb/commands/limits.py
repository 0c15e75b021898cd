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

VALUE_BYTES_CEILING = 16 * MIB
"""Longest value that any node may be configured to accept, and the longest that `append` may build."""

COMMAND_BYTES_CEILING = 20 * MIB
"""Most bytes of arguments that one command may be configured to hold: the largest value, with room for its
key."""

KEYS_PER_COMMAND_MAX = 16_384
"""Most keys that one command may name: bounds the time that one log entry takes to apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one node accepts from clients: `value_bytes` per value, `command_bytes` for all arguments
    together.

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


DEFAULT_LIMITS = Limits()
"""The limits of a node that is not configured otherwise: 1 MiB per value, 4 MiB per command."""
