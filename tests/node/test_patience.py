"""How long requests may wait for a majority."""

from raftdb.core.measured import TRIPS_COUNTED
from raftdb.core.model import EntryId
from raftdb.core.timing import REQUEST_MS_MAX, request_ticks
from raftdb.machine.strings import Get
from raftdb.node.pending import Pending, ReadRequest, WriteRequest
from tests.core.direct import ME, Direct

TICK_MS = 25


def test_a_request_waits_as_long_as_the_setting_and_longer_on_a_slow_network() -> None:
    node = Direct()
    waits = []
    for milliseconds in (1, 2_000, 20_000):
        for peer in ("n2", "n3") * TRIPS_COUNTED:
            node.state.measured.trip(peer, milliseconds)
        waits.append(request_ticks(node.state, 200))
    assert waits == [200, 2 * 4 * 2_000 // TICK_MS, REQUEST_MS_MAX // TICK_MS]
    assert node.state.id == ME


def test_who_comes_later_never_ends_before_who_came_first() -> None:
    """The network has become faster since the first came."""
    patience = iter([100, 10])
    pending = Pending(patience_ticks=lambda: next(patience))
    pending.add_writes(EntryId(5, 1), [WriteRequest(1, b"")], 0, now_ms=0.0)
    pending.add_reads([ReadRequest(2, Get(b"k"))], 1)
    assert list(pending.expired(99)) == []
    assert sorted(pending.expired(100)) == [(1, True), (2, False)]
