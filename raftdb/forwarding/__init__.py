"""Forwarding: a node that does not lead passes requests of its clients on to the leader, and brings the answers back.

* `forwarder` is the node that took the requests: their order, their sending again to a new leader, and their bounds.
  `sessions` are its own, by which a write happens once.
* `executor` is the leader: it executes what one node passes on, in order, and stops at the first request whose outcome
  it does not know.
* `waits` are the requests that a leader holds until they can be served, beside all others.
* `frames` turns requests and answers into bytes, `channels` are the ways to a leader; `raftdb.transport` carries the
  frames. `ports` is the world as the forwarder uses it.

Decisions
---------
* **A connection of its own.** Requests travel neither on the links between peers nor as requests of HTTP. On a link a
  heartbeat would wait behind megabytes of values, and a link has one direction while answers have to come back. HTTP
  would cost a head, a parse and a task for each request. The connection begins with the handshake of a link, so both
  ends know that they are the members they claim to be.
* **Operations out, results back.** A request is checked and encoded where it was taken, and the leader writes the same
  bytes into its log; it decodes them once, because an entry that cannot be decoded would stop every node. An answer is
  the machine's, independent of frontends, and becomes a reply where the client is.
* **One order for all.** Requests are sent in the order in which they were submitted. When the leader changes or the
  connection ends, all that are unanswered are sent again in that order, before any new ones. The executor stops at the
  first request that it cannot decide, so that none that follows is executed before it.
* **Exactly once.** Every write has a session of the node and a sequence, and the machine tells a repetition. Reads are
  just read again, except those within the log: they have a session, too, because a second copy would see the writes
  that followed the first one. An answer that says "not executed" to a write that was sent before is not believed: its
  first copy may be in the log, so the outcome is unknown. So it is with what waits to take a message (`waits`).
* **Sessions that nobody takes away.** Those of nodes are counted apart from those of clients, so no number of clients
  ends one (`raftdb.machine.sessions`).
* **If this node leads**, and nothing waits, requests go straight to its driver, without a session. What the driver
  refuses because the leadership was lost is passed on.

The sessions last as long as the process: who has died cannot ask for its answers, and its sessions end after an hour.
"""

from raftdb.forwarding.channels import HereChannel, LinkChannel, execute_for
from raftdb.forwarding.executor import is_undecided
from raftdb.forwarding.forwarder import Forwarder, ForwardLimits
from raftdb.forwarding.ports import Channel, ChannelEvents

__all__ = [
    "Channel",
    "ChannelEvents",
    "ForwardLimits",
    "Forwarder",
    "HereChannel",
    "LinkChannel",
    "execute_for",
    "is_undecided",
]
"""What other packages may use."""
