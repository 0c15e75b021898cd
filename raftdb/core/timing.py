"""Timing that fits the network: how long each wait of the core is, given what the node has measured.

The idea is Dynatune's (arXiv 2507.15154). Safety never depends on any of it: a node that waits too short or too long
makes agreement slow, never wrong.

Timeouts follow what a follower hears. Over TCP a lost packet is sent again, and everything after it waits: round trips
do not show how long a living leader may be silent, the *gaps* between its heartbeats do. The election timeout is a
multiple of the largest gap, which fades (`measured`). A gap counts only if the heartbeat that ends it is the next one
after the heartbeat that began it: then the network was slow. Otherwise messages were lost with a link that was cut, and
how long a cable was unplugged says nothing about the next leader.

An election takes trips of its own, to the majority that answers first: the timeout is never shorter than some of those,
or votes would arrive when they are no longer counted. The links measure the trips now and then, and the answers to who
stands measure them just when it matters. Before two heartbeats were heard, the timeout follows from these trips alone.

Followers tell the leader their timeouts with each answer to a heartbeat. So heartbeats are as rare as the most
impatient follower allows, and the leader waits for a majority for as long as that majority waits for it.
"""

from collections.abc import Iterable
from math import ceil

from raftdb.core import quorum
from raftdb.core.events import TripMeasured
from raftdb.core.messages import Heartbeat, RequestPreVoteReply, RequestVoteReply
from raftdb.core.model import NodeId
from raftdb.core.state import Leadership, RaftState

GAP_FACTOR = 3
"""The election timeout is at least the largest gap times this; it is drawn between that and twice that. The largest gap
fades, so with two a follower would stand after a few quiet minutes when one packet is lost three times: over 100 ms
with 10 % lost that makes a gap of 2.6 s where 1.3 s are remembered."""
GAP_GROWTH_MAX = 2
"""No gap counts for more than the timeout in force times this: a process that was stopped does not mean that the
network is slow."""
TRIPS_PER_TIMEOUT = 4
"""The election timeout is at least so many trips to a majority and back: a pre-vote and a vote, a loss in each."""
TRIPS_GIVEN_WAY = 2
"""A node that grants a pre-vote gives the candidate so many trips to ask for the vote: one is enough if nothing is
lost."""
TRIPS_PER_REPEAT = 1.25
"""A candidate asks again when its answer is late by so much of a trip."""
ELECTION_TIMEOUT_MS_MAX = 30_000
"""What is measured makes no timeout longer than this."""
REQUEST_MS_MAX = 60_000
"""What is measured makes no request wait longer than this."""
HEARTBEATS_PER_TIMEOUT = 16
"""A leader sends so many heartbeats before the most impatient follower may stand for election. Four would do where
nothing is lost; but a loss is repaired by the next packet, so rare heartbeats make the very gaps that they are to
outlast: over 100 ms with 10 % lost, gaps of over a second are fifteen times as frequent at 500 ms as at 75."""
HEARTBEAT_MS_MAX = 500
"""What the followers bear makes no heartbeat rarer than this."""


def election_timeout_ticks(state: RaftState) -> int:
    """The shortest election timeout of this node: never below the setting, and what was measured if that is more."""
    settings = state.settings
    measured_ticks = max(
        GAP_FACTOR * state.measured.largest_gap_ticks, TRIPS_PER_TIMEOUT * _trip_ticks(state)
    )
    longest_ticks = ELECTION_TIMEOUT_MS_MAX / settings.tick_ms
    return max(settings.election_timeout_ticks, ceil(min(measured_ticks, longest_ticks)))


def stickiness_ticks(state: RaftState) -> int:
    """A leader that was heard so recently counts as alive, because it has been silent for as long before (thesis
    6.2)."""
    return max(state.settings.election_timeout_ticks, election_timeout_ticks(state) // GAP_FACTOR)


def patience_ticks(state: RaftState, leadership: Leadership) -> int:
    """How long the leader waits for followers that do not answer: as long as the most patient node of a majority waits
    for the leader.

    The majority is the one that waits shortest. A node that has not said yet how long it waits is taken to wait as long
    as this node does.
    """
    own_ticks = election_timeout_ticks(state)
    voters = state.configurations.voters
    said = sorted(_said_ticks(state, leadership, own_ticks, voters))[: quorum.majority(voters) - 1]
    return max([state.settings.election_timeout_ticks, *said[-1:]])


def silence_ticks_borne(state: RaftState) -> int:
    """How long this node accepts silence from the nodes that should speak to it: a leader from its followers, a
    follower from its leader."""
    if state.leadership is not None:
        return patience_ticks(state, state.leadership)
    return election_timeout_ticks(state)


def request_ticks(state: RaftState, setting_ticks: int) -> int:
    """How long a request may wait for a majority: never less than the setting, and as long as a leader waits for its
    majority."""
    longest_ticks = REQUEST_MS_MAX // state.settings.tick_ms
    return max(setting_ticks, min(2 * silence_ticks_borne(state), longest_ticks))


def heartbeat_ticks(state: RaftState, leadership: Leadership) -> int:
    """How long after a heartbeat the next is due: never less than the setting, and more if all followers that have said
    how long they wait accept it."""
    settings = state.settings
    own_ticks = election_timeout_ticks(state)
    shortest_ticks = min(_said_ticks(state, leadership, own_ticks, leadership.progress), default=own_ticks)
    longest_ticks = HEARTBEAT_MS_MAX // settings.tick_ms
    return max(settings.heartbeat_ticks, min(shortest_ticks // HEARTBEATS_PER_TIMEOUT, longest_ticks))


def repeat_ticks(state: RaftState) -> int:
    """How long after a candidate has asked for votes it asks again the voters that have not answered: at most as often
    as a leader sends heartbeats, and not before an answer can be here.

    Asking again earlier does harm over TCP: each lost packet holds up all that come after it.
    """
    return max(state.settings.heartbeat_ticks, ceil(TRIPS_PER_REPEAT * _trip_ticks(state)))


def heard_heartbeat(state: RaftState, message: Heartbeat) -> None:
    """The leader has spoken: measure how long it was silent before, and bear as long a silence from now on."""
    gap_ticks_max = GAP_GROWTH_MAX * election_timeout_ticks(state)
    state.measured.heard(message.source, message.term, message.round, gap_ticks_max=gap_ticks_max)
    _fit_deadline(state)


def on_trip_measured(state: RaftState, event: TripMeasured) -> None:
    """A trip was measured: if this node would stand for election before votes can arrive, it waits longer from now
    on."""
    state.measured.trip(event.node, event.milliseconds)
    _fit_deadline(state)


def heard_answer(state: RaftState, message: RequestPreVoteReply | RequestVoteReply) -> None:
    """A voter has answered, perhaps too late to count. How long that took is how long votes are to be waited for: on a
    network that has just become slow no election would succeed until the links have been measured anew."""
    if 0 < message.asked_ticks <= state.measured.now_ticks:
        ticks = state.measured.now_ticks - message.asked_ticks
        on_trip_measured(state, TripMeasured(message.source, ticks * state.settings.tick_ms))


def draw_election_timeout(state: RaftState) -> int:
    """How many ticks to wait for a leader this time: drawn at random, so that split votes do not repeat (thesis
    3.4)."""
    timeout_ticks = election_timeout_ticks(state)
    return state.randrange(timeout_ticks, 2 * timeout_ticks)


def wait_for_candidate(state: RaftState) -> None:
    """Let another node be elected, for some trips; but no longer than the longest timeout this node might have drawn,
    however often others ask."""
    until_ticks = state.election_elapsed_ticks + ceil(TRIPS_GIVEN_WAY * _trip_ticks(state))
    longest_ticks = 2 * election_timeout_ticks(state) - 1
    state.election_deadline_ticks = max(state.election_deadline_ticks, min(until_ticks, longest_ticks))


def _fit_deadline(state: RaftState) -> None:
    """A deadline that could not be drawn any more, after the latest measurement, is drawn again."""
    timeout_ticks = election_timeout_ticks(state)
    if not timeout_ticks <= state.election_deadline_ticks < 2 * timeout_ticks:
        state.election_deadline_ticks = draw_election_timeout(state)


def _trip_ticks(state: RaftState) -> float:
    """How many ticks a message takes to a majority and back; 0 before anything was measured."""
    voters = state.configurations.voters
    others = [voter for voter in voters if voter != state.id]
    return state.measured.trip_to(others, count=quorum.majority(voters) - 1) / state.settings.tick_ms


def _said_ticks(
    state: RaftState, leadership: Leadership, own_ticks: int, nodes: Iterable[NodeId]
) -> list[int]:
    """The election timeouts of `nodes` but this one, as they said them last."""
    said_ms = [leadership.progress[node].election_timeout_ms for node in nodes if node in leadership.progress]
    return [own_ticks if ms == 0 else ceil(ms / state.settings.tick_ms) for ms in said_ms]
