r"""The node: where consensus, state and clients meet.

```
  peers ----> receive  \                          / persist ----> log writer thread ----> persisted
  clients --> execute   >  Inputs -> Replica.turn -> Effects  -- messages ---> peers
  clock ----> tick     /                          \ answers ----> clients
```

* `replica` holds the core, the machine and the waiting requests. It does no I/O: `turn(inputs) -> effects`.
* `effects` is the order in which effects are carried out, and what is gathered for the next turn; without I/O, and the
  same for a real node and a simulated one. `effect_handler` is what a real node does with each, `telling` its lines
  of the log.
* `driver` is the replica's owner, and the only one that runs its turns: it admits requests and runs a turn for all
  that has arrived.
* `disk_reports` is how far the log is on the disk, as its thread tells the driver.
* `view` is what all others may read of a node: no other part reaches into the replica or its core (`tests/tidy.py`).
* `watchdog` reports what holds up the event loop.
* `aside` is the thread for work that is too long for the event loop.
* `turn` defines what goes into a turn and what comes out, and the world around it: disk, network and snapshots.
* `bodies` finds the entries themselves, in memory or on the disk. `execution` applies slices of committed ones to the
  state, and serves reads of the key space and pages of the log.
* `history` keeps what was applied lately, change by change, and `watches` finds who is to hear of it.
* `past` is how keys were some time ago.
* `clock` counts the time of the cluster on the leader, passes it to the followers, and has the leader propose that what
  is due ends.
* `checkpoints` begins checkpoints of the state and knows which requests wait for one; `compaction` says when one is due
  without a request, and where the log begins after it.
* `space` counts the bytes that may still be written, and passes on which nodes are short of space.
* `pending` knows which request waits for which entry or read index, and what each may be told; it has the words for
  one that is not executed.
* `waiting` holds requests until they can be served, and has the essay on it; `timers` has their deadlines, `orphans`
  the places in lines that nobody asks for any more, `world` is what they may know of their node, and `held` is what
  frontends see of it.
* `membership` knows which requests wait for other members or another leader, and what they are told.
* `standing` says, by the configurations, which folder a calling node has to be, and what this node itself can be.
* `starts` finds out that a folder was put back to an older copy of itself.
* `stored` turns the core's records into bytes and a disk back into a node.
* `suspicion` judges silences by the phi-accrual method, and `contacts` keeps when each peer was heard; both inform
  people only.
* `chronicle` keeps what happens, for people who watch.
* `counts` is what a node counts of itself.
* `status` describes a node for people and for `GET /v1/status`, `describe` the entries of its log.

The node promises this. A write is answered once its entry is applied, and so is on disk on a majority. A linearizable
read is answered from a state that has applied everything committed when the read arrived, by a node that was confirmed
to lead after it arrived; a requested checkpoint is such a read. A key or session that is to end at a time of the
cluster ends by an entry, and never before that time. A request that is held is answered once (`waiting`). While a
received snapshot is put in place nothing is applied and no read is served. All that is promised to peers was on disk
before (`raftdb.core.update`). An error that is not a declared reply stops the node: replicas must not diverge.

It does not retry for clients, redirect, pass on or know HTTP: that is the work of frontends, clients and
`raftdb.forwarding`.
"""

__all__ = [
    "aside",
    "chronicle",
    "clock",
    "compaction",
    "describe",
    "driver",
    "effects",
    "execution",
    "held",
    "history",
    "membership",
    "past",
    "pending",
    "replica",
    "standing",
    "starts",
    "status",
    "stored",
    "turn",
    "view",
    "watches",
]
"""The modules that other packages may use. Who only reads a node uses `view`; what is in a turn is the replica's."""
