"""Who may be a peer: the registry over a store in memory."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from raftdb.core.events import PeerMet, Received
from raftdb.core.messages import AppendEntriesReply
from raftdb.core.model import Entry, EntryKind, StartId
from raftdb.endpoint import NO_REDIS, Endpoint
from raftdb.node.starts import OwnStarts, credential_for, decode_known, encode_own, next_start
from raftdb.server.peers import (
    IDENTITY_CHANGED,
    OTHER_LIFE,
    PEER_CHANGED,
    PEER_OTHER_LIFE,
    PEER_REMOVED,
    REMOVED,
    STALE_START,
    UNPROVEN,
    PeerRegistry,
)
from raftdb.server.start import begin_start
from raftdb.wire.handshake import PROTOCOL_VERSION, Hello, Refused, Welcome
from storage.memory import MemoryLogStore
from tests.addresses import at
from tests.blocks import blocks
from tests.core.cluster import LIFE, encode_members
from tests.core.direct import Direct
from tests.node.views import view_of

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
        self.node = node
        self.met: dict[str, str] = {}
        self.stated: dict[str, Endpoint] = {}
        self.events: list[PeerMet] = []
        self.own = begin_start(self.store)
        self.heard = self.redials = 0
        self.registry = PeerRegistry(
            *(self.store, Thread(), view_of(node), self.own),
            on_met=self._on_met,
            on_stated=lambda peer, http, redis: self.stated.__setitem__(peer, http),
            on_put_back=self._on_put_back,
        )
        node.step(PeerMet("n1", "mine", self.own.start, self.own.doubted))

    def _on_met(self, event: PeerMet) -> None:
        self.events.append(event)
        if event.node != "n1" and event.uuid is not None:
            self.met[event.node] = event.uuid

    def _on_put_back(self) -> None:
        self.redials += 1

    async def says(
        self, peer: str, uuid: str, *, dialled: bool = False, start: OwnStarts | None = None, **facts: Any
    ) -> Refused | None:
        """Somebody introduces itself; the core hears what that has shown."""
        own = start or OwnStarts(StartId(1, f"{peer} {uuid}"), b"")
        introduction = introduce(peer, uuid, own, kind=Welcome if dialled else Hello)
        refusal = await self.registry.check(replace(introduction, **facts))
        for event in self.events[self.heard :]:
            self.node.raft.step(event)
        self.heard = len(self.events)
        return refusal


def introduce(
    peer: str, uuid: str, own: OwnStarts, *, kind: type[Hello | Welcome] = Hello
) -> Hello | Welcome:
    """What a node says of itself to n1."""
    return kind(
        protocol_version=PROTOCOL_VERSION,
        cluster_id="c",
        source=peer,
        target="n1",
        node_uuid=uuid,
        start=own.start,
        predecessor=own.predecessor,
        put_back=False,
        remembered=None,
        disk_term=1,
        disk_last_index=1,
        birth=None,
        credential=credential_for(own, "n1"),
        http=at("h:1"),
        redis=NO_REDIS,
    )


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


async def test_what_strangers_say_of_their_folders_is_no_error_of_this_cluster(
    log_records: list[logging.LogRecord],
) -> None:
    """They may say it as often as they like, and the log of errors is read."""
    desk = Desk(Direct())
    for number in range(3):
        start = OwnStarts(StartId(1, f"nonce {number}"), b"")
        assert await desk.says("stranger", "folder", start=start, put_back=True) is None
    assert not [record for record in log_records if record.levelno >= logging.INFO]
    assert await desk.says("n2", "folder", put_back=True) is None
    assert [record.levelname for record in log_records if record.name == "raftdb.server"] == ["INFO", "ERROR"]


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
    assert not desk.met
    assert not desk.stated


async def test_a_stranger_is_believed_and_bound_to_its_folder_when_it_becomes_a_member() -> None:
    """It may have been added since; and what it says may count from the moment it is known to be a member."""
    node = Direct()
    desk = Desk(node)
    assert await desk.says("n4", "first") is None
    assert await desk.says("n4", "second") is None
    assert node.state.configurations.appended(
        blocks([Entry(2, 2, EntryKind.CONFIGURATION, encode_members(("n1", "n2", "n3"), ("n4",)))])
    )
    assert code(await desk.says("n4", "third")) == IDENTITY_CHANGED
    assert await desk.says("n4", "second") is None


def next_of(own: OwnStarts | None) -> OwnStarts:
    """The start of a peer that follows this one."""
    return next_start(None if own is None else encode_own(own), os.urandom)


async def test_an_older_start_of_a_peer_is_refused() -> None:
    """What it has to say is from before the restart (hazard B95)."""
    desk = Desk(Direct())
    older = next_of(None)
    newer = next_of(older)
    assert await desk.says("n2", "its", start=older) is None
    assert await desk.says("n2", "its", start=newer) is None
    assert code(await desk.says("n2", "its", start=older)) == STALE_START
    assert await desk.says("n2", "its", start=newer) is None
    assert desk.node.state.doubts == {}


async def test_a_folder_that_was_put_back_is_found_out_before_it_is_believed() -> None:
    """Hazard B108: also by a node that was started again since, for what it remembers is on disk."""
    copy = next_of(None)
    met = next_of(copy)
    desk = Desk(Direct())
    assert await desk.says("n2", "its", start=met) is None
    again = Desk(Direct(), desk.store)
    put_back = next_of(copy)
    assert await again.says("n2", "its", start=put_back) is None, "it is no stranger, and is not refused"
    assert again.node.state.doubts == {"n2": (put_back.start.nonce,)}
    assert again.events[-1].put_back
    assert again.registry.recall("n2").remembered == met.start, "which tells it so"
    third = Desk(Direct(), desk.store)
    assert await third.says("n3", "its") is None
    assert third.node.state.doubts == {"n2": (put_back.start.nonce,)}, "recalled before anything is heard"
    later = next_of(put_back)
    assert await third.says("n2", "its", start=later) is None
    assert third.node.state.doubts == {"n2": (put_back.start.nonce, later.start.nonce)}
    assert not third.events[-1].put_back, "that was known"


async def test_a_node_that_is_told_of_a_start_that_it_has_forgotten_knows_that_it_was_put_back() -> None:
    """Hazard B108. It is believed because nobody else can seal a start of this folder; and it is told to all anew."""
    desk = Desk(Direct())
    forgotten = next_of(desk.own)
    assert await desk.says("n2", "its", remembered=StartId(forgotten.start.number, "a lie")) is None
    assert not desk.registry.recall("n3").put_back
    assert await desk.says("n2", "its", remembered=forgotten.start) is None
    assert desk.node.state.doubts == {"n1": (desk.own.start.nonce,)}
    assert desk.registry.recall("n3").put_back
    assert desk.redials == 1
    again = Desk(Direct(), desk.store)
    assert again.node.state.doubts["n1"] == (desk.own.start.nonce, again.own.start.nonce)


async def test_who_says_of_itself_that_it_was_put_back_is_believed() -> None:
    """It met others first, that remember what this node never knew."""
    desk = Desk(Direct())
    own = next_of(None)
    assert await desk.says("n2", "its", start=own) is None
    assert await desk.says("n2", "its", start=own, put_back=True) is None
    assert desk.node.state.doubts == {"n2": (own.start.nonce,)}
    assert desk.events[-1].put_back


async def test_a_leader_finds_out_that_a_disk_was_put_back_to_what_it_was_between_two_starts() -> None:
    """No number of starts shows that: the copy is of the machine as it ran. But it has told this leader more."""
    node = Direct()
    node.become_leader()
    desk = Desk(node)
    first = next_of(None)
    assert await desk.says("n2", "its", start=first) is None
    node.step(Received(AppendEntriesReply("n2", "n1", node.state.term, 1, True, 2), first.start.nonce))
    facts: dict[str, Any] = {"disk_term": node.state.term, "disk_last_index": 2}
    second, third = next_of(first), next_of(next_of(first))
    assert await desk.says("n2", "its", start=second, **facts) is None
    assert node.state.doubts == {}
    assert await desk.says("n2", "its", start=third, **facts | {"disk_last_index": 1}) is None
    assert node.state.doubts == {"n2": (third.start.nonce,)}
    assert node.state.leadership is not None
    assert node.state.leadership.progress["n2"].match_index == 0, "it has to be filled anew"


async def test_who_becomes_a_member_after_it_was_met_is_written_down_and_who_is_cleared_too() -> None:
    desk = Desk(Direct())
    stranger = next_of(None)
    assert await desk.says("n4", "its", start=stranger) is None
    assert desk.store.get_meta("starts:n4") is None
    assert desk.node.state.configurations.appended(
        blocks([Entry(2, 2, EntryKind.CONFIGURATION, encode_members(("n1", "n2", "n3"), ("n4",)))])
    )
    await desk.registry.tidy()
    assert decode_known(desk.store.get_meta("starts:n4") or b"").last == stranger.start


async def test_who_is_of_another_life_of_the_cluster_is_refused_once_both_know_theirs() -> None:
    """Hazard B90: which life it is is told to all, and kept for the next start, when nothing is known to be committed
    yet. A birth that is not committed may be of a leader that never got so far."""
    young = Desk(Direct())
    assert young.registry.recall("n2").birth is None
    assert await young.says("n2", "its", birth="another") is None
    desk = Desk(following(encode_members(("n1", "n2", "n3"))))
    assert desk.registry.recall("n2").birth == LIFE
    assert code(await desk.says("n2", "its", birth="another")) == OTHER_LIFE
    assert code(await desk.says("n2", "its", birth="another", dialled=True)) == PEER_OTHER_LIFE
    assert await desk.says("n2", "its", birth=None) is None
    assert await desk.says("n2", "its", birth=LIFE) is None
    await desk.registry.tidy()
    again = Desk(Direct(), desk.store)
    assert code(await again.says("n2", "its", birth="another")) == OTHER_LIFE


async def test_who_claims_a_start_of_a_member_without_its_credential_is_not_heard() -> None:
    """Hazard B101. All else of a handshake is said to any stranger. The true start would be refused from then on, or
    taken for a folder that was put back; and the address would be written down."""
    own, forged = next_of(None), OwnStarts(StartId(2**62, "forged"), b"a guess")
    desk = Desk(Direct())
    assert await desk.says("n2", "its", start=own, http=at("h:2")) is None
    again = Desk(Direct(), desk.store)
    for dialled in (False, True):
        for one in (desk, again):
            refused = await one.says(
                "n2", "its", start=forged, http=at("evil:1"), put_back=True, dialled=dialled
            )
            assert code(refused) == UNPROVEN
            assert at("evil:1") not in one.stated.values()
            assert await one.says("n2", "its", start=own, http=at("h:2")) is None
            assert one.node.state.doubts == {}
    assert await again.says("n2", "its", start=next_of(own), http=at("h:3")) is None, (
        "a start has the same credential"
    )


async def test_what_a_stranger_has_shown_counts_once_it_is_a_member() -> None:
    desk = Desk(Direct())
    own = next_of(None)
    assert await desk.says("n4", "its", start=own) is None
    assert desk.node.state.configurations.appended(
        blocks([Entry(2, 2, EntryKind.CONFIGURATION, encode_members(("n1", "n2", "n3"), ("n4",)))])
    )
    await desk.registry.tidy()
    assert desk.store.get_meta("credential:n4") == credential_for(own, "n1").encode()
    assert code(await desk.says("n4", "its", start=next_of(None))) == UNPROVEN
    assert await desk.says("n4", "its", start=next_of(own)) is None


async def test_each_peer_is_shown_another_credential() -> None:
    """What one peer has heard helps it nowhere else."""
    desk = Desk(Direct())
    shown = {peer: desk.registry.recall(peer).credential for peer in ("n2", "n3")}
    assert len({*shown.values(), ""}) == 3
    again = Desk(Direct(), desk.store)
    assert again.registry.recall("n2").credential == shown["n2"]
