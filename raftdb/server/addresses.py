"""Where each member is: by the configuration, by what members say of themselves, and by where they were met.

The configuration may be wrong about members that have moved while they were not reached, and the leader that would
correct it may be out of reach because of that. So a peer is dialled in turn at every address that it may have
(`candidates`), until the one that answers there is that peer: the handshake decides, and names and folders cannot be
mistaken. What a peer says of itself in a handshake is its *word*. It comes first among the candidates. A leader writes
the words of all members that have moved into one entry, because they may have swapped addresses (`AddressBook.moved`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from raftdb.core.events import NewAddress, UpdateAddresses
from raftdb.core.model import Member, NodeId
from raftdb.endpoint import NO_REDIS, Endpoint, RedisAddresses, parse_endpoint
from raftdb.errors import RaftdbError
from raftdb.node.view import NodeView
from raftdb.server.config import Settings, check_advertised
from raftdb.server.facts import ADDRESS_FACT
from storage import LogStore

logger = logging.getLogger("raftdb.server")

LOOK_SECONDS = 0.25
"""How often a leader looks for members that have moved; clients may be sent to an old address for that long."""
STRANGERS_MAX = 64
"""For how many peers that are no members the latest words are remembered: more than join at once."""


class _Word(NamedTuple):
    """The address that a peer said it has, while the configuration said `instead_of`."""

    address: Endpoint
    instead_of: Endpoint | None
    is_news: bool
    """True until the new address was taken (`AddressBook.take_news`)."""


class AddressBook:
    """The addresses of the peers of one node.

    `given`: where the members are now by the settings, which are newer than any configuration at the start.
    """

    def __init__(self, given: Mapping[NodeId, Endpoint] | None = None) -> None:
        self.members: Mapping[NodeId, Endpoint] = {}
        """The peers that the configuration names, and their addresses in it."""
        self._given = given or {}
        self._words: dict[NodeId, _Word] = {}
        self._sightings: dict[NodeId, Endpoint] = {}
        self._redis: dict[NodeId, RedisAddresses] = {}

    def stated(self, peer: NodeId, address: Endpoint, redis: RedisAddresses = NO_REDIS) -> None:
        """The peer said in a handshake where it is reached, by peers and by Redis clients. Its address for peers comes
        first until the configuration says something new."""
        if peer in self.members:
            self._redis[peer] = redis
        before = self.of(peer)
        last = self._words.pop(peer, None)
        word = self._words[peer] = _Word(address, self.members.get(peer), is_news=False)
        if self.of(peer) != before or (last is not None and last.is_news):
            self._words[peer] = word._replace(is_news=True)
        strangers = [known for known in self._words if known not in self.members]
        for stranger in strangers[:-STRANGERS_MAX]:
            del self._words[stranger]

    def redis_of(self, peer: NodeId) -> RedisAddresses:
        """Where a member says that Redis clients reach it."""
        return self._redis.get(peer, NO_REDIS)

    def take_news(self, peer: NodeId) -> bool:
        """True, once, after the peer has said that it is somewhere else."""
        word = self._words.get(peer)
        if word is None or not word.is_news:
            return False
        self._words[peer] = word._replace(is_news=False)
        return True

    def sighted(self, peer: NodeId, address: Endpoint) -> bool:
        """At this address `peer` answered where another one was expected. True if that is news of a member.

        Only addresses where some member may be count: a stranger that is dialled back could otherwise claim a member's
        name to be told its secrets.
        """
        if peer not in self.members or address in self.candidates(peer):
            return False
        if not any(address in self.candidates(member) for member in self.members):
            return False
        self._sightings[peer] = address
        return True

    def of(self, peer: NodeId) -> Endpoint | None:
        """Where to dial `peer` first; None if that is not known."""
        return next(iter(self.candidates(peer)), None)

    def candidates(self, peer: NodeId) -> tuple[Endpoint, ...]:
        """Every address at which the peer may be, the likeliest first."""
        named = self.members.get(peer)
        word = self._words.get(peer)
        said = None if word is None else word.address
        # For a peer that is no member (yet) the configuration has nothing newer.
        is_new = word is not None and named in (word.instead_of, None)
        # A configuration that comes later may have been written earlier: a node that was away gets entries from before
        # the last move. So a word is kept, and with it the link to where the peer was met.
        found = [said if is_new else None, self._given.get(peer), named, said, self._sightings.get(peer)]
        return tuple(dict.fromkeys(address for address in found if address is not None))

    def wanted(self, dialled_by: Iterable[NodeId]) -> dict[NodeId, tuple[Endpoint, ...]]:
        """The nodes to dial, and where: the members, and all peers that dial this node."""
        found = {peer: self.candidates(peer) for peer in sorted({*self.members, *dialled_by})}
        return {peer: addresses for peer, addresses in found.items() if addresses}

    def moved(self) -> dict[NodeId, Endpoint]:
        """Members that say that they are not where the configuration says, and said so later."""
        return {
            peer: word.address
            for peer, word in sorted(self._words.items())
            if peer in self.members and self.members[peer] == word.instead_of != word.address
        }


@dataclass(slots=True)
class OwnAddress:
    """Where others reach this node. `moved`: the configuration is still to be told."""

    http: Endpoint
    moved: bool

    def now(self, member: Member | None) -> Endpoint:
        """The address to tell peers, given this node's `member` in the configuration, which may name another one by
        now."""
        return self.http if self.moved or member is None else member.http


def own_address(settings: Settings, log: LogStore, member: Member | None) -> OwnAddress:
    """The address of this node, now that it starts, which is written down. `member` is this node in its configuration.

    A start with another address than the last one is a move, and so is an address in `members`, and the change to TLS.
    The list of first members gives a first member's address, because it may have a better name for it than `listen`.
    """
    said = (settings.members or {}).get(settings.id)
    address, stored = said or settings.advertised, log.get_meta(ADDRESS_FACT)
    setting = str(settings.advertised).encode()
    if said is None and member is not None and stored is not None and _differ_in_scheme(stored, setting):
        address = member.http.over(settings.advertised.scheme)
    is_new = said is not None or stored not in (None, setting)
    moved = member is not None and member.http != address and is_new
    if moved and said is None and address == settings.advertised:
        check_advertised(settings)
    if not moved and stored != setting:
        log.put_meta(ADDRESS_FACT, setting)
    return OwnAddress(address if moved or member is None else member.http, moved)


def _differ_in_scheme(stored: bytes, setting: bytes) -> bool:
    """Whether a node has only come to TLS, or left it: then it is reached under the name that it had."""
    before, now = parse_endpoint(stored.decode()), parse_endpoint(setting.decode())
    return before.authority == now.authority and before.scheme != now.scheme


def without_clashes(
    moved: Mapping[NodeId, Endpoint], members: Mapping[NodeId, Endpoint]
) -> dict[NodeId, Endpoint]:
    """Those of the `moved` after which no two members have one address: two with the same one would be one node counted
    twice."""
    left = dict(moved)
    while True:
        final = list({**members, **left}.values())
        clashing = [peer for peer, address in sorted(left.items()) if final.count(address) > 1]
        if not clashing:
            return left
        del left[clashing[0]]


class AddressKeeper:
    """Keeps the addresses in the configuration current. `run` is its one task, which never ends.

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
        """Repeat for ever: a leader writes down which members have moved, and a node that has moved notes that the
        cluster knows."""
        while True:
            await self._write_down()
            await self._note()
            await asyncio.sleep(LOOK_SECONDS)

    async def _write_down(self) -> None:
        """As the leader, put all that have moved into one new configuration, and where Redis clients find members."""
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
        redis = {peer: member.redis.or_else(self._redis_of(peer)) for peer, member in members.items()}
        for peer, member in members.items():
            if redis[peer] != member.redis:
                # The first configuration knows only where peers are, and Redis clients are sent from one to another.
                changed.setdefault(peer, member.http)
        if not changed:
            return
        if view.id in changed:
            redis[view.id] = self._settings.advertised_redis.or_else(redis[view.id])
        new = tuple(NewAddress(peer, http, redis[peer]) for peer, http in sorted(changed.items()))
        try:
            await self._change_members(UpdateAddresses(new))
        except RaftdbError as error:
            # The cluster may be busy for long: only a new reason is worth a line.
            if error.message != self._last_why:
                logger.warning(
                    "the new addresses are not written down", extra={"fields": {"why": error.message}}
                )
            self._last_why = error.message
        else:
            told = tuple(f"{peer}={http}" for peer, http in sorted(changed.items()))
            logger.info("addresses written down", extra={"fields": {"members": told}})

    def _redis_of(self, peer: NodeId) -> RedisAddresses:
        return self._settings.advertised_redis if peer == self._view.id else self._book.redis_of(peer)

    async def _note(self) -> None:
        """Remember that the cluster knows where this node is, once that is committed."""
        if not self._own.moved:
            return
        member = self._view.committed_configuration.find(self._view.id)
        if member is not None and member.http == self._own.http:
            await self._write_fact(ADDRESS_FACT, str(self._settings.advertised).encode())
            self._own.moved = False
            logger.info("the cluster knows the new address", extra={"fields": {"http": self._own.http}})
