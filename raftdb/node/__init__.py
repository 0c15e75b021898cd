r"""The node: where consensus, state and clients meet.

```
  peers ----> receive  \                          / persist ----> log writer thread ----> persisted
  clients --> execute   >  Inputs -> Replica.turn -> Effects  -- messages ---> peers
  clock ----> tick     /                          \ answers ----> clients
```

* `replica` holds the core, the machine and the waiting requests. It does no I/O: `turn(inputs) -> effects`.
* `driver` is its only owner: it gathers what one turn of the event loop brings, and carries the effects out.
* `pending` knows who waits for which entry or read index, and what each may be told.
* `persist` turns the core's records into bytes and a disk back into a node.
* `status` describes a node for people and for `GET /v1/status`.

Promises. A write is answered once its entry is applied, and so is on disk on a majority. A linearizable read is
answered from a state that has applied everything committed when the read arrived, by a node that was confirmed to
lead after it arrived. What is said to peers was on disk before (`raftdb.core.update`). An error that is not a
declared reply stops the node: replicas must not diverge.

It does not retry for clients, redirect, or know HTTP: that is the frontends' and the clients' work.
"""
