"""The composition root: one node put together from its parts, run, and taken apart in order.

    folder (lock, identity) -> log, state -> replica -> driver -> links, listener

Opening goes from left to right; stopping from right to left, so that nothing is used after it is closed; also if a
start fails on the way (`shutdown`). Failures become a `Fatal` with the exit code of docs/interface.md, section 1.
"""

import asyncio
import logging
import os
import signal
import sys
from contextlib import ExitStack, closing
from functools import partial

from raftdb import __version__
from raftdb.background import Background
from raftdb.core.events import PeerMet
from raftdb.endpoint import Endpoint
from raftdb.frontend import (
    HttpApi,
    HttpServer,
    PagesApi,
    RedisLimits,
    RedisServer,
    ServerLimits,
    Wrap,
    as_it_is,
    through,
)
from raftdb.limits import Limits
from raftdb.memory import MemoryAccount
from raftdb.node.driver import Driver
from raftdb.node.view import NodeView
from raftdb.server import allocator, collector, logs
from raftdb.server.access import Access
from raftdb.server.addresses import AddressBook, AddressKeeper, own_address
from raftdb.server.charts import Charts
from raftdb.server.config import Settings
from raftdb.server.disk import NodeDisk
from raftdb.server.environment import passed_over
from raftdb.server.exposure import check_exposure
from raftdb.server.facts import USERS_FACT
from raftdb.server.folder import (
    create_folder,
    create_joining_folder,
    open_folder,
    storage_errors,
)
from raftdb.server.forwarding_node import ForwardingNode
from raftdb.server.handing_over import hand_over
from raftdb.server.listening import cannot_listen, check_listen
from raftdb.server.local_node import LocalNode
from raftdb.server.measures import Measured
from raftdb.server.membership import Registrar, find_cluster
from raftdb.server.metrics import NodeMetrics
from raftdb.server.network import Network
from raftdb.server.open_files import allow_open_files, connection_shares
from raftdb.server.security import Security
from raftdb.server.shutdown import Closing, Shutdown
from raftdb.server.space import SpaceWatch
from raftdb.server.start import begin_start, impaired_network, load_replica
from raftdb.server.taking_in import TakingIn
from raftdb.server.threads import check_threads
from raftdb.transport import JoinServer, LocalIdentity
from storage import DataFolder, Identity, LmdbLogStore, LmdbStateStore

logger = logging.getLogger("raftdb.server")

GRACE_SECONDS = 4.0
"""How long requests in flight may take to finish when the node is told to stop."""
SWITCH_INTERVAL_SECONDS = 0.0005
"""How long a thread keeps the interpreter while another waits for it. The writer thread comes back from an fsync with
a whole batch waiting for it; the default of 5 ms would be most of a write's latency under load."""
LISTENER_GRACE_SECONDS = 1.0
"""How long answers that are being sent may take."""


def run_node(settings: Settings) -> int:
    """Run one node until a signal asks it to stop; returns the exit code of a clean stop, 0. Raises Fatal otherwise."""
    security = Security(settings)
    check_exposure(settings)
    check_threads()
    logs.configure(
        node=settings.id,
        level=settings.log_level,
        log_format=settings.log_format,
        heartbeats=settings.log_heartbeats,
    )
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    allocator.settle()
    if foreign := passed_over(os.environ):
        logger.warning("passed over, as set by an orchestrator", extra={"fields": {"variables": foreign}})
    # Until the node watches its signals itself, only what is opened here has to be closed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with ExitStack() as stack:
        stack.callback(logs.flush)
        allow_open_files(settings.redis_doors)
        stack.enter_context(storage_errors())
        folder = stack.enter_context(open_folder(settings))
        identity = folder.identity
        if identity is None or not identity.bootstrapped:
            # This is checked first: a folder that is made belongs to a cluster for good, and one mistyped flag is
            # seldom the only one.
            for address in settings.listens.values():
                check_listen(address)
            identity = make_folder(folder, settings, security)
        security.belong_to(identity.cluster_id)
        log = stack.enter_context(closing(folder.open_log()))
        state = stack.enter_context(closing(folder.open_state()))
        runner = stack.enter_context(asyncio.Runner(loop_factory=_loop_factory()))
        runner.run(_Node(settings, security, folder, identity, log, state).run())
    return 0


def make_folder(folder: DataFolder, settings: Settings, security: Security) -> Identity:
    """Make a new folder, that of a first member or of one that joins."""
    logger.info("the data folder is new, and begins empty", extra={"fields": {"data": settings.data}})
    if settings.join is None:
        return create_folder(folder, settings)
    return create_joining_folder(folder, settings, find_cluster(settings, security.proof))


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


async def _listen(server: HttpServer | RedisServer, address: Endpoint, parts: Closing, name: str) -> None:
    """Open one port. Raises `Fatal`."""
    try:
        await server.start(address.host, address.port)
    except OSError as error:
        raise cannot_listen(address, error) from error
    parts.then(name, lambda: server.close(grace_s=LISTENER_GRACE_SECONDS))


class _Node:
    """The parts of one node, from start to stop."""

    def __init__(
        self,
        settings: Settings,
        security: Security,
        folder: DataFolder,
        identity: Identity,
        log: LmdbLogStore,
        state: LmdbStateStore,
    ) -> None:
        self._settings = settings
        self._security = security
        self._folder = folder
        self._identity = identity
        self._log = log
        self._state = state
        # The folder is read and written directly only here, before there is a loop that it would hold up.
        self._announce_start()
        self._replica = load_replica(settings, identity, log, state)
        self._view = view = NodeView(self._replica)
        self._address = own_address(settings, log, view.configuration.find(view.id))
        self._own_starts = begin_start(log)
        self._receiver = folder.receiver
        self._impaired = impaired_network(settings)
        mode, control = settings.dashboard, settings.dashboard_control
        pages = PagesApi(self._member_addresses, mode=mode, control=control)
        self._pages = None if mode == "off" else pages

    async def run(self) -> None:
        """Start everything, wait for the end, stop everything. Raises the Fatal that ended it, if one did."""
        self._shutdown = shutdown = Shutdown()
        reloading = self._security.reloading
        shutdown.watch_signals(reloading.ask if reloading.is_needed else None)
        async with shutdown.closing() as parts:
            await self._start(parts)
            collector.settle()
            logger.info("ready")
            await shutdown.asked()
            is_orderly = shutdown.failure is None
            if is_orderly:
                await hand_over(self._driver, self._view)
            # Requests in flight are finished first, while all parts are still there.
            await self._driver.close(grace_seconds=GRACE_SECONDS if is_orderly else 0)
        logger.info("stopped")

    async def _start(self, parts: Closing) -> None:
        """Open the parts of a node, each when all that it uses is there."""
        settings, identity, fail = self._settings, self._identity, self._shutdown.fail
        self._driver = Driver(
            self._replica,
            self._view,
            tick_ms=settings.tick_ms,
            heartbeat_ms=settings.heartbeat_ms,
            on_fatal=fail,
        )
        logs.keep(self._driver.chronicle)
        view, address, own = self._view, self._address, self._own_starts
        self._disk = NodeDisk(
            self._folder,
            self._log,
            self._state,
            on_durable=self._driver.persisted,
            on_failure=self._driver.storage_failed,
            reserve_bytes=settings.disk_reserve_bytes,
        )
        parts.then("disk", lambda: asyncio.to_thread(self._disk.close))
        background = Background(fail)
        parts.then("background", background.close)
        self._network = Network(
            self._introduction(),
            self._driver,
            self._disk,
            self._log,
            own,
            background,
            addresses=AddressBook(settings.members),
            receiver=self._receiver,
            impaired=self._impaired,
            on_fatal=fail,
        )
        self._driver.start(self._disk, self._network, self._network)
        parts.then("driver", lambda: self._driver.close(grace_seconds=0))
        self._driver.peer_met(PeerMet(view.id, identity.node_uuid, own.start, own.doubted))
        await self._start_listening(parts, background)
        space = SpaceWatch(self._driver, self._disk, background)
        parts.then("space watch", space.close)
        await space.start()
        parts.then("network", self._network.close)
        self._network.open()
        keeper = AddressKeeper(
            settings,
            view,
            self._network.addresses,
            address,
            change_members=self._driver.change_members,
            write_fact=self._disk.put_fact,
        )
        background.start(keeper.run(), name="address keeper")
        background.start(self._security.reloading.run(), name="files that are read again")
        registrar = Registrar(settings, view, address.http, proof=self._security.proof, on_fatal=fail)
        background.start(registrar.run(), name="registrar")

    def _introduction(self) -> LocalIdentity:
        """How this start of the node introduces itself to peers."""
        view, address = self._view, self._address
        own, identity = self._own_starts, self._identity
        return LocalIdentity(
            cluster_id=identity.cluster_id,
            node_id=identity.node_id,
            node_uuid=identity.node_uuid,
            start=own.start,
            predecessor=own.predecessor,
            disk_term=view.term,
            disk_last_index=view.last_index,
            http=address.http,
            redis=self._settings.advertised_redis,
            find_http=lambda: address.now(view.configuration.find(view.id)),
            proof=self._security.proof,
        )

    def _announce_start(self) -> None:
        identity = self._identity
        details = {"version": __version__, "cluster": identity.cluster_id, "data": self._settings.data}
        logger.info("starting", extra={"fields": details})

    async def _start_listening(self, parts: Closing, background: Background) -> None:
        """Open the one address of clients and peers, and those of Redis clients."""
        self._memory = memory = self._made_memory()
        self._access = access = Access(
            self._view,
            password=self._security.admin_password,
            resets=self._settings.admin_reset,
            had_users=self._log.get_meta(USERS_FACT) is not None,
            silence_s=lambda: self._driver.contacts.leaderless_s,
        )
        node = LocalNode(
            self._driver,
            self._disk,
            self._network,
            memory,
            node_id=self._identity.node_id,
            cluster_id=self._identity.cluster_id,
            users=access.users,
        )
        node.measured = self._measured = self._made_measured(memory, parts)
        background.start(access.run(self._driver.execute, self._disk.put_fact), name="users")
        await self._open_http(node, parts, background)
        await self._open_redis(node, parts, background)
        logger.info("listening", extra={"fields": self._settings.listens})

    async def _open_http(self, node: LocalNode, parts: Closing, background: Background) -> None:
        measured, access = self._measured, self._access
        charts = Charts(measured)
        background.start(charts.run(), name="charts")
        api = HttpApi(
            node,
            command_limits=self._command_limits(),
            readiness_checks={"applied": node.lag, "member": node.removal, "folder": node.put_back},
            readiness_warnings={"space": node.no_space},
            pages=self._pages,
            logins=access.logins,
            metrics=NodeMetrics(measured).render,
            charts=charts.since,
        )
        measured.watches = api.watching.hub
        joining = JoinServer(self._security.proof, TakingIn(node, self._identity.cluster_id).answer)
        server = HttpServer(
            {**api.routes(), **self._network.routes, **joining.routes},
            lean=api.lean_routes(),
            memory=self._memory,
            host_names=self._host_names,
            limits=ServerLimits(connections_max=connection_shares(self._settings.redis_doors).http),
            browsers=access.browsers(self._settings, self._member_addresses),
            gate=access.gate,
            requests=measured.doors["http"],
            wrap=self._wrap(),
            tls=self._security.http_tls,
        )
        await _listen(server, self._settings.listen, parts, "listener")
        parts.then("streams of events", api.streams.close)
        if api.lessons is not None:
            parts.then("lessons", api.lessons.close)
        background.start(api.streams.beat(), name="blocks for streams")
        background.start(api.watching.hub.run(), name="watches")

    async def _open_redis(self, node: LocalNode, parts: Closing, background: Background) -> None:
        settings = self._settings
        forwarding = ForwardingNode(
            node,
            self._driver,
            self._network,
            self._memory,
            users=self._access.users,
            start=background.start,
            patience_s=settings.request_timeout_ms / 1000,
            serves_reads=settings.reads == "any",
        )
        parts.then("forwarder", forwarding.close)
        redis = partial(
            RedisServer,
            limits=RedisLimits(connections_max=connection_shares(settings.redis_doors).redis),
            command_limits=self._command_limits(),
            memory=self._memory,
            requests=self._measured.doors["redis"],
            users=self._access.users,
            logins=self._access.logins,
            wrap=self._wrap(),
            tls=self._security.redis_tls,
        )
        if settings.redis is not None:
            plain = forwarding if settings.redis_redirect == "forward" else node
            await _listen(redis(plain), settings.redis, parts, "Redis listener")
        if settings.redis_cluster is not None:
            door = redis(node, for_clusters=True, wide_reader=forwarding)
            await _listen(door, settings.redis_cluster, parts, "Redis listener")

    def _command_limits(self) -> Limits:
        settings = self._settings
        return Limits(value_bytes=settings.value_bytes_max, command_bytes=settings.transaction_bytes_max)

    def _wrap(self) -> Wrap:
        return as_it_is if self._impaired is None else through(self._impaired.clients)

    def _made_memory(self) -> MemoryAccount:
        """The account of the memory that others make grow."""
        memory = MemoryAccount(self._settings.memory_bytes_max)
        memory.watch("changes", lambda: self._view.changes_memory_bytes)
        memory.watch("entries", lambda: self._view.entries_memory_bytes)
        memory.watch("history", lambda: self._view.history.reach.bytes)
        memory.watch("peers", lambda: self._network.queued_bytes)
        return memory

    def _made_measured(self, memory: MemoryAccount, parts: Closing) -> Measured:
        """The parts of this node that are measured."""
        pauses = collector.PauseTally()
        pauses.start()
        parts.then("measuring of collections", pauses.close)
        return Measured(
            driver=self._driver, disk=self._disk, network=self._network, memory=memory, pauses=pauses
        )

    def _member_addresses(self) -> list[Endpoint]:
        return [member.http for member in self._view.configuration.members]

    def _host_names(self) -> list[str]:
        """The names of hosts that requests to this node may bear. Peers may dial it under the name of any member,
        because names may be given to other machines."""
        settings, members = self._settings, self._view.configuration.members
        addresses = [settings.listen, settings.advertised, *(member.http for member in members)]
        return [*(settings.allowed_hosts or ()), *(address.host for address in addresses)]
