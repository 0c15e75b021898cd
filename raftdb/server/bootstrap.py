"""The composition root: one node put together from its parts, run, and taken apart in order.

    folder (lock, identity) -> log, state -> replica -> driver -> links, listener

Opening goes from left to right; stopping from right to left, so that nothing is used after it is closed. What
fails on the way becomes a `Fatal` with the exit code of docs/interface.md, section 1.
"""

import asyncio
import errno
import logging
import os
import random
import signal
import sys

from raftdb import __version__
from raftdb.commands.limits import Limits
from raftdb.core.model import Member
from raftdb.core.state import Settings as CoreSettings
from raftdb.errors import Fatal
from raftdb.frontend.http_api import HttpApi
from raftdb.frontend.http_server import HttpServer
from raftdb.machine.machine import Machine
from raftdb.node.compaction import CompactionPolicy, phase_among
from raftdb.node.driver import Driver
from raftdb.node.persist import first_entry_of, recover
from raftdb.node.replica import Replica
from raftdb.server import logs
from raftdb.server.config import Settings
from raftdb.server.disk import NodeDisk
from raftdb.server.folder import EXIT_FAILED, EXIT_FOLDER, create_folder, open_folder, storage_errors
from raftdb.server.local_node import LocalNode
from raftdb.server.peers import IDENTITY_CHANGED, PeerRegistry
from raftdb.server.snapshots import Courier, Receiver
from raftdb.server.space import SpaceWatch
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import LocalIdentity
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.peer_server import PeerServer
from raftdb.transport.snapshot_client import SnapshotClient
from raftdb.transport.snapshot_server import SnapshotServer
from storage.folder import DataFolder, Identity
from storage.log_store import LmdbLogStore
from storage.state_store import LmdbStateStore

logger = logging.getLogger("raftdb.server")

EXIT_ADDRESS_IN_USE = 3
GRACE_SECONDS = 4.0
"""How long requests in flight may take to finish when the node is told to stop."""
SWITCH_INTERVAL_SECONDS = 0.0005
"""How long a thread keeps the interpreter while another waits for it. The writer thread comes back from an fsync with
a whole batch waiting for it; the default of 5 ms would be most of a write's latency under load."""
WRITER_GRACE_SECONDS = 4.0
"""How long the disk may take to finish what is queued when the node stops."""
INCARNATION_FACT = "incarnation"


def run_node(settings: Settings) -> int:
    """Run one node until SIGTERM or SIGINT; returns the exit code of a clean stop, 0. Raises Fatal otherwise."""
    logs.configure(
        node=settings.id,
        level=settings.log_level,
        log_format=settings.log_format,
        heartbeats=settings.log_heartbeats,
    )
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        with storage_errors(), open_folder(settings) as folder:
            identity = folder.identity
            if identity is None or not identity.bootstrapped:
                identity = create_folder(folder, settings)
            log, state = folder.open_log(), folder.open_state()
            try:
                with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                    runner.run(_Node(settings, folder, identity, log, state).run())
            finally:
                state.close()
                log.close()
    finally:
        logs.flush()
    return 0


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


class _Node:
    """The parts of one node, from start to stop."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        identity: Identity,
        log: LmdbLogStore,
        state: LmdbStateStore,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._identity = identity
        self._log = log
        self._state = state
        self._failure: Fatal | None = None
        self._stop = asyncio.Event()
        self._signals = 0

    async def run(self) -> None:
        """Start everything, wait for the end, stop everything. Raises the Fatal that ended it, if one did."""
        self._announce_start()
        self._driver = Driver(
            self._recover(),
            tick_ms=self._settings.tick_ms,
            heartbeat_ms=self._settings.heartbeat_ms,
            on_fatal=self._fail,
        )
        incarnation = self._next_incarnation()
        self._disk = NodeDisk(
            self._folder,
            self._log,
            self._state,
            on_durable=self._driver.persisted,
            on_failure=self._driver.storage_failed,
            reserve_bytes=self._settings.disk_reserve_bytes,
        )
        space = SpaceWatch(self._driver, self._disk)
        try:
            courier = self._connect_peers(incarnation)
            self._driver.start(self._disk, self._links, courier)
            await self._start_listening()
            await space.start()
            self._links.update_peers({member.id: member.http for member in self._members})
            self._install_signal_handlers()
            logger.info("ready")
            await self._stop.wait()
            await self._shut_down()
        finally:
            await space.close()
            await self._stop_writing()
        if self._failure is not None:
            raise self._failure

    @property
    def _members(self) -> tuple[Member, ...]:
        """The members of the configuration in force."""
        return self._driver.replica.raft.state.configurations.latest.members

    def _connect_peers(self, incarnation: int) -> Courier:
        """Make the links, and what carries snapshots; nothing is dialled yet."""
        local = LocalIdentity(
            cluster_id=self._identity.cluster_id,
            node_id=self._identity.node_id,
            node_uuid=self._identity.node_uuid,
            incarnation=incarnation,
            http=self._settings.advertised,
        )
        replica = self._driver.replica
        loop = asyncio.get_running_loop()
        registry = PeerRegistry(
            self._log, self._disk.writer, lambda: replica.raft.state.configurations.latest
        )
        self._links = PeerLinks(
            local,
            check_peer=registry.check,
            events=PeerEvents(
                on_peer_up=self._driver.peer_up, on_peer_down=self._peer_down, on_refused=self._refused
            ),
        )
        self._peer_server = PeerServer(
            local,
            check_peer=registry.check,
            on_messages=self._driver.receive,
            events=PeerEvents(on_peer_up=self._links.nudge),
        )
        self._snapshot_server = SnapshotServer(
            local,
            check_peer=registry.check,
            receiver=Receiver(
                self._folder.receiver,
                on_begin=lambda: loop.call_soon_threadsafe(replica.snapshot_dropped),
            ),
            on_received=replica.snapshot_received,
        )
        self._disk.receiving = self._snapshot_server.paused
        return Courier(
            replica, self._disk, SnapshotClient(local, check_peer=registry.check), self._identity.cluster_id
        )

    def _announce_start(self) -> None:
        identity = self._identity
        details = {"version": __version__, "cluster": identity.cluster_id, "data": self._settings.data}
        logger.info("starting", extra={"fields": details})
        if self._settings.redis is not None:
            logger.warning(
                "the Redis protocol is not served yet", extra={"fields": {"redis": self._settings.redis}}
            )

    def _recover(self) -> Replica:
        """The replica as the disk remembers it."""
        settings = self._settings
        tick_ms = settings.tick_ms
        core_settings = CoreSettings(
            election_timeout_ticks=max(2, settings.election_timeout_ms // tick_ms),
            heartbeat_ticks=max(1, settings.heartbeat_ms // tick_ms),
        )
        raft = recover(
            self._identity.node_id,
            self._log,
            self._state,
            settings=core_settings,
            randrange=random.SystemRandom().randrange,
        )
        core = raft.state
        found = {
            "term": core.term,
            "voted_for": core.voted_for,
            "log": f"{core.log.base.index + 1}..{core.log.last_index}",
            "checkpoint": self._state.checkpoint[0],
        }
        logger.info("recovered", extra={"fields": found})
        members = tuple(f"{member.id}={member.http}" for member in core.configurations.latest.members)
        logger.info("members", extra={"fields": {"members": members}})
        return Replica(
            raft,
            log_reader=self._log,
            state=self._state,
            machine=Machine(),
            patience_ticks=max(1, settings.request_timeout_ms // tick_ms),
            policy=CompactionPolicy(
                checkpoint_entries=settings.checkpoint_entries,
                checkpoint_bytes=settings.checkpoint_bytes,
                tail_bytes=settings.log_tail_bytes,
                phase=phase_among(
                    self._identity.node_id, [member.id for member in core.configurations.latest.members]
                ),
            ),
            first_entry=first_entry_of(self._log),
        )

    def _next_incarnation(self) -> int:
        """The number of this start, one more than the last: what an earlier one sent is not believed (hazard B95)."""
        stored = self._log.get_meta(INCARNATION_FACT)
        incarnation = 1 + (int.from_bytes(stored, "big") if stored else 0)
        self._log.put_meta(INCARNATION_FACT, incarnation.to_bytes(8, "big"))
        return incarnation

    async def _start_listening(self) -> None:
        """Open the one address of clients and peers."""
        settings = self._settings
        node = LocalNode(
            self._driver, self._disk, node_id=self._identity.node_id, cluster_id=self._identity.cluster_id
        )
        api = HttpApi(
            node,
            command_limits=Limits(
                value_bytes=settings.value_bytes_max, command_bytes=settings.transaction_bytes_max
            ),
            readiness_checks={"applied": node.lag},
            readiness_warnings={"space": node.no_space},
        )
        routes = {PEER_PATH: {"GET": self._peer_server.handle}, **self._snapshot_server.routes}
        self._http = HttpServer({**api.routes(), **routes})
        host, _, port = settings.listen.rpartition(":")
        try:
            await self._http.start(host.strip("[]"), int(port))
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            raise Fatal(
                f"cannot listen on {settings.listen}: {os.strerror(error.errno) if error.errno else error}",
                exit_code=EXIT_ADDRESS_IN_USE if in_use else EXIT_FAILED,
                hint="stop what uses it, or choose another address with --listen" if in_use else None,
            ) from error
        logger.info("listening", extra={"fields": {"http": settings.listen}})

    def _install_signal_handlers(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        """The first signal stops cleanly, a second one at once."""
        self._signals += 1
        if self._signals > 1:
            logger.warning("stops at once", extra={"fields": {"signal": number.name}})
            logs.flush()
            os._exit(EXIT_FAILED)
        logger.info("stopping", extra={"fields": {"signal": number.name}})
        self._stop.set()

    def _fail(self, error: Fatal) -> None:
        """Something broke that must not be worked around: stop without waiting for anybody."""
        logger.error("fatal", extra={"fields": {"error": error.message, "hint": error.hint}})
        self._failure = error
        self._stop.set()

    def _peer_down(self, peer: str, reason: str) -> None:
        self._driver.peer_down(peer)

    def _refused(self, peer: str, code: str, reason: str) -> None:
        """A refusal by a peer that says we are not who we were ends this node; any other may pass."""
        if code == IDENTITY_CHANGED:
            self._fail(
                Fatal(
                    f"{peer} refuses this node: {reason}",
                    exit_code=EXIT_FOLDER,
                    hint="bring back the old folder, or remove the node and add it under a new id",
                )
            )

    async def _shut_down(self) -> None:
        """Stop taking requests, finish what is in flight, close; bounded by 10 s in all."""
        grace_seconds = 0 if self._failure else GRACE_SECONDS
        await self._driver.close(grace_seconds=grace_seconds)
        await self._links.close()
        await self._peer_server.close()
        await self._snapshot_server.close()
        await self._http.close(grace_s=1.0)

    async def _stop_writing(self) -> None:
        """Let the writing thread finish what is queued. A disk that does not answer is not waited for: nothing that
        hangs there was acknowledged."""
        try:
            async with asyncio.timeout(WRITER_GRACE_SECONDS):
                await asyncio.to_thread(self._disk.close)
        except TimeoutError:
            logger.error("the disk does not answer, stops without it")
            logs.flush()
            os._exit(EXIT_FAILED)
        logger.info("stopped")
