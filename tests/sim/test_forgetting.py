"""Whose word counts for what, while a node has forgotten what it said (hazard B108)."""

import pytest

from raftdb.core.membership import Configuration
from raftdb.core.model import HardState, Member, StartId
from raftdb.errors import InvariantBroken
from raftdb.simulation.forgetting import Forgetting
from raftdb.simulation.shadow import Shadow
from tests.addresses import at
from tests.core.direct import Direct

VOTERS = ("n1", "n2", "n3")
AGAIN = StartId(3, "again")


def disk(*votes: str) -> Shadow:
    return Shadow([0], [0], HardState(), {}, votes=dict(enumerate(votes)))


def has_voted(shadow: Shadow) -> bool:
    return shadow.synced_vote(0) == "n1"


def put_back() -> tuple[Forgetting, Direct]:
    """n1 looks at a cluster in which n2 had voted for it, and has a folder now that knows nothing of that."""
    witnesses = {"n1": disk("n1"), "n2": disk("n1"), "n3": disk()}
    forgetting = Forgetting(witnesses)
    forgetting.put_back("n2", witnesses["n2"])
    witnesses["n2"] = disk()
    forgetting.introduced("n2", AGAIN.nonce)
    return forgetting, Direct()


def test_what_is_forgotten_counts_until_the_node_is_met_again() -> None:
    forgetting, looker = put_back()
    assert forgetting.who(VOTERS, looker.state, has_voted) == ["n1", "n2"]
    forgetting.check(looker.state, VOTERS, ["n1", "n2"])
    looker.state.starts["n2"] = AGAIN
    assert forgetting.who(VOTERS, looker.state, has_voted) == ["n1"]


def test_who_was_put_back_is_not_what_a_majority_hangs_on_until_a_configuration_names_it() -> None:
    forgetting, looker = put_back()
    looker.state.starts["n2"] = AGAIN
    forgetting.check(looker.state, VOTERS, ["n1", "n3"])
    forgetting.named(Configuration((Member("n2", at("n2:1"), start=StartId(2, "before")),)))
    with pytest.raises(InvariantBroken, match=r"\['n2'\] have forgotten"):
        forgetting.check(looker.state, VOTERS, ["n1", "n2"])
    forgetting.named(Configuration((Member("n2", at("n2:1"), start=AGAIN),)))
    forgetting.check(looker.state, VOTERS, ["n1", "n2"])


def test_of_an_even_number_half_is_enough_that_have_forgotten_nothing() -> None:
    """They meet every majority of three of four."""
    forgetting, looker = put_back()
    looker.state.starts["n2"] = AGAIN
    forgetting.check(looker.state, (*VOTERS, "n4"), ["n1", "n2", "n4"])
    with pytest.raises(InvariantBroken):
        forgetting.check(looker.state, (*VOTERS, "n4"), ["n1", "n2"])
