"""What happens to queues and locks while entries are applied, for those who count it (`Layer.note_happened`).

Nothing of it is in the state, and no handler reads it: what is noted has no effect on what is replicated.
"""

from enum import IntEnum
from typing import NamedTuple


class Happening(IntEnum):
    """Something that happened to one message, or to one lock."""

    ENQUEUED = 1
    DELIVERED = 2
    REDELIVERED = 3
    """Delivered, and not for the first time: beside `DELIVERED`."""
    ACKED = 4
    """Acknowledged, or taken for good."""
    DIED = 5
    """A message is dead, or went to the queue of the dead."""
    GRANTED = 6
    """A lock was granted."""
    LEASE_EXPIRED = 7
    """A hold ended because its time was over."""
    DEADLOCK = 8
    """A wait was refused because it would never have ended."""


class Happened(NamedTuple):
    """One of these. `waited_ms`: for how long a message or an owner had waited for it, by the cluster clock."""

    what: Happening
    waited_ms: int = 0
