"""Bytes to objects and back: no sockets, no state.

Three kinds of bytes, and three kinds of trust:

* **From a peer** (`peer`, `handshake`; `stream` has the bytes around them): frames of CBOR under a CRC. Everything is
  checked before anything is used: size, checksum, number of items, then the exact type and range of every field. A
  frame that does not fit raises `RemoteProtocolError`, and the connection is closed; a corrupt frame is never decoded
  (hazards B94, B96).
* **From the log** (`configuration`; and, beside the commands themselves, `raftdb.machine.entries`): bytes that our own
  leader encoded. They are replicated and compared, so one object has one encoding, whatever the interpreter's hash seed
  (hazard B66). The same strict checks run; one replica alone cannot skip an entry that fails them, so the machine makes
  it fatal.

* **From a stranger** (`resp`, the requests of Redis clients; `resp_replies` is the way back): bounded before anything
  is built, and refused in Redis' words. That ends the stream, for nothing says where the next request begins.

Our own clients and nodes talk in JSON: `json_bytes` defines, for both sides, how byte strings stand in it, and how long
legal requests and answers can be.

`cbor` is the only module that calls the CBOR library's decoder. `fields` holds the exact checks.

Entries in blocks
-----------------
The entries of an `AppendEntries` travel in the blocks in which they were proposed, each as the bytes that stand in
every log (`raftdb.core.block`), and so they are encoded once for all followers and all disks. A block costs a decoder
one item, however many entries are in it. Its header, its table of sizes and its checksum are verified here; no entry in
it is looked at before it is applied.

Considered and rejected
-----------------------
* Decoding a frame and encoding it again to find trailing bytes: that costs twice as much, and the decoder's position
  shows it, too.
* A bound on bytes alone: two megabytes of empty maps become 185 MB of objects (hazard B96), so items are
  counted, before any is built; a frame with fewer bytes than the bound on items needs no count.
* Maps for messages: names cost bytes and time in every message. Only the handshake is a map, because it must
  be readable between versions.
"""

__all__ = [
    "cbor",
    "configuration",
    "fields",
    "frames",
    "handshake",
    "json_bytes",
    "peer",
    "resp",
    "resp_replies",
    "sealing",
    "stream",
]
"""The modules that other packages may use."""
