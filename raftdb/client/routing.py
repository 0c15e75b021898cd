"""Which node to ask next: leader discovery, redirects, and retries with jittered pauses under one deadline. No I/O.

A `Router` keeps the addresses that a client was given and the last known leader between calls. A `Call` is one call in
progress. Its driver asks `next_step` for an `Attempt` or a `Pause`, carries that out, and reports an attempt's outcome
by `answered` or `failed`; it repeats this until `answered` returns the response that ends the call, or one of the three
raises the error that does.

A call asks the nodes in *sweeps*: the known leader first, then the others in the order given; a redirect is followed at
once. A sweep in which no node executed the call is followed by a pause. Pauses grow up to `PAUSE_MS_MAX`, with jitter
so that the clients of a lost leader do not come back at the same time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from raftdb.client.http1 import Response
from raftdb.client.pace import ANSWERS_WAITED, NODE_MS_MAX, NODE_MS_MIN, Pace
from raftdb.client.protocol import Kind
from raftdb.client.reasons import Reasons
from raftdb.client.refusals import error_of, leader_of_error, leader_of_status, leads_by_status
from raftdb.endpoint import Endpoint
from raftdb.errors import (
    CODES,
    CommandFailed,
    Forbidden,
    OutcomeUnknown,
    RaftdbError,
    RequestRefused,
    Unauthenticated,
    Unavailable,
)

ATTEMPT_MS_MIN = 500
"""A request that may be repeated waits for one node for at least this time, a third of the time left, or some times the
latest answers, whichever is longest, before it asks another."""
TASK_ATTEMPT_MS = 600_000
"""How long the leader may work on a task, such as copying the whole state, before its answer begins."""
PAUSE_MS_FIRST = 50
PAUSE_MS_MAX = 1_000
"""First and longest pause between sweeps; elections take about a second."""
RETRY_AFTER_MS_MAX = 30_000
"""Longest pause that a node can ask for; a pause that would end after the deadline ends the call at once."""
SENT_ONCE = (Kind.WRITE, Kind.CHANGE)
"""The kinds of requests that are not sent again once they may have been executed."""
REDIRECTS_MAX = 5
"""Most redirects followed within one sweep: more mean that the nodes disagree on which one leads, so a pause
follows."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step: send the call's request, or `GET /v1/status` if it is a `probe`, to `address`. Times are absolute, in
    milliseconds."""

    address: Endpoint
    probe: bool
    connect_by_ms: float
    answer_by_ms: float
    prompt_ms: float | None = None
    """How long the node may take, if that is less than until `answer_by_ms`; see
    `raftdb.client.pace.answer_deadline_ms`."""
    stretches: bool = False
    """True if the call may take longer on a slow network."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: wait this long."""

    duration_ms: float


_SECONDS_DIGITS_MAX = 9
STRANGERS_MAX = 100
"""Most addresses that were named by redirects alone and are followed."""


class Router:
    """The addresses a client was given, in order, and the address of the last known leader, if any."""

    def __init__(
        self,
        addresses: Sequence[Endpoint],
        *,
        random: Random | None = None,
        reached: Callable[[Endpoint], Endpoint] = lambda address: address,
    ) -> None:
        """`reached` returns how a node is reached at an address that another one has named."""
        if not addresses:
            raise RequestRefused("bad_request", "no node address given")
        self.addresses = tuple(dict.fromkeys(addresses))
        self.leader: Endpoint | None = None
        self._strangers: set[Endpoint] = set()
        self.pace = Pace()
        self.random = random or Random()
        self.reached = reached

    def sweep(self) -> list[Endpoint]:
        """The nodes to ask, in order: the leader first, even if it is none of the addresses given."""
        first = [] if self.leader is None else [self.leader]
        return [*first, *(address for address in self.addresses if address != self.leader)]

    def note_named(self, address: Endpoint, *, by_node: bool) -> bool:
        """Note that `address` is said to be the leader's, by a node, or else by a redirect alone, which may be one of a
        server in between. Returns False if it is not to be followed."""
        if by_node:
            self._strangers.discard(address)
        elif address not in self.addresses and address not in self._strangers:
            if len(self._strangers) >= STRANGERS_MAX:
                return False
            self._strangers.add(address)
        return True

    def is_stranger(self, address: Endpoint) -> bool:
        """Whether nobody has said that this is an address of the cluster, so that it gets no credentials."""
        return address in self._strangers

    def forget(self, address: Endpoint) -> None:
        """Do not begin the next sweep with `address` as the leader, because it did not act as one."""
        if self.leader == address:
            self.leader = None


class Call:
    """One call in progress. The driver gives the times, in milliseconds of one monotonic clock.

    `unreachable_timeout_ms`: give up earlier if no node could be connected to for this long (None: do not), as a person
    at a terminal wants, but not a service that outlives restarts of the cluster. `stretches`: on a slow network the
    call may take longer than `timeout_ms`. `is_strict`: a task may not take longer, either. `is_repeated`: more than
    one sweep is allowed. `wait_ms`: the leader may hold the request for so long from now on, and only then begins the
    time that the call and each node may take.
    """

    def __init__(
        self,
        router: Router,
        kind: Kind,
        *,
        now_ms: float,
        timeout_ms: float,
        unreachable_timeout_ms: float | None = None,
        stretches: bool = False,
        is_strict: bool = False,
        is_repeated: bool = True,
        wait_ms: float = 0.0,
    ) -> None:
        self._is_strict = is_strict
        self._wait_ms = wait_ms
        self._router = router
        self._kind = kind
        self._began_ms = now_ms
        self._given_ms = timeout_ms
        self._stretches = stretches
        self._is_repeated = is_repeated
        self._unreachable_at_ms = None if unreachable_timeout_ms is None else now_ms + unreachable_timeout_ms
        self._sweeps = 0
        self._pause_ms_min = 0.0  # from the last Retry-After
        self._reached = False  # a node answered, or at least took a request, in this call
        self._reasons = Reasons(router.addresses)
        self._refusal: RaftdbError | None = None  # the latest refusal
        self._unknown_user: Unauthenticated | None = None
        self._may_have_happened = False
        self._start_sweep()

    @property
    def _timeout_ms(self) -> float:
        """How long this call may take, by the present measurements."""
        return self._router.pace.call_ms(self._given_ms, stretches=self._stretches)

    @property
    def _deadline_ms(self) -> float:
        return self._began_ms + self._wait_ms + self._timeout_ms

    def held_ms(self, now_ms: float) -> float:
        """How long the leader may still hold the request."""
        return max(self._began_ms + self._wait_ms - now_ms, 0.0)

    @property
    def may_have_happened(self) -> bool:
        """True once a write within a session may have been executed, because it was sent and not answered with
        certainty."""
        return self._may_have_happened

    def _start_sweep(self) -> None:
        self._left = self._router.sweep()
        self._asked: set[Endpoint] = set()
        self._redirect: Endpoint | None = None
        self._redirects = 0

    def next_step(self, now_ms: float) -> Attempt | Pause:
        """The next step. After the deadline it raises `Unavailable`, or `OutcomeUnknown` for a write that may have been
        executed."""
        address = self._redirect or (self._left[0] if self._left else None)
        if now_ms >= self._deadline_ms:
            raise self._given_up()
        if address is None:
            return self._end_sweep(now_ms)
        self._redirect = None
        self._left = [other for other in self._left if other != address]
        # A request that may be repeated can be sent without knowing the leader: a node that does not answer costs it
        # only time. A write without a session would end with an unknown outcome, and a task waits too long for that.
        probe = self._kind in (*SENT_ONCE, Kind.TASK) and self._router.leader != address
        self._asked.add(address)
        left_ms, pace = self._deadline_ms - now_ms, self._router.pace
        prompt_ms = None
        if probe or self._kind is Kind.ANY_NODE:
            # The connection may be to the near end of a tunnel, with the node far away, so each sweep waits longer.
            allowed_ms, prompt_ms = left_ms, min(NODE_MS_MIN * 2.0 ** min(self._sweeps, 10), NODE_MS_MAX)
        elif self._kind in SENT_ONCE:
            allowed_ms = left_ms
        elif self._kind is Kind.TASK:
            allowed_ms = left_ms if self._is_strict else max(left_ms, TASK_ATTEMPT_MS)
        else:
            allowed_ms = left_ms
            held_ms = self.held_ms(now_ms)
            prompt_ms = held_ms + max(
                ATTEMPT_MS_MIN, (left_ms - held_ms) / 3, ANSWERS_WAITED * pace.answer_ms
            )
        # If there is no other node to ask, the kernel may try this one for longer.
        is_only = self._router.sweep() == [address]
        node_ms = pace.node_ms(address, call_ms=self._timeout_ms)
        connect_ms = min(left_ms, 2 * node_ms if is_only else node_ms)
        return Attempt(address, probe, now_ms + connect_ms, now_ms + allowed_ms, prompt_ms, self._stretches)

    def took(self, attempt: Attempt, duration_ms: float) -> None:
        """Note how long an answered attempt took, connecting included if the connection was new."""
        if attempt.probe or not (self._kind is Kind.TASK or self._wait_ms):
            self._router.pace.answered(attempt.address, duration_ms)

    def _end_sweep(self, now_ms: float) -> Pause:
        """Pause, and begin a new sweep. Raises `Unavailable` or `OutcomeUnknown` if there is no time or no leave for
        one, and `Unauthenticated` if another one would be of no use."""
        if self._unknown_user is not None:
            raise self._unknown_user
        is_late = self._unreachable_at_ms is not None and now_ms >= self._unreachable_at_ms
        if not self._is_repeated or (is_late and not self._reached):
            raise self._given_up()
        longest_ms = min(PAUSE_MS_MAX, PAUSE_MS_FIRST * 2 ** min(self._sweeps, 10))
        pause_ms = self._pause_ms_min + self._router.random.uniform(longest_ms / 2, longest_ms)
        if now_ms + pause_ms >= self._deadline_ms:
            raise self._given_up()
        self._sweeps += 1
        self._pause_ms_min = 0.0
        self._start_sweep()
        return Pause(pause_ms)

    def failed(self, attempt: Attempt, reason: str, *, sent: bool) -> None:
        """Note that an attempt got no answer. `sent`: the node may have got the request.

        Raises `OutcomeUnknown` for a write that may have been executed.
        """
        self._router.forget(attempt.address)
        self._router.pace.was_silent(attempt.address)
        self._reasons.failed(attempt.address, reason)
        self._reached = self._reached or sent
        if sent and not attempt.probe and self._kind in SENT_ONCE:
            raise OutcomeUnknown(
                f"the request was sent but not answered ({attempt.address}: {reason})",
                hint="it may or may not take effect: read before you repeat it",
            )
        if sent and not attempt.probe and self._kind is Kind.ONCE:
            self._may_have_happened = True
        if sent and not attempt.probe and self._kind is Kind.TASK:
            self._refusal = Unavailable("unreachable", f"{attempt.address} did not finish: {reason}")

    def answered(self, attempt: Attempt, response: Response) -> Response | None:
        """Take an answer. Returns the response if it ends the call, and None if the call goes on. Raises its error if
        that ends the call."""
        self._reached = True
        if attempt.probe and response.status != CODES["unauthenticated"].status:
            self._take_probe(attempt, response)
            return None
        if 200 <= response.status < 300:
            if self._kind is not Kind.ANY_NODE:
                self._router.leader = attempt.address
            return response
        error = error_of(response)
        self._reasons.said(attempt.address, error.message)
        if error.code == "not_leader":
            self._refusal = error
            self._router.forget(attempt.address)
            self._follow(self._redirected(attempt.address, error, response), attempt.address)
        elif error.code in ("no_leader", "no_quorum"):
            self._refusal = error
            self._router.forget(attempt.address)
            # Retry-After asks for a second or more, and most elections are over before: the sweeps' pauses grow.
        elif error.code == "busy":
            # The leader asks for a pause; the other nodes would only redirect to it.
            self._refusal = error
            self._left = []
            self._note_retry_after(response)
        elif error.code == "outcome_unknown" and self._kind not in SENT_ONCE:
            self._may_have_happened |= self._kind is Kind.ONCE
            self._refusal = Unavailable("no_quorum", error.message, hint=error.hint)
        elif isinstance(error, Unauthenticated | Forbidden):
            self._take_refusal(attempt, error)
        elif self._may_have_happened and not isinstance(error, CommandFailed):
            # A refusal of this attempt, for lack of space for example, says nothing about the earlier one.
            self._refusal = error
        else:
            raise error
        return None

    def _take_refusal(self, attempt: Attempt, error: Unauthenticated | Forbidden) -> None:
        """Raise the error of a request whose user is not known, or may not. A node that lags may not know a new user or
        token yet, so before that each other node is asked once."""
        if self._may_have_happened:
            raise OutcomeUnknown(
                f"the request was sent and not answered, and refused when it was sent again: {error.message}",
                hint="it may or may not take effect: read before you repeat it",
            ) from error
        if isinstance(error, Forbidden) or attempt.address == self._router.leader or not self._left:
            raise error
        self._unknown_user = error

    def is_stranger(self, address: Endpoint) -> bool:
        """See `Router.is_stranger`."""
        return self._router.is_stranger(address)

    def _redirected(self, asked: Endpoint, error: RaftdbError, response: Response) -> Endpoint | None:
        """The leader that a redirect of the server at `asked` names; None if it is not to be followed."""
        leader = leader_of_error(response)
        by_node = isinstance(error, Unavailable) and error.leader is not None
        by_node = by_node and not self.is_stranger(asked)
        leader = None if leader is None else self._router.reached(leader)
        if leader is None or not self._router.note_named(leader, by_node=by_node):
            return None
        return leader

    def _take_probe(self, attempt: Attempt, response: Response) -> None:
        """Follow a node's status to the leader that it names, which may prove to be wrong. A node that says that it
        leads is asked at the address where it answered, whatever address it has for others."""
        leader = attempt.address if leads_by_status(response) else leader_of_status(response)
        leader = None if leader is None else self._router.reached(leader)
        if leader is None:
            self._reasons.said(attempt.address, "knows no leader")
        else:
            self._router.note_named(leader, by_node=not self.is_stranger(attempt.address))
        if leader == attempt.address:
            self._asked.discard(leader)
        self._follow(leader, attempt.address)

    def _follow(self, leader: Endpoint | None, named_by: Endpoint) -> None:
        """Ask the leader that was just named next, unless it was asked in this sweep already, or there were too many
        redirects."""
        self._redirects += 1
        if leader is None or leader in self._asked or self._redirects > REDIRECTS_MAX:
            return
        self._reasons.named(leader, named_by)
        self._router.leader = leader
        self._redirect = leader

    def _note_retry_after(self, response: Response) -> None:
        seconds = response.headers.get("retry-after", "")
        if seconds.isascii() and seconds.isdigit():
            self._pause_ms_min = min(int(seconds[:_SECONDS_DIGITS_MAX]) * 1000.0, RETRY_AFTER_MS_MAX)

    def _given_up(self) -> Unavailable | OutcomeUnknown:
        """The error of a call that no node served: `OutcomeUnknown` if it may have been executed, else
        `Unavailable`."""
        if self._may_have_happened:
            return OutcomeUnknown(
                f"the request was sent, and no answer to it came in {self._time_in_words()}"
                f" ({self._reasons.in_words()})",
                hint="it may or may not take effect: read before you repeat it",
            )
        nodes = ", ".join(map(str, self._router.addresses))
        if not self._reached or not (self._is_repeated or self._refusal):
            reasons = self._reasons.all()
            return Unavailable(
                "unreachable",
                f"no node answers at {nodes}" + (f": {'; '.join(reasons)}" if reasons else ""),
                hint="is the cluster running? 'raftdb up' starts one here, --connect HOST:PORT names another",
            )
        seconds = self._time_in_words()
        if self._refusal is not None and self._refusal.code != "not_leader":
            refusal = self._refusal
            others = self._reasons.in_words(but=refusal.message)
            tried = f"tried for {seconds}; {others}" if others else f"tried for {seconds}"
            return Unavailable(refusal.code, f"{refusal.message} ({tried})", hint=refusal.hint)
        details = self._reasons.in_words() or nodes
        if self._kind is Kind.ANY_NODE:
            return Unavailable("unreachable", f"no node answered in {seconds} ({details})")
        hint = "a majority of the nodes must be up and see each other: 'raftdb cluster status'"
        unreachable = ", ".join(self._reasons.unreachable_leaders())
        if unreachable:
            hint = (
                f"if {unreachable} cannot be reached from here, set the node's "
                "`advertise` to an address that can, or give --connect the leader's own"
            )
        return Unavailable("no_leader", f"no leader was found in {seconds} ({details})", hint=hint)

    def _time_in_words(self) -> str:
        """How long this call has tried, and whether the network is slow."""
        pace = self._router.pace
        slow = (
            f", on a slow network: nodes answer after {pace.answer_ms / 1000:.1f} s" if pace.is_slow else ""
        )
        return f"{self._timeout_ms / 1000:g} s{slow}"
