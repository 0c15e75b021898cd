"""A whole call of a client as a generator of steps, which both clients have in common. No I/O.

A *flow* yields the next step (an `Exchange` with a node, a `Pause`, or `AwaitOthers`), is sent its outcome, and returns
the call's result or raises its error. The blocking client carries steps out with sockets and `sleep`, the asynchronous
one on an event loop; tests carry them out on a simulated cluster in virtual time.

`routing` brings one request to the node that serves it, and flows add sessions: before a write the session is
registered if there is none yet, then the write gets its sequence, and may be sent repeatedly. If the session has
expired and the write surely was not executed in it, the flow goes on in a new session.

A request that may wait at the leader is sent with what is left of its wait, which comes on top of the timeout.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeAlias, TypeVar

from raftdb.client.addresses import parse_addresses
from raftdb.client.credentials import Credentials
from raftdb.client.http1 import AnswerLost, NotSent, Response, Sink
from raftdb.client.protocol import (
    STATUS_REQUEST,
    Kind,
    Request,
    close_request,
    register_request,
)
from raftdb.client.routing import Attempt, Call, Pause, Router
from raftdb.client.session import Place, Session, Sessions
from raftdb.errors import SessionExpired, Unavailable, required

SESSIONS_PER_CALL_MAX = 3
"""How many sessions may expire under one call before it fails, so that a cluster that forgets them at once is
noticed."""
CLOSE_TIMEOUT_MS = 500
"""How long closing a client may take to end its session; on a slow network, as long as two answers take."""

LOOK_AGAIN_MS = 1_000
"""A call that waits for others looks again after this time even if it was not woken, because a call that was
interrupted may not have woken it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Method(Generic[T]):
    """A method of the clients: the request to send, and the function that reads the answer. A body that is too long for
    memory goes to `sink`. Without a request `parse` gets an empty response, and nothing is sent."""

    request: Request | None
    parse: Callable[[Response], T]
    sink: Sink | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A step: send `request` as `attempt` says, with `headers`, which may have a secret, as further lines of its head.
    The outcome is the `Response`, or the reason why there is none."""

    attempt: Attempt
    request: Request
    sink: Sink | None
    headers: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class AwaitOthers:
    """A step: wait until another call of this client ends or makes progress, or until `until_ms`."""

    until_ms: float


Step: TypeAlias = Exchange | Pause | AwaitOthers
Outcome: TypeAlias = Response | NotSent | AnswerLost | None
Flow: TypeAlias = Generator[Step, Outcome, T]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """When a call began, in milliseconds of the client's clock, and how long it may take (see
    `raftdb.client.routing.Call`)."""

    began_ms: float
    timeout_ms: float
    unreachable_timeout_ms: float | None = None
    stretches: bool = False
    is_strict: bool = False
    """Whether the timeout holds for tasks as well, which otherwise may take `routing.TASK_ATTEMPT_MS`."""

    @property
    def ends_ms(self) -> float:
        """The deadline on a network that is not slow."""
        return self.began_ms + self.timeout_ms


class Caller:
    """The state of a client between calls: the router and, unless `sessions` is None, the session.

    `clock` is the monotonic clock of all deadlines, in milliseconds; `random` is the source of jitter. `credentials`
    are sent with every request.
    """

    def __init__(
        self,
        router: Router,
        *,
        sessions: Sessions | None,
        clock: Callable[[], float],
        random: Random,
        credentials: Credentials | None = None,
    ) -> None:
        self._credentials = Credentials() if credentials is None else credentials
        self.router = router
        self._sessions = sessions
        self._turn_sessions = Sessions()
        """That of requests that wait in lines, so that no other call has to wait for them."""
        self._leased_sessions: Sessions | None = None
        """That of writes that bind keys."""
        self._clock = clock
        self._random = random

    def flow(
        self, method: Method[T], limits: CallLimits, lease: Callable[[], Sessions] | None = None
    ) -> Flow[T]:
        """The flow of one call. `lease` makes the sessions for what binds keys when they are first needed; without it
        there is one session for all. Raises `RaftdbError`, and `SessionLost`."""
        request = method.request
        if request is None:
            return method.parse(Response(200))
        if request.kind is Kind.WRITE and self._sessions is not None:
            sessions = self._turn_sessions if request.takes_turns else self._sessions
            if request.binds and lease is not None:
                sessions = self._leased_sessions = self._leased_sessions or lease()
            response = yield from self._once(request, sessions, limits)
        else:
            call = self._call(request.kind, limits, request.wait_ms)
            response = yield from self._carry_out(call, request, method.sink)
        return method.parse(response)

    def ask(self, method: Method[T], address: str, limits: CallLimits) -> Flow[T]:
        """The flow of a call to the node at `address` alone, in one attempt. Raises `RaftdbError`."""
        if method.request is None:
            return method.parse(Response(200))
        router = Router(parse_addresses(address), random=self._random)
        router.pace = self.router.pace
        call = Call(
            router,
            Kind.ANY_NODE,
            now_ms=limits.began_ms,
            timeout_ms=limits.timeout_ms,
            stretches=limits.stretches,
            is_repeated=False,
        )
        return method.parse((yield from self._carry_out(call, method.request)))

    def close(self) -> Flow[None]:
        """The flow that ends the session, by one attempt at the leader if that is known. It never raises.

        It is not necessary, because a session ends after a time without use.
        """
        known = (self._sessions, self._turn_sessions, self._leased_sessions)
        taken = [None if sessions is None else sessions.take() for sessions in known]
        leader = self.router.leader
        for session in taken if leader is not None else ():
            if session is None or leader is None:
                continue
            ends_ms = self._clock() + max(CLOSE_TIMEOUT_MS, 2 * self.router.pace.answer_ms)
            attempt = Attempt(leader, False, connect_by_ms=ends_ms, answer_by_ms=ends_ms)
            headers = () if self.router.is_stranger(leader) else self._credentials.headers
            yield Exchange(attempt, close_request(session.id), None, headers)

    def abandon(self) -> None:
        """Renew no session any more."""
        if self._leased_sessions is not None:
            self._leased_sessions.abandon()

    def _once(self, request: Request, sessions: Sessions, limits: CallLimits) -> Flow[Response]:
        """A write within the session, or in a new one if the session has expired and surely did not execute the
        write."""
        for _ in range(SESSIONS_PER_CALL_MAX):
            session = yield from self._registered(sessions, limits)
            while session.is_full:
                yield from self._await_others(limits)
            call, place = self._call(Kind.ONCE, limits, request.wait_ms), Place()
            try:
                return (yield from self._carry_out(call, request.stamped(session.take(place))))
            except SessionExpired as error:
                sessions.leave(session)
                if call.may_have_happened:
                    raise _expired_meanwhile(error) from error
            finally:
                session.leave(place)
        raise SessionExpired(
            f"{SESSIONS_PER_CALL_MAX} sessions expired one after the other",
            hint="nothing was executed; does the cluster have more clients than sessions?",
        )

    def _registered(self, sessions: Sessions, limits: CallLimits) -> Flow[Session]:
        """The present session, once it is registered by this call or by another."""
        while True:
            session = sessions.current()
            if session.is_registered:
                return session
            if session.is_registering:
                yield from self._await_others(limits)
                continue
            place = Place()
            try:
                session.begin_registration(place)
                request = register_request(session.id, sessions.ttl_ms)
                yield from self._carry_out(self._call(request.kind, limits), request)
                sessions.registered(session)
            finally:
                session.end_registration()

    def _await_others(self, limits: CallLimits) -> Flow[None]:
        ends_ms = limits.began_ms + self.router.pace.call_ms(limits.timeout_ms, stretches=limits.stretches)
        if self._clock() >= ends_ms:
            raise Unavailable(
                "busy",
                f"other calls of this client were not done in {limits.timeout_ms / 1000:g} s",
                hint="nothing was sent: try again, with fewer calls at a time",
            )
        yield AwaitOthers(min(ends_ms, self._clock() + LOOK_AGAIN_MS))

    def _call(self, kind: Kind, limits: CallLimits, wait_ms: float | None = None) -> Call:
        return Call(
            self.router,
            kind,
            now_ms=limits.began_ms,
            timeout_ms=limits.timeout_ms,
            unreachable_timeout_ms=limits.unreachable_timeout_ms,
            stretches=limits.stretches,
            is_strict=limits.is_strict,
            wait_ms=wait_ms or 0.0,
        )

    def _carry_out(self, call: Call, request: Request, sink: Sink | None = None) -> Flow[Response]:
        """Follow the steps of one call until it ends."""
        while True:
            step = call.next_step(self._clock())
            if isinstance(step, Pause):
                yield step
                continue
            began_ms = self._clock()
            sent = STATUS_REQUEST if step.probe else request.held(call.held_ms(began_ms))
            headers = () if call.is_stranger(step.address) else self._credentials.headers
            outcome = yield Exchange(step, sent, None if step.probe else sink, headers)
            if isinstance(outcome, NotSent | AnswerLost):
                call.failed(step, str(outcome), sent=isinstance(outcome, AnswerLost))
                continue
            call.took(step, self._clock() - began_ms)
            response = call.answered(step, required(outcome, "outcome of an exchange"))
            if response is not None:
                return response


def _expired_meanwhile(error: SessionExpired) -> SessionExpired:
    return SessionExpired(
        f"{error.message}; the request had been sent before, and was not answered",
        hint="it may or may not have taken effect: read before you repeat it",
    )
