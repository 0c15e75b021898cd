"""The table of budgets: how much work may be done in one turn of the event loop.

A node has one event loop. Work that runs on it without a pause holds up the heartbeats of a leader and the answers of a
follower; if it takes longer than the election timeout, the leadership is lost. So each piece of work that grows with
the requests of clients or with the stored data has a bound, and beyond it work is handled in one of four ways:

* refused: the limits of `raftdb.limits`, which users see, bound the time that an entry of the log takes to apply;
* cut into slices, each in a turn or an entry of its own: by this table, in storage for overlays and checkpoints
  (`storage.overlay`), and in the core for batches of entries (`raftdb.core.state.RaftSettings`);
* done on a thread, which shares the interpreter with the loop but cannot hold it up: the last part of this table;
* given up, with an error that says when to try again.

Bytes stand for time: copying a byte takes a quarter of a nanosecond, reading one from the disk and verifying it a whole
one, and a key counts as `KEY_BYTES`. `benchmarks/worst_request.py` measures how long turns take, and the watchdog of
each node (`raftdb.node.watchdog`) reports turns that take longer than foreseen.
"""

from raftdb.limits import MIB

KEY_BYTES = 1024
"""The bytes that a key counts for if it is looked up, passed by a scan or changed: one to four microseconds."""

APPLY_ENTRIES_MAX = 1024
"""Entries applied in one turn."""

APPLY_BYTES_MAX = 8 * MIB
"""Bytes of entries applied in one turn, about 10 ms; the last entry may exceed it."""

READ_BYTES_MAX = 8 * MIB
"""Bytes of reads served in one turn, likewise; later reads wait for the next turn."""

PROPOSE_BYTES_MAX = 4 * MIB
"""Bytes of writes proposed in one step, between which the bound on entries that wait for a majority is checked."""

SWEEP_VALUES_MAX = 1_000
"""Most values that one `Expire` ends. This and the next five are replicated rules, because apply depends on them."""

SWEEP_SESSIONS_MAX = 64
"""Most sessions that one `Expire` ends."""

SWEEP_LOCKS_MAX = 200
"""Leases, and owners who get what is free then, after which an `Expire` ends no further lease; the last one may let
many share a lock."""

SWEEP_REPLIES_MAX = 1_000
"""Removed replies after which an `Expire` ends no further session; the last session may have as many as are kept."""

SWEEP_ABANDONED_MAX = 1_000
"""Most keys of things that are gone as a whole, as after `flushall`, that one `Expire` removes; likewise replicated."""

QUEUE_EVENTS_MAX = 200
"""Most messages of a queue whose time is up that one command on it, or one `Expire`, looks after before anything else.
This and the next four are replicated rules, too."""

QUEUE_EVENT_BYTES_MAX = 4 * MIB
"""Bytes of values after which it moves no further message to another place."""

PEEK_PASSED_MAX = 5_000
"""Messages that one `peek` passes in search of those in a state before it gives up."""

SWEEP_QUEUES_MAX = 500
"""Most ends of queues that one `Expire` looks after: events of messages, DEDUP ids, messages to move."""

SWEEP_QUEUE_KEYS_MAX = 2_000
"""Keys removed or changed for queues after which an `Expire` looks after no further end; `KEY_BYTES` of values that
are moved count as one."""

EXPIRED_COUNTED_MAX = 1_000
"""How many expired values that are not removed yet `dbsize` finds and leaves out of its count: more would take it too
long if very many expire at once."""

EXPIRED_PASSED_MAX = 5_000
"""Expired values that are not removed yet that one scan passes before it gives up."""

LOG_PAGE_ENTRIES_MAX = 1_000
"""Most entries in one page of the log; `limits.PAGE_BYTES_MAX` bounds their bytes."""

KEYS_ON_LOOP_MAX = 256
"""An operation that names more keys is put into bytes on a thread."""

BODY_BYTES_ON_LOOP_MAX = 64 * 1024
"""A longer body of a request is parsed, as JSON and as commands, on a thread; a shorter one takes half a millisecond at
most."""

REPLY_BYTES_ON_LOOP_MAX = 64 * 1024
"""A reply with more bytes of values is encoded as JSON on a thread."""
