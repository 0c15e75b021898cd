"""Requests of simulated clients that the leader holds until they can be served, and what is promised of them.

Such a request is answered: with what it asked for, with nothing once its time is over, or with a refusal by a node that
does not lead any more. So it is looked at in between how many ticks the node has had: one that is held much longer than
its time, by a process that was not killed and whose client has not gone, is forgotten, and that ends the run.
"""

from typing import Any

from raftdb.errors import InvariantBroken, ReplyError
from raftdb.machine import entries
from raftdb.machine.locks.holding import Lock
from raftdb.machine.operations import Operation, SessionOperation, WaitingOperation
from raftdb.machine.waiting import is_nothing
from raftdb.node.effects import OnAnswer
from raftdb.node.held import payload_of
from raftdb.simulation.host import Host, World
from raftdb.simulation.scheduler import MILLISECOND

LOOK_US = 200 * MILLISECOND
ELECTIONS_MAX = 12
"""How long a node may be in doubt whether it leads, or wait for the fate of a command, in election timeouts."""


class Holding:
    """The request of one client that may be held, at each of the nodes that it was sent to. `wait_ms` is None for one
    that does not wait."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.wait_ms: int | None = None
        self._held: dict[tuple[Host, int], int] = {}
        """By host and number there: the epoch of its process."""

    def begin(self, wait_ms: int | None) -> None:
        """A request begins."""
        self.wait_ms = wait_ms

    @property
    def patience_us(self) -> int:
        """How long the client waits for it, beside the time that each request may take."""
        return 0 if self.wait_ms is None else 2 * self.wait_ms * MILLISECOND

    def wait(self, host: Host, sent: Operation, on_answer: OnAnswer, wait_ms: int) -> None:
        """It has arrived at a node, which holds it."""

        def answered(answer: Any) -> None:
            self._held.pop((host, number), None)
            on_answer(answer)

        number = host.submit_wait(sent, answered, wait_ms=wait_ms)  # type: ignore[arg-type]  # callers see to that
        self._held[host, number] = host.epoch
        options = self._world.options
        ticks = 2 * wait_ms * MILLISECOND // options.tick_us + options.patience_ticks
        ticks += ELECTIONS_MAX * options.election_timeout_ticks
        if not _wants_a_place(sent):
            self._world.scheduler.after(LOOK_US, self._look, host, number, host.ticks + ticks)

    def _look(self, host: Host, number: int, ticks_max: int) -> None:
        if self._held.get((host, number)) != host.epoch:
            return
        if host.ticks > ticks_max:
            raise InvariantBroken(f"{host.id} holds a request for ever that has waited for {self.wait_ms} ms")
        self._world.scheduler.after(LOOK_US, self._look, host, number, ticks_max)

    def end(self) -> None:
        """Its client has got an answer, or has gone: no node need hold it."""
        for (host, number), epoch in self._held.items():
            if host.is_up and host.epoch == epoch:
                host.leave(number)
        self._held = {}

    def is_in_the_log(self, told: object) -> bool:
        """Whether an answer is that of an entry: not, if the leader says that the time is over, and not if it looks up
        in the state who has a lock."""
        if self.wait_ms is None:
            return True
        return not is_nothing(told) and not isinstance(told, ReplyError) and not _is_grant(told)

    def logged(self, sent: Operation) -> Operation:
        """The operation as it stands in the log."""
        if self.wait_ms is None or not isinstance(sent, SessionOperation):
            return sent
        return entries.decode(entries.stamp(payload_of(sent), 0))[1]


def _wants_a_place(sent: Operation) -> bool:
    operation = sent.operation if isinstance(sent, WaitingOperation | SessionOperation) else sent
    return isinstance(operation, Lock)


def _is_grant(told: object) -> bool:
    return isinstance(told, list) and bool(told) and isinstance(told[0], int)
