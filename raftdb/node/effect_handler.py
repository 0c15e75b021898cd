"""Carrying out the effects of a turn on a real node: with threads for the disk, links to peers, tasks of the event
loop."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from raftdb.background import Background
from raftdb.core.events import SnapshotFetched
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, NodeId
from raftdb.core.update import Trace
from raftdb.endpoint import Endpoint
from raftdb.node.chronicle import Chronicle
from raftdb.node.counts import NodeCounts
from raftdb.node.effects import EffectRunner
from raftdb.node.space import SpaceBudget
from raftdb.node.telling import Telling
from raftdb.node.turn import Disk, PeerLinks, PersistJob, Snapshots
from storage import FrozenChanges

logger = logging.getLogger("raftdb.node")


class NodeEffectHandler:
    """See `raftdb.node.effects.EffectHandler`. A failure of any task stops the node."""

    def __init__(
        self,
        runner: EffectRunner,
        background: Background,
        space: SpaceBudget,
        counts: NodeCounts,
        *,
        chronicle: Chronicle,
        leads: Callable[[], bool],
        on_durable: Callable[[int], None],
        disk: Disk,
        links: PeerLinks,
        snapshots: Snapshots,
    ) -> None:
        self._runner = runner
        self._background = background
        self._space = space
        self._chronicle = chronicle
        self._counts = counts
        self._leads = leads
        self._on_durable = on_durable
        self._disk = disk
        self._links = links
        self._snapshots = snapshots
        self._telling = Telling()

    def write_log(self, job: PersistJob) -> None:
        """See `EffectHandler`: `Disk` tells the driver when it is done.

        A follower may wait for a quick disk: all that others want of it is that it acknowledges what it writes. A
        leader may not, because others wait for its heartbeats.
        """
        if not self._leads() and self._disk.write_here(job.batch):
            self._on_durable(job.sequence)
        else:
            self._disk.submit(job.sequence, job.batch)

    def install(self, job: PersistJob, end: EntryId) -> None:
        """See `EffectHandler`."""
        self._background.start(self._install(job, end), name="install")

    def update_peers(self, addresses: Mapping[NodeId, Endpoint]) -> None:
        """See `EffectHandler`."""
        self._links.update_peers(addresses)

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        """See `EffectHandler`."""
        if self._chronicle.is_watched:
            self._chronicle.sent(target, messages)
        self._links.send(target, self._space.says(messages))

    def tell(self, traces: Sequence[Trace]) -> None:
        """See `EffectHandler`: lines of the log, and the chronicle."""
        self._counts.told(traces)
        self._telling.tell(traces)
        self._chronicle.tell(traces)

    def finish_telling(self) -> None:
        """Write the lines that were kept back: at each tick, and when the node stops."""
        self._telling.finish()

    def flush(self, frozen: FrozenChanges) -> None:
        """See `EffectHandler`."""
        self._background.start(self._flush(frozen), name="flush")

    def trim(self, base: EntryId) -> None:
        """See `EffectHandler`."""
        self._background.start(self._trim(base), name="trim")

    def make_snapshot(self, target: NodeId) -> None:
        """See `EffectHandler`."""
        self._background.start(self._make_snapshot(target), name="snapshot made")

    def fetch_snapshot(self, offer: InstallSnapshot) -> None:
        """See `EffectHandler`."""
        self._background.start(self._fetch_snapshot(offer), name="snapshot fetched")

    async def _install(self, job: PersistJob, end: EntryId) -> None:
        state = await self._disk.install(end)
        self._counts.snapshots_installed += 1
        self._runner.installed(job.sequence, state, self)

    async def _flush(self, frozen: FrozenChanges) -> None:
        started = time.monotonic()
        await self._disk.flush(frozen)
        self._counts.checkpoint_seconds.add(time.monotonic() - started)
        details = {"index": frozen.index, "keys": len(frozen.changes), "bytes": frozen.change_bytes}
        _log_duration("checkpoint written", started, details)
        self._runner.flushed(frozen)

    async def _trim(self, base: EntryId) -> None:
        started = time.monotonic()
        await self._disk.trim(base)
        _log_duration("log trimmed", started, {"first_index": base.index + 1})

    async def _make_snapshot(self, target: NodeId) -> None:
        self._runner.snapshot_is_there(await self._snapshots.make(target))

    async def _fetch_snapshot(self, offer: InstallSnapshot) -> None:
        if await self._snapshots.fetch(offer):
            self._runner.snapshot_is_there(SnapshotFetched(offer))


def _log_duration(message: str, started: float, details: dict[str, int]) -> None:
    """Log that work beside the turns, begun at `started`, is done."""
    milliseconds = round((time.monotonic() - started) * 1000, 1)
    logger.info(message, extra={"fields": {**details, "milliseconds": milliseconds}})
