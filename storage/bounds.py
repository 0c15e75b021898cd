"""How much disk a log and a state may occupy, from what they are told: the stated bounds, derived.

LMDB never gives a page back to the disk, but writes every free page again before the file grows. So a file is as long
as what was alive at its worst moment, and what was alive and what was free but not free yet add up.

The log. Alive are the tail kept behind a checkpoint, what came since then until the next one began, and what came while
that one was written and the log trimmed: less than another such amount, for a checkpoint is written faster than its
changes come. A record is counted with 32 bytes beside its data and takes 31 in a page; one larger than half a page has
pages of its own, of which the last may be nearly empty: twice its bytes at most.

The state. A checkpoint writes new pages and frees the old ones, which the next transaction but one may use: so there
are three of each page at most. Pages that were split in the middle are half full at worst.
"""

SLACK_BYTES = 1 << 20
"""Meta pages, branches, the lists of free pages, named databases."""
PAGE_FACTOR = 2
"""Bytes of pages over bytes in them, at worst."""
COPIES = 3
"""A page of the present checkpoint, of the last, and of the one before."""
NODE_BYTES = 10
"""What LMDB keeps for each record beside key and value: a header, and its place in the page."""
CHECKSUM_BYTES = 4


def log_bytes_max(*, tail_bytes: int, checkpoint_bytes: int) -> int:
    """Bytes on disk of a log, by its settings; `checkpoint_bytes` is what is appended from one checkpoint to the next.

    A command is about as long as the keys and values that it changes. A follower that is receiving a snapshot adds
    what is retained for it.
    """
    return PAGE_FACTOR * (tail_bytes + 2 * checkpoint_bytes) + SLACK_BYTES


def state_bytes_max(*, keys: int, record_bytes: int) -> int:
    """Bytes on disk of a state that never held more than `keys` records, each of `record_bytes` (key and value)."""
    return COPIES * PAGE_FACTOR * keys * (record_bytes + CHECKSUM_BYTES + NODE_BYTES) + SLACK_BYTES
