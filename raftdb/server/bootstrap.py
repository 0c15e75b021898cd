"""The composition root: one node put together from its parts, run, and taken apart in order.

    folder (lock, identity) -> log, state -> replica -> driver -> links, listener

Opening goes from left to right; stopping from right to left, so that nothing is used after it is closed. What
fails on the way becomes a `Fatal` with the exit code of docs/interface.md, section 1.
"""

import asyncio
import errno
import logging
import os
import signal
import sys

from raftdb import __version__
from raftdb.commands.limits import Limits
from raftdb.core.state import RaftState
from raftdb.endpoint import parse_endpoint
from raftdb.errors import Fatal, RaftdbError
from raftdb.frontend.http_api import OPEN_PATHS, HttpApi
from raftdb.frontend.http_server import HttpServer
from raftdb.node.driver import Driver
from raftdb.server import logs
from raftdb.server.addresses import AddressBook, AddressKeeper, OwnAddress, own_address
from raftdb.server.config import Settings
from raftdb.server.disk import NodeDisk
from raftdb.server.environment import passed_over
from raftdb.server.folder import (
    EXIT_FAILED,
    create_folder,
    create_joining_folder,
    open_folder,
    storage_errors,
)
from raftdb.server.local_node import LocalNode
from raftdb.server.membership import Registrar, find_cluster
from raftdb.server.network import Network
from raftdb.server.open_files import allow_open_files
from raftdb.server.space import SpaceWatch
from raftdb.server.start import next_incarnation, recover_replica
from raftdb.transport.handshake import LocalIdentity
from raftdb.transport.reasons import short_reason
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
HAND_OVER_SECONDS = 1.0
"""How long another node may take to lead when the one that does is told to stop."""
WRITER_GRACE_SECONDS = 4.0
"""How long the disk may take to finish what is queued when the node stops."""


def run_node(settings: Settings) -> int:
    """Run one node until SIGTERM or SIGINT; returns the exit code of a clean stop, 0. Raises Fatal otherwise."""
    logs.configure(
        node=settings.id,
        level=settings.log_level,
        log_format=settings.log_format,
        heartbeats=settings.log_heartbeats,
    )
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    if foreign := passed_over(os.environ):
        logger.warning("passed over, as set by an orchestrator", extra={"fields": {"variables": foreign}})
    try:
        allow_open_files()
        with storage_errors(), open_folder(settings) as folder:
            identity = folder.identity
            if identity is None or not identity.bootstrapped:
                identity = make_folder(folder, settings)
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


def make_folder(folder: DataFolder, settings: Settings) -> Identity:
    """Make a new folder, that of a first member or of one that joins."""
    logger.info("the data folder is new, and begins empty", extra={"fields": {"data": settings.data}})
    if settings.join is None:
        return create_folder(folder, settings)
    # There is nothing to close in order yet, however long the cluster takes to answer.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    return create_joining_folder(folder, settings, find_cluster(settings))


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
        settings, identity = self._settings, self._identity
        self._announce_start()
        self._driver = Driver(
            recover_replica(settings, identity, self._log, self._state),
            tick_ms=settings.tick_ms,
            heartbeat_ms=settings.heartbeat_ms,
            on_fatal=self._fail,
        )
        core = self._driver.replica.raft.state
        address = own_address(settings, self._log, core.configurations.latest.find(core.id))
        local = LocalIdentity(
            cluster_id=identity.cluster_id,
            node_id=identity.node_id,
            node_uuid=identity.node_uuid,
            incarnation=next_incarnation(self._log),
            http=address.http,
            find_http=lambda: address.now(core.configurations.latest.find(core.id)),
        )
        self._disk = NodeDisk(
            self._folder,
            self._log,
            self._state,
            on_durable=self._driver.persisted,
            on_failure=self._driver.storage_failed,
            reserve_bytes=settings.disk_reserve_bytes,
        )
        space = SpaceWatch(self._driver, self._disk)
        try:
            book = AddressBook(settings.members)
            self._network = Network(
                local, self._driver, self._disk, self._log, addresses=book, on_fatal=self._fail
            )
            self._driver.start(self._disk, self._network, self._network.courier)
            self._driver.peer_met(identity.node_id, identity.node_uuid)
            await self._start_listening()
            await space.start()
            self._network.open()
            self._install_signal_handlers()
            logger.info("ready")
            await self._take_part(core, address)
            await self._shut_down()
        finally:
            await space.close()
            await self._stop_writing()
        if self._failure is not None:
            raise self._failure

    async def _take_part(self, core: RaftState, address: OwnAddress) -> None:
        """Be a node of the cluster, and see to it that the cluster knows it, until it is time to stop."""
        keeper = AddressKeeper(
            self._settings,
            core,
            self._network.addresses,
            address,
            change_members=self._driver.change_members,
            write_fact=self._disk.put_fact,
        )
        registrar = Registrar(self._settings, core, address.http, on_fatal=self._fail)
        tasks = [
            asyncio.create_task(keeper.run(), name="address keeper"),
            asyncio.create_task(registrar.run(), name="registrar"),
        ]
        for task in tasks:
            task.add_done_callback(self._task_done)
        await self._stop.wait()
        for task in tasks:
            task.cancel()

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("internal error, the node stops", exc_info=error)
            self._fail(Fatal(f"{type(error).__name__}: {error}"))

    def _announce_start(self) -> None:
        identity = self._identity
        details = {"version": __version__, "cluster": identity.cluster_id, "data": self._settings.data}
        logger.info("starting", extra={"fields": details})
        if self._settings.redis is not None:
            logger.warning(
                "the Redis protocol is not served yet", extra={"fields": {"redis": self._settings.redis}}
            )

    async def _start_listening(self) -> None:
        """Open the one address of clients and peers."""
        settings = self._settings
        node = LocalNode(
            self._driver,
            self._disk,
            self._network,
            node_id=self._identity.node_id,
            cluster_id=self._identity.cluster_id,
        )
        api = HttpApi(
            node,
            command_limits=Limits(
                value_bytes=settings.value_bytes_max, command_bytes=settings.transaction_bytes_max
            ),
            readiness_checks={"applied": node.lag, "member": node.removal},
            readiness_warnings={"space": node.no_space},
        )
        self._http = HttpServer(
            {**api.routes(), **self._network.routes}, host_names=self._host_names, open_paths=OPEN_PATHS
        )
        endpoint = parse_endpoint(settings.listen)
        try:
            await self._http.start(endpoint.host, endpoint.port)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            raise Fatal(
                f"cannot listen on {settings.listen}: {short_reason(error)}",
                exit_code=EXIT_ADDRESS_IN_USE if in_use else EXIT_FAILED,
                hint="stop what uses it, or choose another address with --listen" if in_use else None,
            ) from error
        logger.info("listening", extra={"fields": {"http": settings.listen}})

    def _host_names(self) -> list[str]:
        """The names that requests to this node may bear. Peers may dial it under any member's: names move about."""
        settings, members = self._settings, self._driver.replica.raft.state.configurations.latest.members
        addresses = [settings.listen, settings.advertised, *(member.http for member in members)]
        return [*(settings.allowed_hosts or ()), *(address.rpartition(":")[0] for address in addresses)]

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

    async def _shut_down(self) -> None:
        """Let another lead, stop taking requests, finish what is in flight, close; bounded by 10 s in all."""
        grace_seconds = 0.0
        if self._failure is None:
            grace_seconds = GRACE_SECONDS
            await self._hand_over()
        await self._driver.close(grace_seconds=grace_seconds)
        await self._network.close()
        await self._http.close(grace_s=1.0)

    async def _hand_over(self) -> None:
        """Let another node lead, if this one does: the others would wait for their election timeouts (hazard B105)."""
        voters = self._driver.replica.raft.state.configurations.voters
        if not self._driver.is_leader() or len(voters) == 1:
            return
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                leader = (await self._driver.transfer()).value
        except TimeoutError:
            logger.warning("nobody took the leadership over in time")
        except RaftdbError as error:
            logger.warning("the leadership is not handed over", extra={"fields": {"why": error.message}})
        else:
            logger.info("leadership handed over", extra={"fields": {"to": leader.id}})

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
