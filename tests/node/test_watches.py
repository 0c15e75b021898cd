"""Watchers: each gets every change of its keys once and in order, however it comes and goes."""

from random import Random

import pytest

from raftdb.errors import Compacted
from raftdb.machine.batches import MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.strings import Delete, Set
from raftdb.node.watches import Part, Watcher, Watches, missed, part_of
from tests.node.changing import Log

Seen = list[tuple[int, int, bytes]]


def seen(parts: list[Part]) -> Seen:
    """Revision, place and state key of all changes."""
    return [(part.entry.revision, place, change[0]) for part in parts for place, change in part.changes]


def expected(log: Log, prefix: bytes, after: int) -> Seen:
    return seen([part_of(entry, prefix) for entry in log.entries(after)])


class Follower:
    """A watcher that is carried out by hand, with what it has got."""

    def __init__(self, watches: Watches, prefix: bytes, after: int) -> None:
        self.watcher = Watcher(prefix, after)
        self.after = after
        self.got: Seen = []
        self._watches = watches

    def step(self, *, limit: int) -> None:
        if not self._watches.join(self.watcher):
            self.got += seen(self._watches.catch_up(self.watcher, limit=limit))


def tell(watches: Watches, followers: list[Follower], *, limit: int) -> None:
    """Carry what is new to the followers, as a frontend does."""
    by_watcher = {each.watcher: each for each in followers}
    for part, watchers in watches.advance(limit=limit):
        for watcher in watchers:
            by_watcher[watcher].got += seen([part])
            watcher.position = part.entry.revision
    watches.told()


@pytest.mark.parametrize("seed", range(30))
def test_each_watcher_gets_every_change_of_its_keys_once_and_in_order(seed: int) -> None:
    random = Random(seed)
    log, followers = Log(), list[Follower]()
    watches = Watches(log.history)
    keys = [b"a", b"ab", b"abc", b"b", b"ba", b"c"]
    for _ in range(300):
        match random.randrange(6):
            case 0:
                pairs = tuple((random.choice(keys), b"x") for _ in range(random.randrange(1, 4)))
                log.apply(MultiSet(pairs), *[Ping()] * random.randrange(2))
            case 1:
                log.apply(Set(random.choice(keys), b"1"), Delete(random.choice(keys)))
            case 2:
                prefix = random.choice([b"", b"a", b"ab", b"b", b"zz"])
                after = random.randrange(log.history.applied + 3)
                followers.append(Follower(watches, prefix, after))
            case 3 if followers:
                follower = random.choice(followers)
                watches.leave(follower.watcher)
                place = watches.position_of(follower.watcher)
                follower.watcher = Watcher(follower.watcher.prefix, place)
            case 4:
                tell(watches, followers, limit=random.randrange(1, 4))
            case _:
                for follower in random.sample(followers, len(followers) // 2):
                    follower.step(limit=random.randrange(1, 4))
    while watches.is_behind or not all(watches.is_live(each.watcher) for each in followers):
        tell(watches, followers, limit=50)
        for follower in followers:
            if not watches.is_live(follower.watcher):
                follower.step(limit=50)
    assert len(followers) > 10
    for follower in followers:
        assert follower.got == expected(log, follower.watcher.prefix, follower.after)
        assert watches.position_of(follower.watcher) >= log.history.applied


def test_a_watcher_whose_place_is_not_reached_here_gets_what_comes_after_it() -> None:
    log = Log()
    watches = Watches(log.history)
    log.apply(Set(b"a", b"1"))
    follower = Follower(watches, b"", 3)
    follower.step(limit=10)
    assert watches.is_live(follower.watcher)
    log.apply(Set(b"a", b"2"))
    log.apply(Set(b"a", b"3"))
    log.apply(Set(b"a", b"4"))
    tell(watches, [follower], limit=10)
    assert [revision for revision, _, _ in follower.got] == [4]


def test_who_watches_something_else_costs_nothing_more() -> None:
    log = Log()
    watches = Watches(log.history)
    for number in range(1_000):
        assert watches.join(Watcher(b"user:%04d:" % number, 0))
    mine = Watcher(b"user:0007:", 0)
    assert watches.join(mine)
    log.apply(Set(b"user:0007:x", b"1"), Set(b"user:1000:x", b"1"))
    (delivery,) = watches.advance()
    assert mine in delivery.watchers
    assert len(delivery.watchers) == 2
    assert list(watches._lengths) == [len(b"user:0007:")]


def test_a_history_that_begins_anew_is_told_to_all() -> None:
    log = Log()
    watches = Watches(log.history)
    log.apply(Set(b"a", b"1"))
    live = Watcher(b"", 1)
    assert watches.join(live)
    log.history.restart(5, log.state)
    assert watches.is_behind
    with pytest.raises(Compacted) as caught:
        watches.advance()
    assert caught.value.begin == 5
    assert watches.live() == [live]
    watches.leave(live)
    assert watches.advance() == []
    with pytest.raises(Compacted):
        watches.catch_up(live)
    assert watches.join(Watcher(b"", 5))


def test_what_happened_between_two_pages_is_that_of_the_keys_before_them() -> None:
    log = Log()
    log.apply(MultiSet(((b"pa", b"1"), (b"pc", b"1"), (b"pe", b"1"), (b"q", b"1"))))
    watcher = Watcher(b"p", 1)
    log.apply(MultiSet(((b"pa", b"2"), (b"pd", b"2"))), Set(b"pc", b"3"), Delete(b"pe"))
    assert missed(log.history, watcher, 3, b"pc", limit=1) == (
        [part_of(log.entries(1)[0], b"p", last_key=b"pc")],
        False,
    )
    parts, is_all = missed(log.history, watcher, 3, b"pc", limit=2)
    assert (seen(parts), is_all) == ([(3, 0, b"z\0pc")], True)
    assert watcher.position == 3
    assert missed(log.history, watcher, 4, None) == ([], True)
    assert watcher.position == 4
