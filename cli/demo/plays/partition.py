"""A network that breaks in two: the smaller part refuses, the larger one goes on."""

from cli.demo.actions import Begin, Finish, Typed
from cli.demo.clients import Registers
from cli.demo.conditions import steps_down
from cli.demo.plays.scenes import catches_up, election, others_vote
from cli.demo.results import exactly, fails, has, works
from cli.demo.steps import Demo, Step

DEMO = Demo(
    name="partition",
    summary="the network breaks in two: the minority refuses, the majority goes on, and they heal",
    about="A network that breaks in two, with the leader in the smaller part. That part refuses, the larger one elects "
    "a leader and goes on; then they heal. Clients write and read all the time, and in the end a checker searches for "
    "one order of all their commands that explains all their answers.",
    nodes=5,
    network=None,
    steps=(
        election(),
        Step(says="A value is written.", does=Typed("set x before", "leader"), expects=exactly("OK")),
        Step(
            says="Clients at all nodes write and read, and note what they are answered, and when.",
            does=Begin(
                "clients", Registers, "$ # at each node, again and again: raftdb set register:... or get"
            ),
            expects=works(),
            varies=True,
        ),
        Step(
            says="The network is cut between <minority>, the leader among them, and <majority>.",
            names={"old": "leader", "smaller": "minority", "larger": "majority"},
            does=Typed(".cut <smaller> | <larger>"),
            expects=works("no message passes"),
            varies=True,
        ),
        Step(
            says="The minority refuses to write.",
            does=Typed("set x minority", "old", timeout_s=2),
            expects=fails("error: set:", says="an error: there is no majority"),
            varies=True,
        ),
        Step(
            says="And to read what might be old by now.",
            does=Typed("get x", "old", timeout_s=2),
            expects=fails("error: get:", says="an error: there is no majority"),
            varies=True,
        ),
        Step(
            says="<old> hears no majority any more, so it must not lead.",
            does=steps_down("old"),
            expects=has("<old> is a"),
            varies=True,
        ),
        Step(
            says="Who is content with what may be old can have it.",
            does=Typed("get x", "old", is_stale=True),
            expects=exactly('"before"'),
        ),
        others_vote("old", says="The majority elects a leader of its own."),
        Step(
            says="It goes on.",
            does=Typed("set x majority; get x", "leader"),
            expects=exactly("OK", '"majority"'),
        ),
        Step(says="The network heals.", does=Typed(".heal"), expects=works("messages pass"), varies=True),
        catches_up("old", "<old> follows the leader of the majority, and gets what it has missed."),
        Step(
            says="Both parts agree.",
            does=Typed("get x", "old", is_stale=True),
            expects=exactly('"majority"'),
        ),
        Step(
            says="The clients stop, and the checker looks at what they were answered.",
            does=Finish("clients"),
            expects=has("the history is linearizable"),
            varies=True,
        ),
    ),
)
