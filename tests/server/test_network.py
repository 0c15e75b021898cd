"""What refusals of peers come to: so many that this node can have no majority end it, and a link takes one back."""

from typing import Any
from unittest.mock import MagicMock

import pytest

from raftdb.core.model import StartId
from raftdb.errors import Fatal
from raftdb.node.starts import OwnStarts
from raftdb.node.view import NodeView
from raftdb.server.addresses import STRANGERS_MAX, AddressBook
from raftdb.server.facts import REMOVED_FACT
from raftdb.server.network import Network
from raftdb.server.peers import IDENTITY_CHANGED, OTHER_LIFE, PEER_STALE_START, REMOVED, STALE_START
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import LocalIdentity
from tests.addresses import at
from tests.core.direct import Direct


class Refusing:
    """The network of n1 of three nodes, which has run before; `fatal` is what ended it, `events` what links tell it.

    `told_before`: what its folder keeps of who told it that it was removed.
    """

    def __init__(self, told_before: bytes | None = None) -> None:
        self.fatal: list[Fatal] = []
        self.driver: Any = MagicMock()
        self.driver.replica.raft.state = Direct(nodes=3).state
        self.driver.replica.is_new = False
        self.driver.replica.links = set()
        self.driver.view = NodeView(self.driver.replica)
        self.background: Any = MagicMock()
        self.background.start.side_effect = lambda work, name: work.close()
        log: Any = MagicMock()
        log.get_meta.side_effect = lambda name: told_before if name == REMOVED_FACT else None
        self.disk: Any = MagicMock()
        start = StartId(1, "nonce")
        network = Network(
            LocalIdentity(
                cluster_id="c", node_id="n1", node_uuid="uuid", start=start, http=at("127.0.0.1:8001")
            ),
            *(self.driver, self.disk, log, OwnStarts(start, b"secret"), self.background),
            addresses=AddressBook(),
            impaired=None,
            receiver=MagicMock(),
            on_fatal=self.fatal.append,
        )
        self.network = network
        self.events: PeerEvents = network._events_of_links()
        self.incoming: PeerEvents = network._peer_server._events

    def hung_up(self, peer: str) -> None:
        self.incoming.on_peer_down(peer, "why")

    def refused(self, peer: str, code: str) -> None:
        self.events.on_refused(peer, code, "why")


def test_of_strangers_who_hang_up_only_the_latest_are_dialled_for_a_while() -> None:
    """Each has a timer, and a dial: names cost nothing."""
    node = Refusing()
    timers = [MagicMock() for _ in range(STRANGERS_MAX + 10)]
    node.background.after.side_effect = timers
    for number in range(STRANGERS_MAX + 9):
        node.hung_up(f"x{number}")
    node.hung_up(f"x{STRANGERS_MAX}")
    cancelled = [timer.cancel.called for timer in timers]
    assert cancelled.count(False) == STRANGERS_MAX
    assert cancelled[:9] == [True] * 9
    assert cancelled[STRANGERS_MAX], "it hung up again: the later timer counts"


@pytest.mark.parametrize("code", [IDENTITY_CHANGED, OTHER_LIFE, STALE_START])
def test_a_majority_that_refuses_ends_the_node(code: str) -> None:
    node = Refusing()
    node.refused("n2", code)
    assert node.fatal == []
    node.refused("n3", code)
    assert [(fatal.exit_code, fatal.hint is not None) for fatal in node.fatal] == [(4, True)]
    assert node.fatal[0].message == "n2, n3 refuse this node: why"


def test_that_a_peer_is_an_old_start_says_nothing_of_this_node() -> None:
    node = Refusing()
    for peer in ("n2", "n3"):
        node.refused(peer, PEER_STALE_START)
    assert node.fatal == []


def test_who_is_linked_with_the_node_refuses_it_no_more() -> None:
    node = Refusing()
    node.refused("n2", OTHER_LIFE)
    node.events.on_peer_up("n2")
    node.driver.peer_up.assert_called_once_with("n2")
    node.refused("n3", OTHER_LIFE)
    assert node.fatal == []


def test_a_removal_that_was_said_is_believed_no_more_once_a_majority_is_linked() -> None:
    node = Refusing()
    node.refused("n2", REMOVED)
    node.driver.told_removed.assert_called_once_with(["n2"])
    node.disk.put_fact.assert_called_once_with(REMOVED_FACT, b"n2")
    node.driver.replica.links = {"n2"}
    node.events.on_peer_up("n2")
    node.driver.told_removed.assert_called_with([])
    node.disk.put_fact.assert_called_with(REMOVED_FACT, b"")


def test_what_was_said_of_a_removal_is_still_believed_after_a_restart() -> None:
    """Those who are there now may have been removed, too, and not know any more what is committed."""
    node = Refusing(told_before=b"n2 n3")
    node.network.open()
    node.driver.told_removed.assert_called_once_with(["n2", "n3"])


def test_a_removal_of_before_the_restart_is_forgotten_once_a_majority_is_linked() -> None:
    node = Refusing(told_before=b"n3")
    node.network.open()
    node.driver.replica.links = {"n2"}
    node.events.on_peer_up("n2")
    node.driver.told_removed.assert_called_with([])
    node.disk.put_fact.assert_called_with(REMOVED_FACT, b"")
    node.driver.replica.links = set()
    node.network._check_removed()
    node.driver.told_removed.assert_called_with([])


def test_a_node_that_nobody_told_of_a_removal_does_not_believe_one() -> None:
    node = Refusing(told_before=b"")
    node.network.open()
    node.driver.told_removed.assert_not_called()
    node.disk.put_fact.assert_not_called()
