"""Sharing one client among threads or tasks: steps are computed one at a time, and carried out side by side.

The common state of calls (the known leader, the session and its sequences, the calls that wait) changes only while a
flow computes its next step, which happens under one lock. Requests, pauses and waits are carried out without the lock,
each call on a connection of its own. So the lock is held for microseconds, and no thread waits for another's answer. On
an event loop the lock is always free.

**Interrupts.** KeyboardInterrupt may be raised between any two lines of this code, those that clean up included. The
lock is only taken by `with`, which the interpreter makes safe. A call's sequence and its registration of the session
are held by weak references to an object of its flow, so they are given back when that object is collected, if not
before. A signal handler that makes a call while its own thread computes a step gets an error, because both would change
the same state.

**Forks.** A child process never takes its parent's lock, which another thread may have held at the fork. It makes an
object of its own (see `Home`), which is complete before other threads see it, so that no thread of the child uses the
parent's session. Two threads of the child may both make one, which costs a session.
"""

from threading import RLock
from types import GeneratorType
from typing import Any, TypeVar

from raftdb.client.async_connection import AsyncConnections
from raftdb.client.async_io import Home, Turns, Waiter, sleep
from raftdb.client.encryption import Encryption
from raftdb.client.flow import AwaitOthers, Caller, CallLimits, Flow, Outcome, Step
from raftdb.client.http1 import AnswerLost, NotSent
from raftdb.client.routing import Pause
from raftdb.errors import LocalProtocolError

T = TypeVar("T")


class AsyncSharedCalls:
    """The calls of one client at one home: their common state, their connections, and the limit on their number."""

    def __init__(
        self,
        caller: Caller,
        encryption: Encryption,
        concurrency_max: int,  # async only
    ) -> None:
        self.home = Home()
        self.caller = caller
        self.connections = AsyncConnections(
            encryption,
            concurrency_max,  # async only
        )
        self._turns = Turns(concurrency_max)  # async only
        # The lock is reentrant, so that a signal handler is refused below instead of waiting for its own thread.
        self._lock = RLock()
        self._computing: Flow[Any] | None = None
        self._waiting: dict[Waiter, None] = {}

    async def carry_out(
        self,
        flow: Flow[T],
        limits: CallLimits,  # async only
    ) -> T:
        """Carry out the flow's steps until it ends; returns its result, or raises its error."""
        await self._turns.take(limits)  # async only
        outcome: Outcome = None
        done: Step | None = None
        try:
            while True:
                # A call that has only waited wakes no others: two of them would wake each other for ever.
                step, waiter = self._next_step(
                    flow, outcome, changed=not isinstance(done, AwaitOthers | None)
                )
                outcome = await self._perform(step, waiter)
                done = step
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            self._turns.give_back()  # async only
            self._end(flow)

    def _next_step(self, flow: Flow[T], outcome: Outcome, *, changed: bool) -> tuple[Step, Waiter | None]:
        """The next step of the flow; and if that is to wait for others, the waiter that they wake."""
        with self._lock:
            self._refuse_within()
            self._computing = flow
            step = flow.send(outcome)
            if changed:
                self._wake()
            if not isinstance(step, AwaitOthers):
                return step, None
            # The waiter is made under the lock, so that it misses no later change by others.
            waiter = Waiter()
            self._waiting[waiter] = None
            return step, waiter

    async def _perform(self, step: Step, waiter: Waiter | None) -> Outcome:
        """Carry out one step; returns its outcome."""
        if isinstance(step, Pause):
            await sleep(step.duration_ms)
            return None
        if isinstance(step, AwaitOthers):
            if waiter is not None:
                await waiter.wait(step.until_ms)
                self._waiting.pop(waiter, None)
            return None
        try:
            return await self.connections.exchange(step)
        except (NotSent, AnswerLost) as error:
            return error

    def _end(self, flow: Flow[T]) -> None:
        """Let the flow give back what it still holds, whatever has ended it."""
        with self._lock:
            flow.close()
            self._wake()

    def _wake(self) -> None:
        """Wake all calls that wait, because the common state has changed."""
        for waiter in list(self._waiting):
            waiter.wake()
            self._waiting.pop(waiter, None)

    def _refuse_within(self) -> None:
        """Refuse a call that is made while a flow computes a step. Only a signal handler can make one, because its
        thread has the lock."""
        if isinstance(self._computing, GeneratorType) and self._computing.gi_running:
            raise LocalProtocolError(
                "a signal handler made a call of this client while its thread computed a step of another"
            )
