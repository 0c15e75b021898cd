"""Starting from the data folder: the replica as the disk remembers it, and the number of this start."""

import logging
import os
import random

from raftdb.core.state import RaftSettings
from raftdb.impairment import ImpairedNetwork
from raftdb.machine.machine import Machine
from raftdb.memory import CHANGES_FRACTION
from raftdb.node.compaction import CompactionPolicy, phase_among
from raftdb.node.history import History
from raftdb.node.replica import Replica
from raftdb.node.starts import OwnStarts, encode_own, next_start
from raftdb.node.stored import first_entry_of, load_raft
from raftdb.server.config import Settings
from raftdb.server.facts import STARTS_FACT
from storage import Identity, LmdbLogStore, LmdbStateStore, LogStore

SEED_LIMIT = 1_000_000
"""Seeds that are drawn are less: they are for people to say again."""

logger = logging.getLogger("raftdb.server")


def load_replica(settings: Settings, identity: Identity, log: LmdbLogStore, state: LmdbStateStore) -> Replica:
    """The replica as the disk remembers it; logs what was found."""
    tick_ms = settings.tick_ms
    raft = load_raft(
        identity.node_id,
        log,
        state,
        settings=RaftSettings(
            election_timeout_ticks=max(2, settings.election_timeout_ms // tick_ms),
            heartbeat_ticks=max(1, settings.heartbeat_ms // tick_ms),
            tick_ms=tick_ms,
            reads_anywhere=settings.reads == "any",
        ),
        randrange=random.Random().randrange,
    )
    core = raft.state
    found = {
        "term": core.term,
        "voted_for": core.voted_for,
        "log": f"{core.log.base.index + 1}..{core.log.last_index}",
        "checkpoint": state.checkpoint[0],
    }
    logger.info("recovered", extra={"fields": found})
    members = core.configurations.latest.members
    described = tuple(f"{member.id}={member.http}" for member in members)
    logger.info("members", extra={"fields": {"members": described}})
    if strangers := sorted({*(settings.members or {})}.difference(core.configurations.ids)):
        # Mostly such a name was mistyped, and then the member is looked for at its old address. It may also be a member
        # that was added since this node last ran.
        logger.warning(
            "the setting members names nodes that are no members here", extra={"fields": {"named": strangers}}
        )
    return Replica(
        raft,
        log_reader=log,
        state=state,
        machine=Machine(),
        patience_ticks=max(1, settings.request_timeout_ms // tick_ms),
        policy=CompactionPolicy(
            checkpoint_entries=settings.checkpoint_entries,
            checkpoint_bytes=settings.checkpoint_bytes,
            tail_bytes=settings.log_tail_bytes,
            changes_bytes_max=int(CHANGES_FRACTION * settings.memory_bytes_max),
            entry_bytes=log.usage().used_bytes // (core.log.last_index - core.log.base.index or 1),
            phase=phase_among(identity.node_id, [member.id for member in members]),
        ),
        first_entry=first_entry_of(log),
        history=History(bytes_max=settings.history_bytes_max, seconds_max=settings.history_seconds_max),
    )


def impaired_network(settings: Settings) -> ImpairedNetwork | None:
    """What fault injection makes of this node's links, which is logged; None if there is none."""
    if not settings.fault_injection:
        return None
    seed = settings.network_seed or random.SystemRandom().randrange(1, SEED_LIMIT)
    impaired = ImpairedNetwork(settings.id, seed, settings.network)
    logger.warning(
        "fault injection is on: this node may be told to delay, lose and cut what it sends",
        extra={"fields": impaired.said()},
    )
    return impaired


def begin_start(log: LogStore) -> OwnStarts:
    """Number this start and write it down, before any peer hears of it: see `raftdb.node.starts`."""
    own = next_start(log.get_meta(STARTS_FACT), os.urandom)
    log.put_meta(STARTS_FACT, encode_own(own))
    return own
