"""Storage on LMDB, of bytes and integers: the log, which raftdb must not lose, and the state, which follows from it.

The layers above bring indexes, terms, bytes and keys; nothing here knows what they mean. The folder of a node:

    LOCK             one process per folder (flock); its pid and node id
    identity.cbor    whose folder it is, with a checksum
    log/data.mdb     the log: blocks of entries, hard state, facts            storage.log_store
    log/journal      the newest blocks of the log, until LMDB has them        storage.journal
    state/data.mdb   the state as of a checkpoint                   storage.state_store
    incoming/        a snapshot being received                      storage.receive
    outgoing/        snapshots made to be sent                      storage.export, storage.send

The layout has `FORMAT_VERSION`; the two LMDB files carry versions of their own layouts. A program refuses what it
does not know, and never converts in place without being asked.

What is promised
----------------
* A write of the log that returned is on the disk: one LMDB transaction, one fsync, hard state, truncation and blocks
  together; or one record of the journal, one synchronous write, if it is a short append. The state is durable up to its
  checkpoint only; after a crash the log from there on is applied again.
* A transaction is there as a whole or not at all, whenever the process or the power dies; so is a record.
* After the first error of a write, commit or fsync a store never writes again, and the process has to stop. Trying
  again does not write what the kernel has dropped.
* Nothing that does not verify is ever returned, and nothing damaged is ever deleted, cut off or mended: a record that
  cannot be read may have been acknowledged. `FolderDamaged` says what is damaged and how that was seen.
* Only what is proven is called damage. A file that may not be opened, a process without addresses or descriptors, and
  a disk that fails are each a `SystemFailure` with its own reason and next step: the folder may be sound.
* Files that root makes in a folder belong to the folder's owner.
* A snapshot file is there as a whole or not at all, and a received one is used only after all of it verified. It
  replaces the state by one rename.
* One thread at a time writes a store, and a write from any other is refused. Reads come from any thread, and no read
  transaction outlives its call.

The journal
-----------
A commit of LMDB costs several page writes, two waits for the disk, and records of the file system's own: for one short
write that was the largest cost of all, on the leader and on each follower. So a write that does nothing but append up
to 32 KiB goes to a file of 1 MiB that was filled with zeros when the folder was made, in one O_DSYNC write. LMDB
receives the blocks later, and with them its record of the range says from which record of the journal on it lacks
something. From there on:

* Everything else that writes the log (term and vote, truncation, long appends, trims, resets) is a transaction of LMDB,
  which takes along what is in the journal; so does the append that no longer fits, closing, and opening. The journal
  never holds more than appends, in order, to what LMDB has, and begins anew after each such transaction.
* Reads see the blocks of the journal in memory, over LMDB (`storage.recent`); they are bounded by the file.
* Opening reads the journal before anything else is read, and gives LMDB what it lacks; twice changes nothing.
  An examination lays it over LMDB in memory, and writes nothing.
* A record is torn only if each of its sectors is the new one or a sound older one, and no later record exists; anything
  else in its place is damage, a missing journal too. A journal carries the identity of its log. A later record than the
  one that LMDB waits for shows that LMDB's file is an older copy.
* A failed write of the journal ends all writing of the log, as a failed commit does.
* What LMDB will need for the blocks in the journal counts as used when space is measured.

What finds damage
-----------------
Every value has a checksum that covers its key, too. Each environment has a record of how much it holds (range of the
log, keys of the state), written in the transactions that change it. Before LMDB maps a file, its two meta pages are
read plainly to check length, format, and neighbouring transaction numbers. The identity file shows that files have
vanished.

Caveats
-------
* A page damaged inside LMDB's own tree may end the process by a signal instead of an exception (hazard B82).
* A disk that loses whole synced transactions, keeping the older state perfectly, is not noticed here. The same goes for
  an older copy of the journal alone, and for a disk that lost only its last record, whole.
* A sector of 512 bytes is taken to be written as a whole or not at all. On a disk where it is not, a power cut may
  leave a torn append that looks like damage: the node then refuses to start, and loses nothing.
* Values of the state are verified when they are read, not when the folder is opened; `examine` reads them all.
* A snapshot is LMDB's own file, so it moves between machines of one page size and byte order only (`storage.manifest`).
* py-lmdb releases the interpreter lock in every put, also within `putmulti`. With an event loop that never idles, each
  release may wait for `sys.getswitchinterval()`: set it well below its default of 5 ms in a server. That is why the
  log has a record for each block of entries and not for each entry.

Where to read on
----------------
`contract` (what the layers above rely on) and `errors`; `writer` (the thread of the log), `log_store` over `plan` (a
write, checked before it is made), `blocks` (its bytes), `journal` and `recent` (short appends); `state_store` over
`overlay`, `scanning` and `gaps` (changes that are in memory over what is on disk); both over `env`, an LMDB environment
with our settings; `folder`, `identity`, `files`, `space` and `system_failures` (what is around them); `check` (`raftdb
doctor`), `restore`, `recover`. `memory` and `memory_disk` are the twins for simulators and tests: they have no journal,
because it changes nothing of what a write promises.

Considered and rejected
-----------------------
* One environment for both: a checkpoint would hold up the log, as LMDB has one writer.
* A log of our own in plain files: compaction, lookup, truncation and their proofs would be ours. Only what makes short
  appends fast is: one file of fixed size that holds nothing but the newest appends, and so needs none of these.
* Room set aside in LMDB's file, zeros written ahead of its pages: measured, it saves neither writes nor time.
* Term and vote in the journal: elections are rare, and with appends only there is nothing to reconcile.
* Files in a memory map for writing, or sync turned off: see `storage.env`.
"""

from storage.check import Finding, examine, examine_snapshot, finding_of
from storage.contract import Describe, FrozenChanges, LoadedLog, LogBatch, LogStore, StateStore, Usage
from storage.env import DATA_FILE
from storage.errors import (
    DAMAGE_HINT,
    MISSING_HINT,
    FolderDamaged,
    OutOfSpace,
    Reason,
    SnapshotDamaged,
    SnapshotForeign,
    StorageError,
    SystemFailure,
    WriteFailed,
)
from storage.folder import LOG_FOLDER, STATE_FOLDER, DataFolder
from storage.identity import IDENTITY_FILE, Identity, read_identity
from storage.journal import JOURNAL_FILE
from storage.log_store import LmdbLogStore
from storage.manifest import DIGEST_BYTES, Manifest
from storage.memory import MemoryLogStore, MemoryStateStore
from storage.memory_disk import MemoryDisk
from storage.receive import SnapshotReceiver
from storage.recover import recover_folder
from storage.restore import restore_folder
from storage.send import SnapshotId, SnapshotReader
from storage.space import FULL_BYTES, LAST_BYTES, Measured, SpaceGuard
from storage.state_store import LmdbStateStore
from storage.writer import LogWriter

RAFTDB_VERSION = "0.1.0"
"""Compared with raftdb's own at start: another distribution's `storage` on the path must not pass for this one."""

__all__ = [
    "DAMAGE_HINT",
    "DATA_FILE",
    "DIGEST_BYTES",
    "FULL_BYTES",
    "IDENTITY_FILE",
    "JOURNAL_FILE",
    "LAST_BYTES",
    "LOG_FOLDER",
    "MISSING_HINT",
    "STATE_FOLDER",
    "DataFolder",
    "Describe",
    "Finding",
    "FolderDamaged",
    "FrozenChanges",
    "Identity",
    "LmdbLogStore",
    "LmdbStateStore",
    "LogBatch",
    "LogStore",
    "LogWriter",
    "Manifest",
    "Measured",
    "MemoryDisk",
    "MemoryLogStore",
    "MemoryStateStore",
    "OutOfSpace",
    "Reason",
    "LoadedLog",
    "SnapshotDamaged",
    "SnapshotForeign",
    "SnapshotId",
    "SnapshotReader",
    "SnapshotReceiver",
    "SpaceGuard",
    "StateStore",
    "StorageError",
    "SystemFailure",
    "Usage",
    "WriteFailed",
    "examine",
    "examine_snapshot",
    "finding_of",
    "read_identity",
    "recover_folder",
    "restore_folder",
    "system_failures",
]
"""What the layers above may use."""
