"""Steps that several demonstrations have in common."""

from cli.demo.actions import Typed
from cli.demo.conditions import agrees, leads, other_leads
from cli.demo.results import has
from cli.demo.steps import Step


def election(says: str = "The nodes have started, and elect a leader.") -> Step:
    """The first leader."""
    return Step(
        says=says, does=leads(), expects=has("leads term", says="one leader, whom all know"), varies=True
    )


def dies(role: str, says: str, name: str | None = None) -> Step:
    """A node is killed, and called `name` from then on."""
    name = name or role
    expects = has(f"<{name}> killed", says=f"<{name}> is gone")
    return Step(says=says, names={name: role}, does=Typed(f".kill <{name}>"), expects=expects, varies=True)


def others_vote(*gone: str, says: str = "The others hear no heartbeats any more, and vote.") -> Step:
    """A leader that is none of those who are `gone`."""
    expects = has("leads term", says="one of the others leads")
    return Step(says=says, does=other_leads(*gone), expects=expects, varies=True)


def returns(name: str, says: str) -> Step:
    """A node is started again, with its data and at its address."""
    # On a busy machine it may not answer yet; whoever needs it waits until it has caught up.
    expects = has(f"<{name}>", says=f"<{name}> runs")
    return Step(says=says, does=Typed(f".restart <{name}>"), expects=expects, varies=True)


def catches_up(name: str, says: str = "It gets what it has missed.") -> Step:
    """A node has all that was committed."""
    expects = has(f"<{name}>", says=f"<{name}> follows, and has it all")
    return Step(says=says, does=agrees(name), expects=expects, varies=True)
