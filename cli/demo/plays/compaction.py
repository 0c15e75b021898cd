"""A log that shrinks, and a follower that needs what is gone from it."""

from cli.demo.actions import Curl, Pages, Typed
from cli.demo.conditions import has_received_a_snapshot, log_begins_later
from cli.demo.plays.scenes import catches_up, dies, election, returns
from cli.demo.results import exactly, fails, has
from cli.demo.steps import Demo, Step

_COUNT, _SIZE = 200, 10_000

DEMO = Demo(
    name="compaction",
    summary="the log shrinks, and a node that was away gets a snapshot",
    about="A log that keeps every command would grow for ever. The state that it leads to is written down instead, and "
    "the entries before are dropped; who lacks them gets the state, a snapshot.",
    nodes=3,
    network=None,
    steps=(
        election(),
        dies("follower", "A follower, <away>, goes away.", "away"),
        Step(
            says="A client writes 2 MB.",
            does=Pages(_COUNT, _SIZE),
            expects=has("OK"),
        ),
        Step(
            says="The log has all of it, from its first entry on.",
            does=Typed(".log 1 3", "leader"),
            expects=has("the log holds 1.."),
            varies=True,
        ),
        Step(
            says="The leader makes its state durable, and drops the entries that led to it.",
            does=Typed(".snapshot", "leader"),
            expects=has("index"),
            varies=True,
        ),
        Step(
            says="The log is short again.",
            does=log_begins_later(),
            expects=has("the log of <leader> holds"),
            varies=True,
        ),
        Step(
            says="Who asks for the first entry is told that it is gone.",
            does=Curl("leader", "/v1/request_log?from=1"),
            expects=fails("410", "compacted", says="410, compacted"),
            varies=True,
        ),
        returns("away", "<away> comes back, and lacks entries that nobody has any more."),
        Step(
            says="So it gets a snapshot of the state.",
            does=has_received_a_snapshot("away"),
            expects=has("<away> has received a snapshot"),
            varies=True,
        ),
        catches_up("away", "And what came after it."),
        Step(
            says="Asked itself, it has all of the data.",
            does=Typed(f"strlen page:1; strlen page:{_COUNT}; dbsize", "away", is_stale=True),
            expects=exactly(str(_SIZE), str(_SIZE), str(_COUNT)),
        ),
        Step(
            says="Writes go on.",
            does=Typed("set page:1 new; get page:1", "away"),
            expects=exactly("OK", '"new"'),
        ),
    ),
)
