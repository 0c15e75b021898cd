"""How a bug is planted in the product, and taken out again: to see that it would be found, and what it would do."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from raftdb.core import raft
from raftdb.core.messages import Message
from raftdb.core.model import Role

Patches = Sequence[tuple[object, str, object]]
"""What to replace: (owner, attribute, replacement)."""
PlantBug = Callable[[], Patches]
"""Makes the patches of a bug, on the product as it is then."""


@contextmanager
def planted(patches: Patches) -> Iterator[None]:
    """The product of this process with these replacements, in all its threads: not for a process with a node in it."""
    # It is not needed by a node.
    from unittest.mock import patch

    with ExitStack() as stack:
        for owner, name, replacement in patches:
            if isinstance(owner, dict):
                stack.enter_context(patch.dict(owner, {name: replacement}))
            else:
                stack.enter_context(patch.object(owner, name, replacement))
        yield


def handlers(message: type[Message], handler: Callable[..., Any], *roles: Role) -> Patches:
    """Replace the handler of a message in some roles."""
    return [(raft.HANDLERS, (role, message), handler) for role in roles]  # type: ignore[misc]
