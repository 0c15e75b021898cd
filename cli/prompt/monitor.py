"""Watching the cluster in the background while the prompt is open.

A thread for each node asks for its status twice a second, with a client of its own, so that a node that does not answer
delays no news of the others. The threads are daemons, so that one that waits for a paused node does not hold up the end
of the shell.
"""

import threading
import time
from collections.abc import Callable, Sequence

from cli.prompt.cluster_view import Announcer, ClusterView, NodeNews, view_of
from raftdb.client.credentials import Credentials
from raftdb.client.encryption import TlsOption
from raftdb.client.model import Member
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError, Unauthenticated

INTERVAL_S = 0.5
"""Time between two questions to a node."""
REFUSED_INTERVAL_S = 2.0
"""The same, for one that does not know who asks. It may only lag."""


class Monitor:
    """The latest view of the cluster, kept up to date until `stop`.

    It begins with `addresses`, and goes on with the members that an answering node names. In its threads it calls
    `changed` after each change of the view, and `news` with each line for people.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        tls: TlsOption = None,
        credentials: Credentials | None = None,
        changed: Callable[[], None] = lambda: None,
        news: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._addresses = tuple(addresses)
        self._tls = tls
        self._credentials = Credentials() if credentials is None else credentials
        self._changed = changed
        self._news = news
        self._announcer = Announcer()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._by_address: dict[str, NodeNews] = {}
        self._watched: set[str] = set()
        self._view: ClusterView | None = None

    def start(self) -> None:
        """Begin to ask the nodes."""
        self._watch(self._addresses)

    def stop(self) -> None:
        """Report no more news. The threads end once their nodes have answered or failed."""
        self._stopped.set()

    @property
    def view(self) -> ClusterView | None:
        """The latest view; None before the first node has answered or failed."""
        return self._view

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the nodes that answer, the leader's first; if none does, those given at the start."""
        with self._lock:
            leader = None if self._view is None else self._view.leader_address
            answering = [address for address, item in self._by_address.items() if item.status is not None]
        answering.sort(key=lambda address: (address != leader, address))
        return tuple(answering) or self._addresses

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The ids of the known members, sorted."""
        with self._lock:
            statuses = [item.status for item in self._by_address.values()]
        return tuple(sorted({member.id for status in statuses if status for member in status.members}))

    def _watch(self, addresses: Sequence[str]) -> None:
        """Begin to ask these nodes, except those that are being asked already."""
        for address in addresses:
            with self._lock:
                if address in self._watched:
                    continue
                self._watched.add(address)
            name = f"watch {address}"
            threading.Thread(target=self._ask_for_ever, args=(address,), name=name, daemon=True).start()

    def _ask_for_ever(self, address: str) -> None:
        # Nodes let an address wait from which wrong passwords come, so one that was refused is not sent again.
        refused: Sequence[str] | None = None
        with Client(address, sessions=False, tls=self._tls, credentials=self._credentials) as client:
            while not self._stopped.is_set():
                begun = time.monotonic()
                headers, status = self._credentials.headers, None
                if headers == refused and self._credentials.user is not None:
                    self._stopped.wait(INTERVAL_S)
                    continue
                try:
                    status = client.status(address)
                except Unauthenticated:
                    refused = headers
                except RaftdbError:
                    pass
                now = time.monotonic()
                if not self._take(address, NodeNews(status=status, latency_ms=(now - begun) * 1000.0)):
                    return
                pause_s = REFUSED_INTERVAL_S if headers == refused else INTERVAL_S
                self._stopped.wait(max(pause_s - (now - begun), 0.0))

    def _take(self, address: str, item: NodeNews) -> bool:
        """Take a node's answer. Returns False if it is no longer a member, so that it is not asked again."""
        with self._lock:
            if self._stopped.is_set():
                return False
            self._by_address[address] = item
            members = self._members()
            gone = bool(members) and address not in members
            if gone:
                self._watched.discard(address)
            # A member that was not asked yet is in the view, as one that does not answer.
            self._by_address = {
                other: self._by_address.get(other, NodeNews(status=None))
                for other in sorted(members or self._by_address)
            }
            before, self._view = self._view, view_of(self._by_address, members)
            line = self._announcer.see(self._view, time.monotonic() * 1000.0)
            has_changed = before != self._view
        self._watch(sorted(members))
        if line is not None:
            self._news(line)
        if has_changed:
            self._changed()
        return not gone

    def _members(self) -> dict[str, Member]:
        """The members, by address, from the most recent status; none if no node answers."""
        statuses = [item.status for item in self._by_address.values() if item.status is not None]
        if not statuses:
            return {}
        newest = max(
            statuses, key=lambda status: (status.term, status.role == "leader", status.applied_index)
        )
        return {member.http: member for member in newest.members}
