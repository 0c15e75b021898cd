"""One thread at a time in the methods of an object that threads share."""

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Locked(Protocol):
    """An object with a lock of its own."""

    @property
    def lock(self) -> RLock:
        """Held by the thread whose turn it is."""
        ...


Owner = TypeVar("Owner", bound=Locked)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def alone(method: Callable[Concatenate[Owner, Given], Result]) -> Callable[Concatenate[Owner, Given], Result]:
    """Let a method wait until no other thread is in one of these methods of the same object."""

    @wraps(method)
    def guarded(self: Owner, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with self.lock:
            return method(self, *args, **kwargs)

    return guarded
