"""What the simulator has found in the product, kept: the seed that showed it, and the bug in its smallest form."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftdb.core.events import Received
from raftdb.core.messages import Heartbeat, HeartbeatReply
from raftdb.core.model import HardState
from raftdb.node.starts import encode_own, next_start
from raftdb.simulation.cluster import Simulation
from raftdb.simulation.copies import Copies
from tests.sim.small_model import FIRST, start


def test_a_late_heartbeat_of_an_older_term_is_answered_without_its_round() -> None:
    """n1 led term 2 for 372 rounds and leads term 3: the answer to an old round must confirm none of the new."""
    node = start("n2", HardState(3, "n1"), (FIRST,))
    update = node.step(Received(Heartbeat("n1", "n2", term=2, commit_index=0, round=372)))
    (reply,) = update.messages
    assert isinstance(reply, HeartbeatReply)
    assert (reply.target, reply.term, reply.round) == ("n1", 3, 0)


def test_a_copy_that_was_made_in_the_present_start_is_no_older_one() -> None:
    """Put back it would be a restart like any other, and what was said since would be missed by nobody (seed 64)."""
    own = next_start(None, bytes)
    doubted = replace(own, doubted=(own.start.nonce,))
    before = next_start(encode_own(own), lambda count: b"x" * count)
    host = SimpleNamespace(peers=SimpleNamespace(own=own))
    copies = Copies(cast(Any, None), cast(Any, host))
    made = [SimpleNamespace(peers=SimpleNamespace(own=one)) for one in (own, doubted, before)]
    copies._copies = cast(Any, made)
    assert copies.older() == made[2:]


@pytest.mark.parametrize("seed", [644])
def test_seeds_that_have_found_a_bug_pass(seed: int) -> None:
    """644: stale reads of a node that led two terms, confirmed by answers to the rounds of the first."""
    report = Simulation(seed, steps=8_000).run()
    assert report.passed, report.violation
