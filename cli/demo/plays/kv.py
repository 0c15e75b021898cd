"""A replicated key-value store whose leader dies, comes back, and whose members change."""

from cli.demo.actions import AtOnce, Begin, Curl, Finish, Heartbeats, Typed
from cli.demo.clients import Counting
from cli.demo.conditions import is_member
from cli.demo.plays.scenes import catches_up, dies, election, others_vote, returns
from cli.demo.results import exactly, has, works
from cli.demo.steps import Demo, Step

_FIRST = (
    election(),
    Step(
        says="As long as the leader is there, all others hear it several times a second: these are its heartbeats.",
        does=Heartbeats(),
        expects=works("some to each of the others"),
        varies=True,
    ),
    Step(
        says="A client asks the leader whether it is there.",
        does=Typed("ping", "leader"),
        expects=exactly("PONG"),
    ),
    Step(
        says="Only the leader executes. Another node says who that is.",
        does=Curl("follower", "/v1/execute", body={"command": "ping"}),
        expects=has(
            "307", "not_leader", '"id":"<leader>"', says="307, not_leader, and the leader is <leader>"
        ),
        varies=True,
    ),
    Step(
        says="A client follows that by itself, so it may ask any node.",
        does=Typed("ping", "follower"),
        expects=exactly("PONG"),
    ),
    Step(
        says="Values are written at the leader.",
        does=Typed("set 1 A; append 1 BC; get 1", "leader"),
        expects=exactly("OK", "OK", '"ABC"'),
    ),
    Step(
        says="They are the same at another node, and may be written there as well.",
        does=Typed("get 1; set 2 SI; append 2 S; get 2", "follower"),
        expects=exactly('"ABC"', "OK", "OK", '"SIS"'),
    ),
    Step(
        says="Two clients write at the same time, at different nodes.",
        does=AtOnce(
            (
                Typed("set ruby-chan choco-minto; append ruby-chan -yori-mo-anata", "follower"),
                Typed("set ayumu-chan strawberry-flavor; append ayumu-chan -yori-mo-anata", "follower2"),
            )
        ),
        expects=exactly("OK", "OK", "OK", "OK"),
    ),
    Step(
        says="Neither has disturbed the other.",
        does=Typed("get ruby-chan; get ayumu-chan", "leader"),
        expects=exactly('"choco-minto-yori-mo-anata"', '"strawberry-flavor-yori-mo-anata"'),
    ),
)

_FAILOVER = (
    dies("leader", "The leader, <leader>, is killed, as by a power failure.", "old"),
    others_vote("old"),
    Step(
        says="The new leader, <leader>, has all that was answered before.",
        does=Typed("strlen 1; strlen 2", "leader"),
        expects=exactly("3", "3"),
    ),
    Step(
        says="It executes what comes now.",
        does=Typed("del 1; append 2 TE; append 2 R", "leader"),
        expects=exactly('"ABC"', "OK", "OK"),
    ),
    returns("old", "The old leader comes back, at its address."),
    catches_up("old"),
    Step(
        says="Asked itself, without the leader, <old> has the value of now.",
        does=Typed("get 2", "old", is_stale=True),
        expects=exactly('"SISTER"'),
    ),
    Step(
        says="A client of <old> writes on: an empty value is a value, and append begins a new one.",
        does=Typed('set 3 ""; append 3 UwU; append 4 Onii-Chan; append 4 Daisuki', "old"),
        expects=exactly("OK", "OK", "OK", "OK"),
    ),
    Step(
        says="It answers everything.",
        does=Typed("get 1; get 2; get 3; get 4", "old"),
        expects=exactly('""', '"SISTER"', '"UwU"', '"Onii-ChanDaisuki"'),
    ),
    Step(
        says="The log of the leader has all of it, in the one order that holds for all nodes.",
        does=Typed(".log 1 1000", "leader"),
        expects=has(
            "set 1 A",
            "append 1 BC",
            "set 2 SI",
            "append 2 S",
            "del 1",
            "append 2 TE",
            "append 2 R",
            'set 3 ""',
            "append 3 UwU",
            "append 4 Onii-Chan",
            "append 4 Daisuki",
            says="set 1 A ... append 2 S ... del 1 ... append 2 R ... append 4 Daisuki",
        ),
        varies=True,
    ),
)

_MEMBERS = (
    Step(
        says="A new node, <next>, is added. It gets the whole log, and votes once it has it.",
        names={"new": "next"},
        does=Typed(".add <new>"),
        expects=has("members", "<new>", says="<new> is a member"),
        varies=True,
    ),
    Step(
        says="Asked for the log, the new node names the leader.",
        does=Curl("new", "/v1/request_log"),
        expects=has(
            "307", "not_leader", '"id":"<leader>"', says="307, not_leader, and the leader is <leader>"
        ),
        varies=True,
    ),
    Step(
        says="So the leader is asked: the change of the members is an entry of the log, too.",
        does=Typed(".log 1 1000", "leader"),
        expects=has("append 4 Daisuki", "(configuration)", says="a configuration behind the last write"),
        varies=True,
    ),
    Step(
        says="A client counts a key up, again and again, at whichever node answers.",
        does=Begin(
            "counting", lambda stage: Counting(stage, "visits"), "$ while raftdb incr visits; do :; done &"
        ),
        expects=works(),
        varies=True,
    ),
)


def _exchange(says: str) -> tuple[Step, ...]:
    """One node goes while another comes."""
    return (
        Step(
            says=says,
            names={"gone": "follower", "second": "next"},
            does=AtOnce((Typed(".add <second>"), Typed(".remove <gone>", "leader"))),
            expects=has(
                "members", "<second>", "removed", "<gone>", says="<second> is a member, and <gone> is none"
            ),
            varies=True,
        ),
        Step(
            says="The cluster has as many voters as before.",
            does=is_member("second", votes=True),
            expects=has("<second>", says="<second> votes"),
            varies=True,
        ),
        dies("gone", "The removed node is switched off."),
    )


DEMO = Demo(
    name="kv",
    summary="a key-value store: clients, a leader that dies and comes back, members that change",
    about="A replicated key-value store. Its clients are outside and ask any node; a leader is elected, dies, is "
    "replaced and comes back; then nodes are exchanged while writes go on.",
    nodes=4,
    network="delay 100ms 50ms loss 5% duplicate 2% corrupt 5% reorder 8%",
    steps=(
        *_FIRST,
        *_FAILOVER,
        *_MEMBERS,
        *_exchange("One node is removed while another is added, and the client goes on."),
        *_exchange("And the same again."),
        Step(
            says="The client stops. It was answered each number once, whatever happened meanwhile.",
            does=Finish("counting"),
            expects=works("as many as the last number says"),
            varies=True,
        ),
        Step(
            says="And everything is there.",
            does=Typed("get 2; get 3; get 4", "new"),
            expects=exactly('"SISTER"', '"UwU"', '"Onii-ChanDaisuki"'),
        ),
    ),
)
