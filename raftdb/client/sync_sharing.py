# Made from async_sharing.py by .ci/unasync.py: what is to be changed is changed there.
"""One client shared by threads or tasks: bookkeeping in turn, input and output side by side.

What calls have in common (who leads, the session and its numbers, who waits) changes only while a flow computes its
next step, and that happens under one lock. Requests, pauses and waiting are done outside, each call on a connection
of its own. So the lock is held for microseconds, and no thread waits for another's answer. On an event loop nobody else
could come between anyway, and the lock is always free.

**Interrupts.** KeyboardInterrupt may be raised between any two calls of this code, those that clean up included. The
lock is only ever taken by `with`, which the interpreter makes safe. What else a call takes (its number in the session,
the registration) is its own only as long as the call exists: it is held by a weak reference to an object of the flow,
which is given back explicitly, and by being forgotten at the latest. A signal handler that makes a call while this very
thread is computing a step gets an error, for it would change what is being changed.

**Forks.** A child never takes the lock, for another thread may have held it in that moment: it begins anew with an
object of its own (see `Home`), made whole before it is seen, so that threads of the child cannot count on in the
parent's session. Two that begin at the same time may begin twice, which costs a session.
"""

from threading import RLock
from types import GeneratorType
from typing import Any, TypeVar

from raftdb.client.flow import AwaitOthers, Caller, Flow, Outcome, Step
from raftdb.client.http1 import AnswerLost, NotSent
from raftdb.client.routing import Pause
from raftdb.client.sync_connection import Connections
from raftdb.client.sync_io import Home, Waiter, sleep
from raftdb.errors import LocalProtocolError

T = TypeVar("T")


class SharedCalls:
    """The calls of one client at one home: what they know in common, their connections, and their turns."""

    def __init__(self, caller: Caller) -> None:
        self.home = Home()
        self.caller = caller
        self.connections = Connections()
        # Reentrant, so that a signal handler is refused below instead of waiting for the thread it interrupted.
        self._lock = RLock()
        self._computing: Flow[Any] | None = None
        self._waiting: dict[Waiter, None] = {}

    def carry_out(self, flow: Flow[T]) -> T:
        """Do what the flow says until it ends; its result. Raises what it raises."""
        outcome: Outcome = None
        done: Step | None = None
        try:
            while True:
                # Who has only waited has changed nothing: two of them would wake each other for ever.
                step, waiter = self._next_step(
                    flow, outcome, changed=not isinstance(done, AwaitOthers | None)
                )
                outcome = self._perform(step, waiter)
                done = step
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            self._end(flow)

    def _next_step(self, flow: Flow[T], outcome: Outcome, *, changed: bool) -> tuple[Step, Waiter | None]:
        """What to do now; and if that is to wait for others, what they wake."""
        with self._lock:
            self._refuse_within()
            self._computing = flow
            step = flow.send(outcome)
            if changed:
                self._wake()
            if not isinstance(step, AwaitOthers):
                return step, None
            # Made before the lock is given back: what others do from then on is not missed.
            waiter = Waiter()
            self._waiting[waiter] = None
            return step, waiter

    def _perform(self, step: Step, waiter: Waiter | None) -> Outcome:
        """Carry out one step; what came of it."""
        if isinstance(step, Pause):
            sleep(step.duration_ms)
            return None
        if isinstance(step, AwaitOthers):
            if waiter is not None:
                waiter.wait(step.until_ms)
                self._waiting.pop(waiter, None)
            return None
        try:
            return self.connections.exchange(step)
        except (NotSent, AnswerLost) as error:
            return error

    def _end(self, flow: Flow[T]) -> None:
        """Give back what the flow still holds, whatever has ended it."""
        with self._lock:
            flow.close()
            self._wake()

    def _wake(self) -> None:
        """Something has changed: let those who wait for it look again."""
        for waiter in list(self._waiting):
            waiter.wake()
            self._waiting.pop(waiter, None)

    def _refuse_within(self) -> None:
        """Only a signal handler can come here while a flow of this thread computes: nobody else has the lock."""
        if isinstance(self._computing, GeneratorType) and self._computing.gi_running:
            raise LocalProtocolError(
                "a signal handler made a call of this client just while the interrupted thread counted one"
            )
