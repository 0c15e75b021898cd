"""What simulated clients have in common: one request at a time, pauses between them, and an end."""

from collections.abc import Callable

from raftdb.simulation.caller import AnswerToCheck, Asked, Caller, CallOutcome, World


class PacedClient:
    """A client that asks, pauses, and asks again, until it is told to stop. What it asks is `_proceed`."""

    def __init__(self, world: World, name: str, told: list[AnswerToCheck], *, with_session: bool) -> None:
        self.name = name
        self.is_stopping = False
        self._world = world
        self._caller = Caller(world, name, told, with_session=with_session)

    @property
    def is_idle(self) -> bool:
        """True while no request is open."""
        return self._caller.is_idle

    def begin(self) -> None:
        """Go on, unless told to stop."""
        if not self.is_stopping:
            self._proceed()

    def _proceed(self) -> None:
        """Send the next request, or the first of several; the last one ends with a pause."""
        raise NotImplementedError

    def _note(self, ending: CallOutcome) -> None:
        """Count the outcome of a request."""

    def _ask(
        self,
        operation: Asked,
        done: Callable[[CallOutcome], None] | None = None,
        *,
        timeout_us: int | None = None,
        wait_ms: int | None = None,
    ) -> None:
        """Send a request; `done` gets its outcome, or else there is a pause. `wait_ms`: the leader may hold it."""

        def ended(ending: CallOutcome) -> None:
            self._note(ending)
            if done is None:
                self._pause()
            else:
                done(ending)

        if timeout_us is None:
            timeout_us = self._world.options.client_timeout_us
        self._caller.call(operation, ended, timeout_us=timeout_us, wait_ms=wait_ms)

    def _pause(self) -> None:
        """Let some time pass, and go on."""
        self._world.scheduler.after(self._world.chance.around(self._world.options.think_us), self.begin)
