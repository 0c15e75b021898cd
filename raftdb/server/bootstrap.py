"""The composition root: one node put together from its parts, run, and taken apart in order.

    folder (lock, identity) -> log, state -> replica -> driver -> links, listener

Opening goes from left to right; stopping from right to left, so that nothing is used after it is closed. What
fails on the way becomes a `Fatal` with the exit code of docs/interface.md, section 1.
"""

import asyncio
import errno
import hashlib
import logging
import os
import random
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from raftdb import __version__
from raftdb.commands.limits import Limits
from raftdb.core.membership import Configuration
from raftdb.core.model import Member
from raftdb.core.state import Settings as CoreSettings
from raftdb.errors import Fatal
from raftdb.frontend.http_api import HttpApi
from raftdb.frontend.http_server import HttpServer
from raftdb.machine.machine import Machine
from raftdb.node.driver import Driver
from raftdb.node.persist import bootstrap, recover
from raftdb.node.replica import Replica
from raftdb.server import logs
from raftdb.server.config import Settings
from raftdb.server.local_node import LocalNode
from raftdb.server.peers import IDENTITY_CHANGED, PeerRegistry
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import LocalIdentity
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.peer_server import PeerServer
from storage.errors import StorageError, WriteFailed
from storage.folder import DataFolder, Identity
from storage.log_store import LmdbLogStore
from storage.state_store import LmdbStateStore
from storage.writer import LogWriter

logger = logging.getLogger("raftdb.server")

EXIT_FAILED = 1
EXIT_ADDRESS_IN_USE = 3
EXIT_FOLDER = 4
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
        with _storage_errors(), _open_folder(settings) as folder:
            identity = folder.identity
            if identity is None or not identity.bootstrapped:
                identity = _create(folder, settings)
            log, state = folder.open_log(), folder.open_state()
            try:
                with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                    runner.run(_Node(settings, identity, log, state).run())
            finally:
                state.close()
                log.close()
    finally:
        logs.flush()
    return 0


def cluster_id_of(first_members: Mapping[str, str]) -> str:
    """The name of the cluster that begins with these members: equal on each of them, so nobody has to hand it out."""
    text = ",".join(f"{name}={address}" for name, address in sorted(first_members.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Errors of storage become Fatal here, once."""
    try:
        yield
    except StorageError as error:
        code = EXIT_FAILED if isinstance(error, WriteFailed) else EXIT_FOLDER
        raise Fatal(error.message, exit_code=code, hint=error.hint) from error


def _open_folder(settings: Settings) -> DataFolder:
    """Lock the folder and check whose it is. Peers that are named must be the ones it began with."""
    cluster_id = None if settings.peers is None else cluster_id_of(settings.peers)
    return DataFolder(settings.data, node_id=settings.id, cluster_id=cluster_id)


def _create(folder: DataFolder, settings: Settings) -> Identity:
    """Make a new folder: identity, and the first entry of the log."""
    logger.info("creates a new data folder", extra={"fields": {"data": settings.data}})
    members = sorted(settings.first_members.items())
    configuration = Configuration(tuple(Member(name, address) for name, address in members))
    return folder.create(
        cluster_id=cluster_id_of(settings.first_members),
        node_id=settings.id,
        node_uuid=uuid.uuid4().hex,
        fill_log=lambda log: bootstrap(log, configuration),
    )


class _Node:
    """The parts of one node, from start to stop."""

    def __init__(
        self, settings: Settings, identity: Identity, log: LmdbLogStore, state: LmdbStateStore
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._log = log
        self._state = state
        self._failure: Fatal | None = None
        self._stop = asyncio.Event()
        self._signals = 0

    async def run(self) -> None:
        """Start everything, wait for the end, stop everything. Raises the Fatal that ended it, if one did."""
        self._announce_start()
        replica = self._recover()
        self._driver = Driver(replica, tick_ms=self._settings.tick_ms, on_fatal=self._fail)
        incarnation = self._next_incarnation()
        self._writer = LogWriter(
            self._log, on_durable=self._driver.persisted, on_failure=self._driver.storage_failed
        )
        local = LocalIdentity(
            cluster_id=self._identity.cluster_id,
            node_id=self._identity.node_id,
            node_uuid=self._identity.node_uuid,
            incarnation=incarnation,
            http=self._settings.advertised,
        )
        configurations = replica.raft.state.configurations
        registry = PeerRegistry(self._log, self._writer, lambda: configurations.latest)
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
        try:
            self._driver.start(self._writer, self._links)
            await self._start_listening()
            self._links.update_peers({member.id: member.http for member in configurations.latest.members})
            self._install_signal_handlers()
            logger.info("ready")
            await self._stop.wait()
            await self._shut_down()
        finally:
            await self._stop_writing()
        if self._failure is not None:
            raise self._failure

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
            settings=core_settings,
            randrange=random.SystemRandom().randrange,
            checkpoint_index=self._state.checkpoint[0],
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
        node = LocalNode(self._driver, node_id=self._identity.node_id, cluster_id=self._identity.cluster_id)
        api = HttpApi(
            node,
            command_limits=Limits(
                value_bytes=settings.value_bytes_max, command_bytes=settings.transaction_bytes_max
            ),
            readiness_checks={"applied": node.lag},
        )
        self._http = HttpServer({**api.routes(), PEER_PATH: {"GET": self._peer_server.handle}})
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
        await self._http.close(grace_s=1.0)

    async def _stop_writing(self) -> None:
        """Let the writing thread finish what is queued. A disk that does not answer is not waited for: nothing that
        hangs there was acknowledged."""
        try:
            async with asyncio.timeout(WRITER_GRACE_SECONDS):
                await asyncio.to_thread(self._writer.close)
        except TimeoutError:
            logger.error("the disk does not answer, stops without it")
            logs.flush()
            os._exit(EXIT_FAILED)
        logger.info("stopped")
