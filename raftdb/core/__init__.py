"""Raft, as a pure state machine: what it is, how it works, and what of it is here.

A replicated log
----------------
Several nodes keep the same log of commands and apply it in the same order to the same machine: so they have the
same state, and any majority of them can go on when the others fail. Raft decides what the log is. Sections in
brackets are those of Ongaro's thesis, "Consensus: Bridging Theory and Practice" (2014).

Time is cut into *terms*. In each term at most one node leads; it alone adds entries. An entry is named by its
(index, term): two logs that share a name share everything before it. That is the *Log Matching* property [3.5],
and it holds because a follower takes entries only after an entry whose name the leader has quoted.

Elections [3.4, 9.6]
--------------------
A follower that hears no leader for a randomised timeout asks the others whether they *would* elect it (pre-vote).
Only with a majority's yes does it start a new term, vote for itself and ask for votes. A voter has one vote per
term, and gives it only to a candidate whose log ends at least as late as its own [3.6.1]: last term first, then last
index. An entry on a majority's disks is known to at least one voter of every majority, so no node that lacks a
committed entry can be elected: *Leader Completeness*.

```
             timeout, pre-vote won                majority
  FOLLOWER --> PRE_CANDIDATE --> CANDIDATE ----------------> LEADER
      ^               |              |                         |
      +---------------+--------------+-------------------------+
        newer term, a leader of this term, refused by a majority, no contact with a majority
```

Two rules keep a leader in office while it works, and remove it when it does not [6.2]: a node that hears a leader
grants nobody else anything (*stickiness*), and a leader that hears from no majority for two election timeouts
steps down (*CheckQuorum*). So a node that was cut off disturbs nobody when it comes back, and a leader that can send
but not receive does not block the cluster. A node that hears a leader ignores every sender that is no member. The
sender may have been added since, and even lead [4.1], so a node that hears nobody else listens to it.

When an answer is late, the candidate asks that voter again [3.1]: a request may be lost with a link, and TCP repairs a
loss soon only if another packet follows. A voter that grants a pre-vote lets the candidate go first, for some trips,
and of two nodes that ask for pre-votes at the same time one steps back: over long ways they would otherwise stand in
the same second and split the votes. Neither rule lets a node keep others from standing for long.

All these waits adapt to the network, and safety depends on none of them: a follower measures the gaps between
the heartbeats that it hears and waits a multiple of the largest, and tells the leader, which speaks as rarely and is as
patient as its followers are (`timing`, `measured`). So one set of settings serves both a cluster on one desk and links
on which a trip takes seconds.

Replication [3.5, 10.2.1]
-------------------------
The leader appends clients' commands, those of one moment as one block of bytes, and sends them to each follower, many
entries a message, the next message before the last is answered, and writes them to its own disk at the same time. A
follower whose log differs answers with the last place where the two may still agree; the leader goes back there, a term
at a time, and the follower drops its own entries from the first real conflict on. A message that comes late or twice
conflicts with nothing and changes nothing.

Commitment [3.6.2]
------------------
An entry is committed once a majority has it on disk and it is of the leader's own term; everything before it is
committed with it. Entries of older terms are never counted by themselves: figure 3.7 shows how such an entry can
still be overwritten. So that older entries do not wait for a client, a leader opens its term with a no-op. Followers
learn the commit index with the next entries or the next heartbeat.

Reads [6.4]
-----------
A read needs no entry. The leader notes its commit index, lets one round of heartbeats begun *after* the read confirm
that it still leads, waits until the index is applied, and reads. It may do so only once its no-op is committed: before
that, it does not know which entries are committed. Rounds are numbered and belong to a term, so that an old answer
confirms nothing new.

With `reads_anywhere` a node that does not lead asks the leader (`ReadIndex`), once for all reads of a moment; for the
leader that is a read like its own, and the answer is the index that the node waits for. Questions are numbered, too.

Disk [3.8]
----------
Term, vote and log must survive a crash before anybody relies on them. `Update` makes that explicit: `persist` names
what must be written, `messages_after_persist` what may be said only then. Entries travel to followers without waiting
for the disk, because sending them promises nothing; the leader counts itself only when its own disk has answered
(`events.Persisted`). Writes are numbered: if a log is truncated while a write is in flight, the write's claim is cut
(`log.Log`).

Membership [4]
--------------
The members are entries of the log, too: a configuration counts from when it is appended, and goes back if it is
truncated. The first entry of every log is the configuration that the cluster began with. One voter changes at a time,
so a majority before and a majority after a change always share a node; and no change begins before the last one is
committed, nor before the leader has committed an entry of its own term (the correction of 2015). So two leaders can
never bring about changes that do not know of each other.

A node *joins* as a learner: it gets the log or a snapshot, and does not count, so a node that never comes up costs
nothing. It catches up in rounds, each to where the log ended when the round began; once a round takes less than an
election timeout the leader, whichever node that is by then, makes it a voter without being asked again, for the wish
stands in the configuration. Rounds measure time, which is what the cluster would wait for the new voter; a bound on its
lag would mean another time at each speed of writing.

The entry that lets a node vote names its data folder (`Member.uuid`), which the leader knows from the handshake;
a node whose folder is unknown is not promoted. The same entry names the folders of all other voters that the leader has
met. So a node that joins later learns from the log which folder each voter is, and no node believes an empty folder
under an old name. The first members start without such an entry: until the first change of the members, each remembers
for itself which folders it met.

A node that is *removed* stops counting when the entry is appended. For a bounded time the leader keeps sending it the
log, until the node has learnt that its removal is committed; if it misses that, it learns of it from the peers that
refuse it by name. Its id stays in the configuration for ever and is never used again. It does not stand for election
once it knows that its removal is committed; while it only has an uncommitted entry that leaves it out, it may be the
only node that can be elected, and so it may stand. A leader that removes itself takes nothing new, does not count
itself, and steps down when its removal is committed. A change that would leave fewer answering voters than a majority
is refused, unless it is forced.

The very first leader opens its term with a configuration that also gives the cluster's *life* a random name
(`Configuration.birth`). Folders that are made anew at the old addresses are another life of the cluster, and the links
keep the two apart.

Folders that were put back
--------------------------
A node whose folder is an older copy of itself has broken what everything above relies on: it has forgotten votes and
acknowledgements. The nodes that met it before notice that (`raftdb.node.starts`); what follows from it is in `doubts`.
Until an entry that names the node's new start is committed by other nodes that can vouch for all that was promised, its
votes and acknowledgements decide nothing.

Handing over [3.10]
-------------------
To hand its leadership over, a leader takes no new commands, brings the target up to date, and tells it to stand for
election at once. Voters consider that request although a leader lives. A lost request is repeated, the transfer ends
after an election timeout at the latest, and whoever asked for it is answered in any case. Reads go on: each is
confirmed by a majority as always.

Compaction and snapshots [5]
----------------------------
The log must not grow for ever. Applied entries live on in the state, and once a checkpoint has the state on disk up to
an index, compaction may let the log begin after that index (`events.Compacted`): never beyond what is committed and on
this disk. `Log.base` keeps index and term of the last entry dropped, so that entries right after it can still be
compared; a place before it has no term at all and matches nothing. When to do it, and how long a tail to keep, is the
node's business.

A follower that needs compacted entries is named in `Update.snapshots_wanted`, and gets heartbeats but no entries
meanwhile. When there is a snapshot for it (`events.SnapshotMade`), an `InstallSnapshot` tells it which: the last entry
in it, the configuration in force there, size and digest. If that entry is committed already, the follower says so; if
its log holds the entry, only the commit index moves and the entries after it stay; otherwise it has to fetch the file
(`Update.snapshot_offered`). The bytes travel beside the log, and the core never sees them. When the whole file is there
(`events.SnapshotFetched`) the follower judges again whether it needs it; if so, the whole log goes and begins anew
after the snapshot, the state is replaced (`Persist.install`), and only then does the follower answer. The leader sends
entries from there on. While no answer comes, the leader repeats the message after each election timeout in which it
heard the follower.

How it is used
--------------
```python
update = raft.step(event)       # Ticked, Received, Proposed, ReadRequested, Persisted, EntriesLoaded, ...
#   1. update.persist                  -> the disk, in order; then step(Persisted(sequence))
#   2. update.messages                 -> the network, at once
#   3. update.messages_after_persist   -> the network, when this and all earlier persists are done
#   4. update.commit_index             -> apply the entries up to it
#   5. reads, reads_dropped, accepted, refusal, transfers   -> the clients that wait
#   6. update.entries_wanted           -> read their bodies from the disk; then step(EntriesLoaded(...))
#   7. update.snapshots_wanted         -> have a snapshot for each of them; then step(SnapshotMade(...))
#   8. update.snapshot_offered         -> fetch it; then step(SnapshotFetched(...))
#   9. update.peers_changed            -> keep links to raft.peers(), and to no others
```
Nothing here does I/O, reads a clock or draws a random number: time is `Ticked`, chance the injected `randrange`. The
same events give the same updates, so a simulator can replay any run from one number.

Where to read on: `raft` (the rule of terms, and the one table of roles and messages), `elections`, `follower`,
`leader`, `reads`, `snapshots`, `changes`, `parting`, `transfer`, `timing`, `doubts` (the rules), `state` (what they act
on), `log`, `block`, `measured`, `progress`, `quorum`, `membership` (their parts), `model` and `messages` (the words of
all of these), `events` and `update` (in and out), `invariants` (the safety properties as code), `describe` (what
happened, in words).

What is not here
----------------
* The bytes of snapshots, and the choice of when to compact: `raftdb.node.compaction`, `raftdb.server.outgoing`.
* Lease reads [6.4.1]: they need bounded clock drift; ReadIndex needs nothing.
* Joint consensus [4.3]: one change at a time is enough, and simpler.
* Making a voter a learner again: to remove it is enough.

Considered and rejected
-----------------------
* Empty AppendEntries as heartbeats [3.5]: a heartbeat's answer must not wait for the disk, an append's must. Two
  messages say so plainly.
* A role as a class: Python cannot enforce it. A table of (role, message) shows every combination, and a test
  proves it total.
* Giving up on a learner after ten rounds [4.2.1]: a learner costs nothing, and people can see how far it is, and remove
  it.
* Writing down the first members' folders as soon as they have met: every young log would have one more entry for the
  sake of the few clusters that grow. Until the first change, each member relies on its own memory of whom it has met.
* Letting a second request for another target replace a transfer: both callers would get an uncertain answer.
* `Persisted(index, term)`: if the same entry is written, truncated and written again while the first write is in
  flight, (index, term) cannot tell them apart. A sequence number can.
* Bodies of all entries in the core: memory would grow with the log. Terms and the tail are enough to decide.
* An object per entry: encoding, storing, sending and decoding it each cost more than its bytes do.
"""

__all__ = [
    "block",
    "describe",
    "events",
    "invariants",
    "log",
    "membership",
    "messages",
    "model",
    "quorum",
    "raft",
    "state",
    "timing",
    "transfer",
    "update",
]
"""The modules that other packages may use: the node as a whole, what goes in and comes out, and the words for both. The
others are its rules."""
