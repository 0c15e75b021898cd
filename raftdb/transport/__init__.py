"""Links between peers: one connection per direction, over which the messages of the core travel in CBOR frames.

A node dials every other member and sends on the links that it dialled (`peer_client.PeerLinks`, each in `link.py`); it
receives on the links that others dialled (`peer_server.PeerServer`, the route GET /v1/peer of the HTTP listener). So
each link has one sender and one numbering, and a link that works in one direction only is seen as what it is. A dial is
a request of HTTP that asks to change protocols (`upgrade.py`), so that a node has one address; from then on the
connection is a stream of frames with a length and a kind (`raftdb.wire.stream`), and no task of its own reads or writes
it (`stream.py`).

What a link promises: messages arrive in order, each at most once, unchanged, from the node whose name they bear. What
it does not: that they arrive. Raft repairs losses, so nothing here is sent twice and nothing waits for long.

* **Handshake first** (`handshake.py`): both sides say protocol version, cluster, who they are and whom they mean.
  Either refuses what does not fit, before any message is looked at (hazards B90, B95).
  A new start of a peer, known by its number and nonce, makes what earlier ones still send worthless.
* **Numbered, checksummed frames** (`raftdb.wire.peer`): a gap, a repeat, a damaged frame or a message under
  another name closes the link (hazards B94, B95, B104). The dialler comes back with a new numbering.
* **Sent at once** while the connection takes it: what the driver hands over in a turn is one frame, and the entries in
  it are encoded once for all followers (`raftdb.wire.peer.EntryColumns`).
* **Bounded queues** (`send_queue.py`) for what it does not take: above a limit in bytes *new* messages are dropped and
  counted (hazard B92).
  What is queued is older and closer to what the peer needs next; the leader repairs the gap that a drop leaves.
  While a link is down nothing is queued, and what was queued is thrown away: stale by the time it could leave.
* **Links follow the members**: the owner says whom to dial and where, and whose links to cut. A link that moves is down
  before it is up again, so that the end of the one is not taken for the end of the other.
* **Half-open connections** (`pinging.py`, hazard B93): who dials pings, who accepts expects to be pinged; a limit on
  the time to send a frame, and one on the time that the kernel keeps trying. A link that is lost is dialled again after
  a pause with jitter. All such times stand in `limits.py`.
* **Losses are repaired soon** (`kernel_retries.py`): TCP waits twice as long after each try that was lost; over a way
  that loses packets that is capped at some trips (hazard B110), on Linux since 6.15.
* **Waits fit the way** (`trips.py`): handshakes and pings measure how long it takes there and back, and every wait is a
  number of such trips within named bounds. The owner hears of them, for elections take trips, too.
* **Snapshots are fetched beside the links** (`snapshot_client.py`, `snapshot_server.py`), range by range over HTTP on
  the same address, so that no heartbeat waits behind them; what was interrupted goes on where it was.
* **No compression**: entries are small or already dense, and a compressed length says how large its plain text is only
  once it is too late.

Considered and rejected: WebSocket, which was here first. Each message was masked by the dialler, copied for that, and
woke a task at either end: of a leader's time at 64 clients that was a sixth. What it brings (kinds of frames, pings, a
farewell with a reason) takes few lines over a protocol of asyncio.

Limit of this version: a stranger who can reach the port and knows the cluster's id and a member's names and uuid
can pose as that member. Until peers prove a secret, the port belongs on a trusted network.
"""
