"""How much disk a log and a state may occupy: the stated bounds, derived from settings and numbers of keys.

LMDB never gives a page back to the disk, but writes every free page again before the file grows. So a file stays as
long as it was at its worst moment, when live pages and pages freed too recently to be reused add up.

The log. Live records are the tail kept before a checkpoint, those appended since then until the next one began, and
those appended while that one was written and the log trimmed: the last are fewer than those before them, for a
checkpoint is written faster than its changes come. An entry is counted with 32 bytes beside its data. In a block of its
own it takes 47, which with an operation in it is at most half as much again, and in a larger block 4. A block larger
than half a page has pages of its own, of which the last may be nearly empty: twice its bytes at most.

The state. A checkpoint writes new pages and frees the old ones, which the next transaction but one may use: so there
are at most three copies of each page. Pages that were split in the middle are half full at worst.
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
