"""How a bug is planted, and taken out again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from raftdb.core import raft
from raftdb.core.messages import (
    Message,
)
from raftdb.core.model import Role

Patches = Sequence[tuple[object, str, object]]
"""What to replace: (owner, attribute, replacement)."""


class Mutation(NamedTuple):
    """A planted bug: the hazard it comes from, what it does, and how to plant it."""

    hazard: str
    title: str
    patches: Callable[[], Patches]


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """The product with one bug in it."""
    with ExitStack() as stack:
        for owner, name, replacement in mutation.patches():
            if isinstance(owner, dict):
                stack.enter_context(patch.dict(owner, {name: replacement}))
            else:
                stack.enter_context(patch.object(owner, name, replacement))
        yield


def handlers(message: type[Message], handler: Callable[..., Any], *roles: Role) -> Patches:
    """Replace the handler of a message in some roles."""
    return [(raft.HANDLERS, (role, message), handler) for role in roles]  # type: ignore[misc]
