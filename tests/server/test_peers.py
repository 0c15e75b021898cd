"""Who may be a peer: the registry over a store in memory."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from raftdb.core.model import Entry, EntryKind
from raftdb.server.peers import IDENTITY_CHANGED, PEER_CHANGED, PEER_REMOVED, REMOVED, PeerRegistry
from raftdb.wire.peer import PROTOCOL_VERSION, Hello, Refused, Welcome
from storage.memory import MemoryLogStore
from tests.core.cluster import encode_members
from tests.core.direct import Direct

Result = TypeVar("Result")


class Thread:
    """Runs what it is given at once."""

    def call(self, work: Callable[[], Result]) -> "Future[Result]":
        """See `WritingThread`."""
        done: Future[Result] = Future()
        done.set_result(work())
        return done


class Desk:
    """A registry of node n1, whose core is `node`, and what it has found out."""

    def __init__(self, node: Direct, store: MemoryLogStore | None = None) -> None:
        self.store = store or MemoryLogStore()
        self.met: dict[str, str] = {}
        self.stated: dict[str, str] = {}
        self.registry = PeerRegistry(
            self.store, Thread(), node.state, on_met=self.met.__setitem__, on_stated=self.stated.__setitem__
        )

    async def says(self, peer: str, uuid: str, *, dialled: bool = False) -> Refused | None:
        """Somebody introduces itself."""
        kind = Welcome if dialled else Hello
        return await self.registry.check(kind(PROTOCOL_VERSION, "c", peer, "n1", uuid, 1, "h:1", None))


def code(refusal: Refused | None) -> str | None:
    return None if refusal is None else refusal.code


async def test_the_first_folder_of_a_member_is_remembered_also_by_the_next_start() -> None:
    """Hazards B36, B90."""
    desk = Desk(Direct())
    assert await desk.says("n2", "first") is None
    assert await desk.says("n2", "first", dialled=True) is None
    assert code(await desk.says("n2", "second")) == IDENTITY_CHANGED
    assert code(await desk.says("n2", "second", dialled=True)) == PEER_CHANGED
    again = Desk(Direct(), desk.store)
    assert await again.says("n3", "third") is None
    assert again.met == {"n2": "first", "n3": "third"}, "the others are recalled with the first that calls"
    assert code(await again.says("n2", "second")) == IDENTITY_CHANGED


def following(configuration: bytes) -> Direct:
    """A node that holds and has committed this configuration."""
    node = Direct()
    node.disk.entries[0] = Entry(1, 1, EntryKind.CONFIGURATION, configuration)
    node.raft = node.disk.boot("n1", node.state.settings, lambda low, high: low)
    node.hear_leader("n2", 2, commit_index=1)
    return node


async def test_what_the_configuration_says_counts_more_than_who_was_first() -> None:
    desk = Desk(Direct())
    assert await desk.says("n2", "stranger") is None
    desk = Desk(following(encode_members(("n1", "n2#known"))), desk.store)
    assert code(await desk.says("n2", "stranger")) == IDENTITY_CHANGED
    assert await desk.says("n2", "known") is None
    assert desk.met["n2"] == "known"


async def test_who_was_removed_is_told_so() -> None:
    """Hazard B41."""
    desk = Desk(following(encode_members(("n1",), (), ("n2",))))
    assert code(await desk.says("n2", "anything")) == REMOVED
    assert code(await desk.says("n2", "anything", dialled=True)) == PEER_REMOVED, "and who dials it is not"
    assert desk.met == desk.stated == {}


async def test_a_stranger_is_believed_and_bound_to_its_folder_when_it_becomes_a_member() -> None:
    """It may have been added since; and what it says may count from the moment it is known to be a member."""
    node = Direct()
    desk = Desk(node)
    assert await desk.says("n4", "first") is None
    assert await desk.says("n4", "second") is None
    node.state.folders.update(desk.met)
    assert node.state.configurations.appended(
        [Entry(2, 2, EntryKind.CONFIGURATION, encode_members(("n1", "n2", "n3"), ("n4",)))]
    )
    assert code(await desk.says("n4", "third")) == IDENTITY_CHANGED
    assert await desk.says("n4", "second") is None
