"""Where each member is: what the configuration says, what members say of themselves, and what else was heard.

The configuration may be wrong about members that have moved while nobody looked, and the one that would correct it may
be out of reach because of that. So a peer is dialled in turn at every address that it may have (`candidates`), until
the one that answers there is that peer: the handshake decides, and names and folders cannot be mistaken. What a peer
says of itself in a handshake is its *word*. It comes first among the candidates, and is what a leader writes down, for
all members that have moved in one entry: they may have changed places (`AddressBook.moved`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from raftdb.core.events import NewAddress, UpdateAddresses
from raftdb.core.model import Member, NodeId
from raftdb.errors import RaftdbError
from raftdb.node.view import NodeView
from raftdb.server.config import Settings, check_advertised
from storage.contract import LogStore

logger = logging.getLogger("raftdb.server")

ADDRESS_FACT = "address"
"""Under this name the folder keeps the address that this node was last known at, as it was set then."""
LOOK_SECONDS = 0.25
"""How often a leader looks for members that have moved: for so long clients may be sent to an old address."""
STRANGERS_MAX = 64
"""Peers that are no members whose words are remembered, the latest: more than join at once."""


class _Word(NamedTuple):
    """What a peer said of itself, while the configuration said `instead_of`."""

    address: str
    instead_of: str | None
    is_news: bool
    """It was not asked for since it said something new (`AddressBook.take_news`)."""


class AddressBook:
    """The addresses of the peers of one node, HOST:PORT each.

    `given`: where somebody says that the members are now, which is newer than any configuration at the start.
    """

    def __init__(self, given: Mapping[NodeId, str] | None = None) -> None:
        self.members: Mapping[NodeId, str] = {}
        """The peers that the configuration names, and their addresses there."""
        self._given = given or {}
        self._words: dict[NodeId, _Word] = {}
        self._sightings: dict[NodeId, str] = {}

    def stated(self, peer: NodeId, address: str) -> None:
        """The peer said in a handshake where it is reached. That comes first until the configuration says something
        new."""
        before = self.of(peer)
        last = self._words.pop(peer, None)
        word = self._words[peer] = _Word(address, self.members.get(peer), is_news=False)
        if self.of(peer) != before or (last is not None and last.is_news):
            self._words[peer] = word._replace(is_news=True)
        strangers = [known for known in self._words if known not in self.members]
        for stranger in strangers[:-STRANGERS_MAX]:
            del self._words[stranger]

    def take_news(self, peer: NodeId) -> bool:
        """True, once, after the peer has said that it is somewhere else."""
        word = self._words.get(peer)
        if word is None or not word.is_news:
            return False
        self._words[peer] = word._replace(is_news=False)
        return True

    def sighted(self, peer: NodeId, address: str) -> bool:
        """At this address `peer` answered where another one was expected. True if that is news of a member.

        Only where some member may be: anybody else, dialled back, could name itself a member to be told its secrets.
        """
        if peer not in self.members or address in self.candidates(peer):
            return False
        if not any(address in self.candidates(member) for member in self.members):
            return False
        self._sightings[peer] = address
        return True

    def of(self, peer: NodeId) -> str | None:
        """Where to dial `peer` first; None if nobody has said."""
        return next(iter(self.candidates(peer)), None)

    def candidates(self, peer: NodeId) -> tuple[str, ...]:
        """Every address at which the peer may be, the likeliest first."""
        named = self.members.get(peer)
        word = self._words.get(peer)
        said = None if word is None else word.address
        # Of who is no member, or not yet, the configuration cannot say anything newer.
        is_new = word is not None and named in (word.instead_of, None)
        # A configuration that comes later may have been written earlier: who has been away gets entries from before
        # the last move. So a word is kept, and with it the link to where the peer was met.
        found = [said if is_new else None, self._given.get(peer), named, said, self._sightings.get(peer)]
        return tuple(dict.fromkeys(address for address in found if address is not None))

    def wanted(self, dialled_by: Iterable[NodeId]) -> dict[NodeId, tuple[str, ...]]:
        """Whom to dial, and where: the members, and all who dial this node."""
        found = {peer: self.candidates(peer) for peer in sorted({*self.members, *dialled_by})}
        return {peer: addresses for peer, addresses in found.items() if addresses}

    def moved(self) -> dict[NodeId, str]:
        """Members that are not where the configuration says, by their own word that is newer."""
        return {
            peer: word.address
            for peer, word in sorted(self._words.items())
            if peer in self.members and self.members[peer] == word.instead_of != word.address
        }


@dataclass(slots=True)
class OwnAddress:
    """Where others reach this node, HOST:PORT. `moved`: the configuration is still to be told."""

    http: str
    moved: bool

    def now(self, member: Member | None) -> str:
        """What to say of it, when `member` is what the configuration has: somebody may have written down another."""
        return self.http if self.moved or member is None else member.http


def own_address(settings: Settings, log: LogStore, member: Member | None) -> OwnAddress:
    """Where this node is, now that it starts. `member` is what its configuration knows of it. Writes the fact.

    A start with another address than the last one is a move, and so is an address in `members`. What a first member's
    address is the list of first members says, which may know a better name for it than `listen`.
    """
    said = (settings.members or {}).get(settings.id)
    address, stored = said or settings.advertised, log.get_meta(ADDRESS_FACT)
    setting = settings.advertised.encode()
    is_new = said is not None or stored not in (None, setting)
    moved = member is not None and member.http != address and is_new
    if moved and said is None:
        check_advertised(settings)
    if not moved and stored != setting:
        log.put_meta(ADDRESS_FACT, setting)
    return OwnAddress(address if moved or member is None else member.http, moved)


def without_clashes(moved: Mapping[NodeId, str], members: Mapping[NodeId, str]) -> dict[NodeId, str]:
    """Those of the `moved` that leave no two members at one address: two at the same one would be one node twice."""
    left = dict(moved)
    while True:
        final = list({**members, **left}.values())
        clashing = [peer for peer, address in sorted(left.items()) if final.count(address) > 1]
        if not clashing:
            return left
        del left[clashing[0]]


class AddressKeeper:
    """Sees to it that the configuration says where the members are. `run` is its one task, which never ends.

    `change_members` makes a change as the leader, `write_fact` makes a fact of the folder durable.
    """

    def __init__(
        self,
        settings: Settings,
        view: NodeView,
        book: AddressBook,
        own: OwnAddress,
        *,
        change_members: Callable[[UpdateAddresses], Awaitable[object]],
        write_fact: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._view = view
        self._book = book
        self._own = own
        self._change_members = change_members
        self._write_fact = write_fact
        self._last_why = ""

    async def run(self) -> None:
        """Look again and again: who leads writes down who has moved, and who has moved notes that it is known."""
        while True:
            await self._write_down()
            await self._note()
            await asyncio.sleep(LOOK_SECONDS)

    async def _write_down(self) -> None:
        """As the leader, put all that have moved into one new configuration."""
        view = self._view
        if not view.is_leader:
            return
        members = {member.id: member for member in view.configuration.members}
        moved = self._book.moved()
        if self._own.moved:
            moved[view.id] = self._own.http
        changed = {
            peer: http for peer, http in moved.items() if peer in members and members[peer].http != http
        }
        changed = without_clashes(changed, {peer: member.http for peer, member in members.items()})
        if not changed:
            return
        redis = {peer: member.redis for peer, member in members.items()}
        redis[view.id] = self._settings.advertised_redis or redis.get(view.id)
        new = tuple(NewAddress(peer, http, redis[peer]) for peer, http in sorted(changed.items()))
        try:
            await self._change_members(UpdateAddresses(new))
        except RaftdbError as error:
            # The cluster may be busy for long: only what is new is worth a line.
            if error.message != self._last_why:
                logger.warning(
                    "the new addresses are not written down", extra={"fields": {"why": error.message}}
                )
            self._last_why = error.message
        else:
            told = tuple(f"{peer}={http}" for peer, http in sorted(changed.items()))
            logger.info("members have moved", extra={"fields": {"members": told}})

    async def _note(self) -> None:
        """Remember that the cluster knows where this node is, once that is committed."""
        if not self._own.moved:
            return
        member = self._view.committed_configuration.find(self._view.id)
        if member is not None and member.http == self._own.http:
            await self._write_fact(ADDRESS_FACT, self._settings.advertised.encode())
            self._own.moved = False
            logger.info("the cluster knows the new address", extra={"fields": {"http": self._own.http}})
