"""A replicated message queue of six nodes, two of which die."""

from cli.demo.actions import Typed
from cli.demo.plays.scenes import catches_up, dies, election, others_vote, returns
from cli.demo.results import exactly, has, works
from cli.demo.steps import Demo, Step

_PUT = "1", "2", "3", "s", "i", "s"
_PUT_BY_THE_SECOND = "t", "e", "r"
_PUT_AT_THE_RETURNED = "U", "w", "U"

DEMO = Demo(
    name="queue",
    summary="a message queue of six nodes: the leader and one more die, and no message is lost",
    about="A replicated message queue. Messages are put at nodes that do not lead; the leader and one more node die; "
    "what was put before is taken from the new leader, and what comes back has it all.",
    nodes=6,
    nodes_min=5,
    network="delay 1000ms",
    steps=(
        election(),
        *(
            Step(
                says=f"{value!r} is put at a node that does not lead.".replace("'", '"'),
                does=Typed(f"enqueue mail {value}", f"follower{number % 5 + 1}"),
                expects=works("the id of the message"),
                varies=True,
            )
            for number, value in enumerate(_PUT)
        ),
        dies("leader", "The leader, <leader>, is killed.", "old"),
        dies("follower", "And one node more.", "gone"),
        others_vote("old", "gone", says="The others are a majority, and have a leader."),
        Step(
            says="Three messages are taken, at <leader>, which leads now.",
            does=Typed("dequeue mail; dequeue mail; dequeue mail", "leader"),
            expects=exactly('"1"', '"2"', '"3"'),
        ),
        Step(
            says="Three more are put.",
            does=Typed("; ".join(f"enqueue mail {value}" for value in _PUT_BY_THE_SECOND), "leader"),
            expects=works("the ids of the messages"),
            varies=True,
        ),
        *(returns(role, f"<{role}> comes back, at its address.") for role in ("old", "gone")),
        catches_up("gone"),
        Step(
            says="Asked at <gone>, three more are put.",
            does=Typed("; ".join(f"enqueue mail {value}" for value in _PUT_AT_THE_RETURNED), "gone"),
            expects=works("the ids of the messages"),
            varies=True,
        ),
        Step(
            says="The log of the leader shows all of it.",
            does=Typed(".log 1 1000", "leader"),
            expects=has(
                *(f"enqueue mail {value}" for value in _PUT),
                *("dequeue mail",) * 3,
                *(f"enqueue mail {value}" for value in (*_PUT_BY_THE_SECOND, *_PUT_AT_THE_RETURNED)),
                says="six messages put, three taken, six put",
            ),
            varies=True,
        ),
        Step(
            says="What is left is taken at <gone>, until there is no more: all in the order in which it was put.",
            does=Typed("; ".join(["dequeue mail"] * 10), "gone"),
            expects=exactly('"s"', '"i"', '"s"', '"t"', '"e"', '"r"', '"U"', '"w"', '"U"', "(nil)"),
        ),
    ),
)
