"""How much work may be done in one go: the table of budgets.

A node has one event loop. Whatever runs on it without a pause holds up the heartbeats of a leader and the answers of a
follower; for longer than an election timeout, which is 300 ms unless set otherwise, it costs the leadership. So each
piece of work that grows with what a client sends, or with what is stored, has a bound, and one of four things happens
beyond it:

* refused: the limits of `raftdb.limits`, which users see, bound what an entry of the log takes to apply;
* cut into slices, each in a turn or an entry of its own: here, and what storage does with overlays and checkpoints
  (`storage.overlay`), the core with batches of entries (`raftdb.core.state.Settings`);
* done on a thread, which shares the interpreter with the loop but cannot hold it: the last part of this table;
* given up with an error that says when to try again.

Bytes stand for time: one that is copied takes a quarter of a nanosecond, one that comes from the disk and is verified a
whole one, and a key as much as `KEY_BYTES`. `benchmarks/worst_request.py` measures what comes of it, and the watchdog
of each node (`raftdb.node.watchdog`) tells what nobody thought of.
"""

from raftdb.limits import MIB

KEY_BYTES = 1024
"""What each key counts for that is looked up, passed by a scan or changed: one to four microseconds."""

APPLY_ENTRIES_MAX = 1024
"""Entries applied in one turn."""

APPLY_BYTES_MAX = 8 * MIB
"""Work of the entries applied in one turn, some 10 ms; the last one may be the largest there is."""

READ_BYTES_MAX = 8 * MIB
"""Work of the reads served in one turn, likewise; the others wait for the next."""

PROPOSE_BYTES_MAX = 4 * MIB
"""Bytes of writes proposed in one step, so that the bound on what waits for a majority is looked at in between."""

SWEEP_VALUES_MAX = 1_000
"""Most values that one `Expire` ends. This and the next four are replicated rules, as all that apply goes by."""

SWEEP_SESSIONS_MAX = 64
"""Most sessions that one `Expire` ends."""

SWEEP_REPLIES_MAX = 1_000
"""Kept replies removed with which an `Expire` ends no further session; the last may have as many as a session can."""

EXPIRED_COUNTED_MAX = 1_000
"""Of the values whose time is up and that are not removed yet, how many `dbsize` leaves out: it counts those, and must
not take for ever if very many end at once."""

EXPIRED_PASSED_MAX = 5_000
"""Values whose time is up, and that are not removed yet, that one scan passes before it gives up."""

LOG_PAGE_ENTRIES_MAX = 1_000
"""Most entries in one page of the log; `limits.PAGE_BYTES_MAX` bounds their bytes."""

KEYS_ON_LOOP_MAX = 256
"""An operation that names more keys is put into bytes on a thread."""

BODY_BYTES_ON_LOOP_MAX = 64 * 1024
"""A longer body of a request is read, as JSON and as commands, on a thread: half a millisecond at the most for those
that are not."""

REPLY_BYTES_ON_LOOP_MAX = 64 * 1024
"""A reply of more bytes of values becomes JSON on a thread."""
