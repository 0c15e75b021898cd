"""Copies of one node's folder, which are put back later (hazard B108).

A copy is the synced content of the disk at some moment, while the process was down or running. It replaces the folder
later, and the process starts on it without knowing that.

This can be noticed only if other nodes remember more than the copy. So a copy is put back only if every other node that
takes part has met the start that the copy lacks (`Nemesis`).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from raftdb.core.model import NodeId
from raftdb.simulation.peers import Peers
from raftdb.simulation.shadow import Shadow

if TYPE_CHECKING:
    from raftdb.simulation.host import Host, World

COPIES_KEPT = 4


class Copy(NamedTuple):
    """The content of a folder: log, state, peers and starts; and what the oracle knows of it."""

    log: dict[bytes, bytes]
    state: dict[bytes, bytes]
    peers: Peers
    shadow: Shadow


class Copies:
    """The copies of one host."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host
        self._copies: list[Copy] = []
        self._starts_since: list[str] = []
        """The nonces of the starts since a copy was put back."""

    def keep(self) -> bool:
        """Make a copy now. Returns False if a snapshot is being installed, or the disk is damaged."""
        host, shadow = self._host, self._world.oracle.shadows[self._host.id]
        if host.runner.is_installing or shadow.swapped is not None or host.disk.is_damaged:
            return False
        disk = host.disk
        copy = Copy(disk.log_disk.durable(), disk.state_disk.durable(), host.peers.copy(), shadow.copy())
        self._copies = [*self._copies[-COPIES_KEPT + 1 :], copy]
        return True

    def older(self) -> list[Copy]:
        """The copies that were made before the present start. A later one could not be told from the folder
        (`raftdb.node.starts`)."""
        own = self._host.peers.own
        return [copy for copy in self._copies if own and copy.peers.own and copy.peers.own.start != own.start]

    def put_back(self, copy: Copy) -> None:
        """End the process if it runs, and replace the folder by the copy, on which the process starts again."""
        host, world = self._host, self._world
        host.crash("its folder is put back to an older copy")
        host.disk.put_back(copy.log, copy.state)
        host.peers = copy.peers.copy()
        world.oracle.put_back(host.id, copy.shadow.copy())
        self._starts_since = [""]

    def started(self) -> None:
        """Note a start of the process."""
        own = self._host.peers.own
        if own is None:
            return
        self._world.oracle.forgetting.introduced(self._host.id, own.start.nonce)
        if self._starts_since:
            self._starts_since.append(own.start.nonce)

    def is_in_doubt(self, hosts: "Iterable[Host]") -> bool:
        """True if a copy was put back, and no committed configuration names a start since, or some node has not yet
        written down that one does."""
        member = self._world.oracle.configuration[1].find(self._host.id)
        start = None if member is None else member.start
        if start is not None and start.nonce in self._starts_since:
            self._starts_since = []
        present = [host for host in hosts if host.out is None]
        return bool(self._starts_since) or any(_is_doubted_by(host, self._host.id) for host in present)

    def is_remembered_by(self, others: "list[Host]") -> bool:
        """True if all of `others` have met the present start, so that they notice when it is forgotten."""
        own, node = self._host.peers.own, self._host.id
        return own is not None and all(_last_met(other, node) == own.start for other in others)


def _is_doubted_by(host: "Host", node: NodeId) -> bool:
    known = host.peers.known.get(node)
    own = host.peers.own if host.id == node else None
    return bool((known is not None and known.doubted) or (own is not None and own.doubted))


def _last_met(host: "Host", node: NodeId) -> object:
    known = host.peers.known.get(node)
    return None if known is None else known.last
