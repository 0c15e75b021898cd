"""A network that is worse than it is: conditions that one can set on the links between nodes, for lessons and tests.

Nobody needs root for it, because the nodes do it themselves, at the sender, to the messages that they would send. It is
done in the words of `tc netem` (`conditions`), by a link that draws what happens to each message from a seed (`lane`),
for all links of a node, with cuts (`network`). There is no I/O here: `raftdb.transport.impaired` asks and sends.

It is not netem. That acts on packets below TCP, which sends lost ones again; this acts on whole messages above it:

* A message of Raft that is lost stays lost, as one is that a node drops because its link is down. Raft repairs that.
* What has to be complete, because it is a stream (handshakes, pings, requests that are passed on, snapshots), is not
  lost but late, by as much as TCP would take to send it again.
* Jitter alone changes no order, as TCP would not let it. `reorder` does: such a message is sent at once, and overtakes
  those that are delayed.
* A corrupted message is one that is lost, and counted as corrupted: its checksum would end the link else.

So for how TCP behaves on a bad network there is no way around `tc`, or a relay between the nodes.
"""

from raftdb.impairment.conditions import NO_CONDITIONS, BadConditions, Conditions, parse_conditions
from raftdb.impairment.lane import Lane
from raftdb.impairment.network import LINKS_MAX, ImpairedNetwork, NetworkChange

__all__ = [
    "LINKS_MAX",
    "NO_CONDITIONS",
    "BadConditions",
    "Conditions",
    "ImpairedNetwork",
    "Lane",
    "NetworkChange",
    "parse_conditions",
]
"""What other packages may use."""
