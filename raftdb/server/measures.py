"""All that `GET /metrics` says of a node: each name once, with its help and where its value is read.

The values are those that `GET /v1/status` has, and the counters of the parts (`raftdb.node.counts` and the tallies of
the disk, the doors and the watchdog): nothing is counted for metrics alone. To read them takes one turn, but for queues
and locks, which are walked through before (`raftdb.server.levels`).
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from raftdb import __version__
from raftdb.machine.happenings import Happening
from raftdb.memory import MemoryAccount
from raftdb.node.driver import Driver
from raftdb.node.status import ROLES, role_of
from raftdb.server.collector import PauseTally
from raftdb.server.disk import NodeDisk
from raftdb.server.exposition import Family, Series, copied, counter, gauge, histogram, labelled
from raftdb.server.levels import Levels
from raftdb.server.network import Network
from raftdb.tally import RequestTallies


class WatchLevels(Protocol):
    """Those who follow changes at this node."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def lag_entries(self) -> int:
        """How many entries the one lacks that lacks most."""
        ...


@dataclass(slots=True, kw_only=True)
class Measured:
    """The parts of a node that know something of it. `doors` are the kinds of listeners, by the name of their API;
    `watches` comes with the listener."""

    driver: Driver
    disk: NodeDisk
    network: Network
    memory: MemoryAccount
    pauses: PauseTally
    doors: Mapping[str, RequestTallies] = field(
        default_factory=lambda: {"http": RequestTallies(), "redis": RequestTallies()}
    )
    watches: WatchLevels | None = None


def families_of(node: Measured, levels: Levels) -> list[Family]:
    """All families, with the values of now."""
    return [
        *_of_raft(node),
        *_of_peers(node),
        *_of_disk(node),
        *_of_requests(node),
        *_of_queues(node, levels),
        *_of_locks(node, levels),
        *_of_watches(node),
        *_of_process(node),
    ]


def _of_raft(node: Measured) -> Iterator[Family]:
    view = node.driver.view
    counts, role = view.counts, role_of(view)
    yield gauge("raftdb_raft_has_leader", "1 if this node knows a leader, else 0.", view.leader is not None)
    roles = [(one, float(one == role)) for one in ROLES]
    yield labelled(
        "gauge", "raftdb_raft_role", "1 for the role of this node, 0 for the others.", "role", roles
    )
    yield gauge("raftdb_raft_term", "The term that this node is in.", view.term)
    yield gauge(
        "raftdb_raft_commit_index", "The last entry that is known to be committed.", view.commit_index
    )
    yield gauge("raftdb_raft_applied_index", "The last entry in the state of this node.", view.applied_index)
    yield gauge("raftdb_raft_last_log_index", "The last entry of the log of this node.", view.last_index)
    yield gauge(
        "raftdb_raft_first_log_index", "The first entry that the log of this node has.", view.first_index
    )
    changes = counts.leader_changes
    yield counter("raftdb_raft_leader_changes_total", "How often this node came to know a leader.", changes)
    yield counter("raftdb_raft_elections_total", "How often this node stood for election.", counts.elections)
    yield counter(
        "raftdb_raft_heartbeat_failures_total",
        "Heartbeats for peers whose link was down.",
        node.network.heartbeats_dropped,
    )
    yield gauge(
        "raftdb_raft_proposals_pending", "Writes that wait until they are applied.", view.proposals_count
    )
    yield labelled(
        "counter",
        "raftdb_raft_proposals_failed_total",
        "Writes that were refused, or whose outcome is unknown, by the code of the error.",
        "reason",
        sorted(counts.proposals_failed.items()),
    )
    yield histogram(
        "raftdb_commit_duration_seconds", "From proposing a write to applying it.", counts.commit_seconds
    )
    yield histogram(
        "raftdb_apply_duration_seconds", "How long slices of committed entries took.", counts.apply_seconds
    )
    yield counter("raftdb_applied_entries_total", "Entries that were applied.", counts.applied_entries)


def _of_peers(node: Measured) -> Iterator[Family]:
    view, network = node.driver.view, node.network
    peers = [member.id for member in view.configuration.members if member.id != view.id]
    followed, links, statistics = view.followed, view.links, network.statistics()
    for kind, name, text, values in (
        ("gauge", "up", "1 if messages can reach the peer, else 0.", {one: one in links for one in peers}),
        (
            "gauge",
            "rtt_seconds",
            "How long a small message takes to the peer and back.",
            {one: view.trip_seconds(one) for one in peers},
        ),
        (
            "gauge",
            "match_index",
            "The last entry that the peer is known to have; where this node leads.",
            {one: followed[one].match_index for one in peers if one in followed},
        ),
        (
            "counter",
            "sent_bytes_total",
            "Bytes of messages sent to the peer.",
            {one: statistics[one].sent_bytes for one in peers if one in statistics},
        ),
        (
            "counter",
            "received_bytes_total",
            "Bytes of messages that came from the peer.",
            {one: network.received_bytes.get(one, 0) for one in peers},
        ),
        (
            "gauge",
            "suspicion",
            "How sure it is that the peer has failed (phi); above 8 it probably has.",
            {one: node.driver.contacts.describe(one).get("suspicion") for one in peers},
        ),
    ):
        yield labelled(kind, f"raftdb_peer_{name}", text, "peer", sorted(values.items()))


def _of_disk(node: Measured) -> Iterator[Family]:
    disk, counts = node.disk, node.driver.view.counts
    yield histogram(
        "raftdb_log_fsync_duration_seconds",
        "How long writes of the log took, fsync included.",
        disk.sync_seconds,
    )
    yield histogram("raftdb_log_batch_entries", "Entries in one write of the log.", disk.batch_entries)
    yield histogram(
        "raftdb_checkpoint_duration_seconds", "How long checkpoints took.", counts.checkpoint_seconds
    )
    yield counter(
        "raftdb_compacted_entries_total", "Entries that left the log by compaction.", counts.compacted_entries
    )
    yield counter(
        "raftdb_snapshots_sent_total", "Snapshots that members fetched here.", node.network.snapshots_sent
    )
    yield counter(
        "raftdb_snapshots_installed_total", "Snapshots put in place here.", counts.snapshots_installed
    )
    usages = sorted(disk.space.usages.items())
    for name, text, sizes in (
        ("size", "Length of the file of a store.", {one: usage.file_bytes for one, usage in usages}),
        ("used", "What of the file is in use.", {one: usage.used_bytes for one, usage in usages}),
        ("limit", "What the file cannot grow beyond.", {one: usage.map_bytes for one, usage in usages}),
    ):
        yield labelled("gauge", f"raftdb_store_{name}_bytes", text, "store", sizes.items())
    yield gauge(
        "raftdb_store_headroom_bytes",
        "Bytes that can be written until writes that grow the data are refused.",
        disk.space.headroom_bytes,
    )
    yield gauge(
        "raftdb_no_space",
        "1 while writes that grow the data are refused, else 0.",
        node.driver.no_space is not None,
    )


def _of_requests(node: Measured) -> Iterator[Family]:
    series = [
        Series((api, operation, outcome), copied(tally))
        for api, tallies in sorted(node.doors.items())
        for operation, outcome, tally in tallies.all()
    ]
    yield Family(
        "raftdb_request_duration_seconds",
        "histogram",
        "How long requests took, those that wait in a line included; outcome: ok, or the code of the error.",
        ("api", "operation", "outcome"),
        series,
    )
    view = node.driver.view
    yield gauge("raftdb_requests_pending", "Requests that wait for their answers.", view.pending_count)
    yield gauge("raftdb_sessions", "Sessions of clients.", view.session_count)
    yield gauge("raftdb_keys", "Keys that have a value.", view.key_count)
    yield labelled(
        "gauge",
        "raftdb_memory_bytes",
        "Memory for requests, answers, changes and entries, by the part that takes it.",
        "part",
        sorted(node.memory.levels().items()),
    )
    yield gauge("raftdb_memory_limit_bytes", "What all of it may take.", node.memory.bytes_max)


def _of_queues(node: Measured, levels: Levels) -> Iterator[Family]:
    # Of two names that look the same once their bytes are shown, a scraper can have only one.
    shown = {
        queue.decode("utf-8", "backslashreplace"): level for queue, level in sorted(levels.listed.items())
    }
    listed = list(shown.items())
    for name, text, total, values in (
        (
            "visible",
            "Messages that can be handed out",
            levels.visible,
            [(queue, level.visible) for queue, level in listed],
        ),
        (
            "in_flight",
            "Messages that are handed out",
            levels.in_flight,
            [(queue, level.in_flight) for queue, level in listed],
        ),
        (
            "dead",
            "Messages that have failed too often",
            levels.dead,
            [(queue, level.dead) for queue, level in listed],
        ),
        (
            "oldest_age_seconds",
            "For how long the oldest message can be handed out",
            levels.oldest_ms / 1000,
            [(queue, level.oldest_ms / 1000) for queue, level in listed],
        ),
    ):
        yield labelled(
            "gauge", f"raftdb_queue_{name}", f"{text}; the oldest and the longest queues.", "queue", values
        )
        yield gauge(f"raftdb_queues_{name}", f"{text}, over all queues.", total)
    yield gauge("raftdb_queues", "How many queues there are.", levels.queues)
    view = node.driver.view
    happened = view.counts.happened
    for name, text, what in (
        ("enqueued", "Messages that were put.", Happening.ENQUEUED),
        ("delivered", "Messages that were handed out.", Happening.DELIVERED),
        ("redelivered", "Messages that were handed out again.", Happening.REDELIVERED),
        ("acked", "Messages that were acknowledged, or taken for good.", Happening.ACKED),
        ("dead", "Messages that have failed too often.", Happening.DIED),
    ):
        yield counter(f"raftdb_queue_{name}_total", text, happened[what])
    wait = view.counts.queue_wait_seconds
    yield histogram("raftdb_queue_wait_seconds", "How long messages waited until they were handed out.", wait)
    yield gauge(
        "raftdb_queue_receivers_waiting", "Requests that wait here for a message.", view.receivers_count
    )


def _of_locks(node: Measured, levels: Levels) -> Iterator[Family]:
    counts = node.driver.view.counts
    yield gauge("raftdb_locks_held", "Holders of locks.", levels.held)
    yield gauge("raftdb_locks_waiting", "Owners that wait for locks.", levels.waiting)
    wait = counts.lock_wait_seconds
    yield histogram("raftdb_lock_wait_seconds", "How long owners waited for locks that they got.", wait)
    expired = counts.happened[Happening.LEASE_EXPIRED]
    yield counter("raftdb_leases_expired_total", "Holds that ended because their time was over.", expired)
    deadlocks = counts.happened[Happening.DEADLOCK]
    yield counter("raftdb_deadlocks_total", "Waits refused because they would never have ended.", deadlocks)


def _of_watches(node: Measured) -> Iterator[Family]:
    watches, reach = node.watches, node.driver.view.history.reach
    clients, lag = (0, 0) if watches is None else (watches.count, watches.lag_entries)
    yield gauge("raftdb_watch_clients", "Clients that follow changes here.", clients)
    yield gauge("raftdb_watch_lag_entries", "Entries that the slowest of them lacks.", lag)
    yield gauge("raftdb_history_begin_index", "The changes of all later entries are known here.", reach.begin)
    yield gauge(
        "raftdb_history_begin_timestamp_seconds",
        "When that entry was applied, by the cluster's clock.",
        reach.clock_ms / 1000,
    )


def _of_process(node: Measured) -> Iterator[Family]:
    lag = node.driver.watchdog.lag_seconds
    yield histogram(
        "raftdb_event_loop_lag_seconds", "How long the event loop took to answer its watchdog.", lag
    )
    yield histogram("raftdb_gc_pause_seconds", "How long garbage collections took.", node.pauses.seconds)
    told = (__version__, platform.python_version(), node.driver.view.id)
    yield Family(
        "raftdb_build_info", "gauge", "Always 1.", ("version", "python", "node"), (Series(told, 1.0),)
    )
