"""Links between peers: one connection per direction, over which the messages of the core travel in CBOR frames.

A node dials every other member and sends on the links that it dialled (`peer_client.PeerLinks`, each in `link.py`); it
receives on the links that others dialled (`peer_server.PeerServer`, the route GET /v1/peer of the HTTP listener). So
each link has one sender and one numbering, and a network that carries messages in one direction only shows as one link
that is up and one that is down. A dial is a request of HTTP that asks to change protocols (`upgrade.py`), so that a
node has one address; from then on the connection is a stream of frames with a length and a kind (`raftdb.wire.stream`),
and no task of its own reads or writes it (`stream.py`).

A link promises that messages arrive in order, each at most once, unchanged, from the node whose name they bear. It does
not promise that they arrive. Raft repairs losses, so a link sends nothing twice and keeps nothing for long.

* **Handshake first** (`handshake.py`): both sides say their protocol version and cluster, who they are and which node
  they mean. Either refuses the link if one of these does not fit, before any message is read. The start of a peer is
  known by its number and nonce, so messages that an earlier start still sends are not taken for those of the present
  one (hazards B90, B95).
* **Numbered, checksummed frames** (`raftdb.wire.peer`): a gap, a repeat, a damaged frame or a message under
  another name closes the link (hazards B94, B95, B104). The dialler comes back with a new numbering.
* **Sent at once** while the connection has room: the messages that the driver hands over in a turn are one frame, and
  the entries in it are the bytes of their blocks, encoded once for all followers (`raftdb.core.block`).
* **Bounded queues** (`send_queue.py`) while it has none: above a limit in bytes *new* messages are dropped and counted,
  because the queued ones are older and closer to what the peer needs next; the leader repairs the gap that a drop
  leaves. When a link goes down its queue is dropped, and nothing is queued until it is up: the messages would be stale
  by then (hazard B92).
* **Links follow the members**: the owner says which peers to dial and where, and whose links to cut. A link that moves
  to another address is reported down before it is reported up again, so that the end of the old one is not taken for
  the end of the new one.
* **Half-open connections** are found (`pinging.py`): the dialling side pings, and the accepting side expects pings. The
  time to send a frame is limited, and so is the time that the kernel keeps trying. A lost link is dialled again after a
  pause with jitter. All these times stand in `limits.py` (hazard B93).
* **Losses are repaired soon** (`kernel_retries.py`): TCP doubles its wait after each try that is lost. That wait is
  capped at a few trips, on Linux since 6.15 (hazard B110).
* **Waits fit the network** (`trips.py`): handshakes and pings measure how long a trip there and back takes, and every
  wait is a number of such trips within named bounds. The owner is told each trip, because the election timeout depends
  on it, too.
* **Snapshots are fetched beside the links** (`snapshot_client.py`, `snapshot_server.py`), range by range over HTTP on
  the same address, so that no heartbeat waits for them; a download that was interrupted goes on where it stopped.
* **Who joins proves itself** (`joining.py`), if the cluster has a secret, and believes only who does so, too.
* **Requests are passed on beside the links** (`forward_client.py`, `forward_server.py`): what clients ask of a node
  that does not lead goes to the leader over a connection of its own, so no heartbeat waits for it.
* **A medium lies between** (`medium.py`): the network as it is, or, where fault injection was asked for, one that
  delays and loses what is sent (`impaired.py`).
* **No compression**: entries are small or already dense, and a compressed frame shows the size of its plain text only
  after it was unpacked.

Considered and rejected: WebSocket. The dialler has to mask each message, which copies it, and a task wakes at either
end: with 64 clients that took a sixth of a leader's time. What WebSocket adds (kinds of frames, pings, a close with a
reason) takes few lines over a protocol of asyncio.

Who is a peer is proved before anything is decoded (`proof.py`): with a secret that the nodes share, every frame, the
handshake's included, bears a seal that only they can make, and only once; with certificates that name the members
(`certificates.py`), TLS does the same, and hides what is said. Without a secret a stranger that can reach
the port and knows the cluster's id and a member's id and uuid can pose as that member, so such a port belongs on a
trusted network.
"""

from raftdb.transport.certificates import (
    Certificate,
    CheckedObject,
    PeerContext,
    PeerTls,
    accept_peers,
    ids_in,
    uris_in,
)
from raftdb.transport.events import PeerEvents
from raftdb.transport.forward_client import ForwardEvents, ForwardLink
from raftdb.transport.forward_server import ForwardServer, ForwardStream
from raftdb.transport.handshake import CheckPeer, Introduction, LocalIdentity, Recollection
from raftdb.transport.impaired import ImpairedMedium
from raftdb.transport.joining import JoinAnswer, JoinServer, ask_to_join
from raftdb.transport.link import LinkStatistics
from raftdb.transport.medium import THE_NETWORK, Medium
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.peer_server import PeerServer
from raftdb.transport.proof import SECRETS_MAX, PeerProof, Secrets
from raftdb.transport.reasons import short_reason
from raftdb.transport.sessions import new_session, where
from raftdb.transport.snapshot_client import PIECE_TIMEOUT_S, FetchFailed, SnapshotClient
from raftdb.transport.snapshot_server import SnapshotServer

__all__ = [
    "PIECE_TIMEOUT_S",
    "SECRETS_MAX",
    "THE_NETWORK",
    "Certificate",
    "CheckPeer",
    "CheckedObject",
    "FetchFailed",
    "ForwardEvents",
    "ForwardLink",
    "ForwardServer",
    "ForwardStream",
    "ImpairedMedium",
    "Introduction",
    "JoinAnswer",
    "JoinServer",
    "LinkStatistics",
    "LocalIdentity",
    "Medium",
    "PeerContext",
    "PeerEvents",
    "PeerLinks",
    "PeerProof",
    "PeerServer",
    "PeerTls",
    "Recollection",
    "Secrets",
    "SnapshotClient",
    "SnapshotServer",
    "accept_peers",
    "ask_to_join",
    "ids_in",
    "new_session",
    "short_reason",
    "uris_in",
    "where",
]
"""What other packages may use."""
