"""What a node is told of its own removal: who says so, and whether it is believed. A restart does not forget it.

A removed node may never get the entry that removes it: those who have it refuse the node's links (thesis 4.2.2). Who is
still a member knows what is committed and says so. But a node that was removed, too, and starts again, does not know
any more which of its entries are committed, and so cannot tell the next. If all that a node has to ask are such nodes,
it would ask for votes for ever. So what it was told once is a fact in its folder.
"""

from raftdb.background import Background
from raftdb.core.model import NodeId
from raftdb.node.driver import Driver
from raftdb.server.disk import NodeDisk
from raftdb.server.facts import REMOVED_FACT
from storage import LogStore


class Removal:
    """Who says that this node was removed, and whether it is believed. The `driver` hears of each change."""

    def __init__(self, driver: Driver, disk: NodeDisk, log: LogStore, background: Background) -> None:
        self._driver = driver
        self._view = driver.view
        self._disk = disk
        self._background = background
        self._said_by = set((log.get_meta(REMOVED_FACT) or b"").decode().split())
        self._is_believed = False

    def recall(self) -> None:
        """Believe what was told before the last restart, until a majority is linked with this node."""
        if self._said_by:
            self._judge()

    def said(self, by: NodeId) -> None:
        """The peer `by` has refused this node as one that was removed."""
        self._said_by.add(by)
        self._judge()

    def linked(self, peer: NodeId) -> None:
        """The peer takes messages of this node: it does not say so, or not any more."""
        self._said_by.discard(peer)
        self.doubt()

    def doubt(self) -> None:
        """Believe it no more if links and members have changed so that it cannot be true."""
        if self._is_believed:
            self._judge()

    def _judge(self) -> None:
        """Who says that this node was removed is believed unless a majority is linked with it: that knows better."""
        view = self._view
        strangers = set(view.configuration.voters) - {*view.links, view.id}
        is_believed = bool(self._said_by) and view.is_cast_out(strangers)
        if is_believed == self._is_believed:
            return
        self._is_believed = is_believed
        if not is_believed:
            self._said_by.clear()
        by = sorted(self._said_by)
        self._driver.told_removed(by)
        fact = " ".join(by).encode()
        self._background.start(self._disk.put_fact(REMOVED_FACT, fact), name="removal written down")
