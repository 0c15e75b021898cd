"""What a demonstration is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cli.demo.results import Expectation, Result
from cli.demo.stage import Stage


class Action(Protocol):
    """What a step does."""

    def shown(self, stage: Stage) -> Sequence[str]:
        """The commands as a user would type them, or what is waited for."""
        ...

    def run(self, stage: Stage) -> Result:
        """Do it. A failure that a user would be told is a result; raises no `RaftdbError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    `names` gives nodes names before it, by the roles that they have then, and `keeps`, a pattern with named groups,
    names for parts of its result. What it shows `varies` if it depends on chance, such as who is elected.
    """

    says: str
    does: Action
    expects: Expectation
    names: Mapping[str, str] = field(default_factory=dict)
    keeps: str | None = None
    varies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """One demonstration: its name, a summary for the list, what it is about, how many nodes it has unless told
    otherwise, and at least, the network between them, and its steps."""

    name: str
    summary: str
    about: str
    nodes: int
    nodes_min: int = 3
    network: str | None = None
    steps: Sequence[Step]
