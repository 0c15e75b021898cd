"""All that one node has to do with its peers: links, snapshots, and who may be one."""

import asyncio
from collections.abc import Callable

from raftdb.errors import Fatal
from raftdb.frontend.http_server import Routes
from raftdb.node.driver import Driver
from raftdb.server.disk import NodeDisk
from raftdb.server.folder import EXIT_FOLDER
from raftdb.server.peers import IDENTITY_CHANGED, REMOVED, PeerRegistry
from raftdb.server.snapshots import Courier, Receiver
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import LocalIdentity
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.peer_server import PeerServer
from raftdb.transport.snapshot_client import SnapshotClient
from raftdb.transport.snapshot_server import SnapshotServer
from storage.contract import LogStore


class Network:
    """Made before the driver starts; nothing is dialled before `follow_members`."""

    def __init__(
        self,
        local: LocalIdentity,
        driver: Driver,
        disk: NodeDisk,
        log: LogStore,
        *,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        self._driver = driver
        self._on_fatal = on_fatal
        replica = driver.replica
        loop = asyncio.get_running_loop()
        registry = PeerRegistry(log, disk.writer, replica.raft.state, on_met=driver.peer_met)
        self.links = PeerLinks(
            local,
            check_peer=registry.check,
            events=PeerEvents(
                on_peer_up=driver.peer_up, on_peer_down=self._peer_down, on_refused=self._refused
            ),
        )
        self._peer_server = PeerServer(
            local,
            check_peer=registry.check,
            on_messages=driver.receive,
            events=PeerEvents(on_peer_up=self.links.nudge),
        )
        self._snapshot_server = SnapshotServer(
            local,
            check_peer=registry.check,
            receiver=Receiver(
                disk.folder.receiver,
                on_begin=lambda: loop.call_soon_threadsafe(replica.snapshot_dropped),
            ),
            on_received=replica.snapshot_received,
        )
        disk.receiving = self._snapshot_server.paused
        snapshots = SnapshotClient(local, check_peer=registry.check)
        self.courier = Courier(replica, disk, snapshots, local.cluster_id)

    @property
    def routes(self) -> Routes:
        """What the listener has to serve to peers."""
        return {PEER_PATH: {"GET": self._peer_server.handle}, **self._snapshot_server.routes}

    def follow_members(self) -> None:
        """Dial the peers; from now on the driver says when they change."""
        peers = self._driver.replica.raft.peers()
        self.links.update_peers({node: member.http for node, member in peers.items()})

    async def close(self) -> None:
        """End all links."""
        await self.links.close()
        await self._peer_server.close()
        await self._snapshot_server.close()

    def _peer_down(self, peer: str, reason: str) -> None:
        self._driver.peer_down(peer)

    def _refused(self, peer: str, code: str, reason: str) -> None:
        """A refusal by a peer that says we are not who we were ends this node; any other may pass."""
        if code == REMOVED:
            self._driver.told_removed(peer)
        if code == IDENTITY_CHANGED:
            self._on_fatal(
                Fatal(
                    f"{peer} refuses this node: {reason}",
                    exit_code=EXIT_FOLDER,
                    hint="bring back the old folder, or remove the node and add it under a new id",
                )
            )
