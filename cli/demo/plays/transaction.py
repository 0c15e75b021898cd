"""Money that moves from one account to another, while the leader dies between begin and commit."""

from cli.demo.actions import Typed
from cli.demo.plays.scenes import catches_up, dies, election, others_vote, returns
from cli.demo.results import exactly, fails, has
from cli.demo.steps import Demo, Step

DEMO = Demo(
    name="transaction",
    summary="money: the leader dies between begin and commit, and nothing is lost or done twice",
    about="Two accounts, and money that moves between them in transactions: all of one happens, or nothing. The leader "
    "dies in the middle; and of two that read the same only one may write.",
    nodes=3,
    network=None,
    steps=(
        election(),
        Step(
            says="Ana and Budi have 100 each.",
            does=Typed("mset ana 100 budi 100", "follower"),
            expects=exactly("OK"),
        ),
        Step(
            says="Ana begins to send 30: what she reads is answered at once, what she writes waits.",
            names={"hers": "follower"},
            does=Typed("begin; get ana; incrby ana -30; incrby budi 30", "hers", who="ana"),
            expects=exactly("OK", '"100"', "QUEUED", "QUEUED"),
        ),
        Step(
            says="Nobody else sees anything of it yet.",
            does=Typed("mget ana budi", "leader"),
            expects=exactly('1) "100"', '2) "100"'),
        ),
        dies("leader", "The leader, <leader>, is killed before she commits.", "old"),
        others_vote("old", says="The others vote."),
        Step(
            says="She commits, at the same node as before.",
            does=Typed("commit", "hers", who="ana"),
            expects=has("OK (index"),
            varies=True,
        ),
        Step(
            says="The money has moved, once, and the sum is what it was.",
            does=Typed("mget ana budi", "leader"),
            expects=exactly('1) "70"', '2) "130"'),
        ),
        Step(
            says="It is one entry of the log: all of it, or nothing.",
            does=Typed(".log 1 1000", "leader"),
            expects=has(
                "mset ana 100 budi 100", "transaction", says="one transaction behind the first write"
            ),
            varies=True,
        ),
        returns("old", "<old> comes back."),
        catches_up("old"),
        Step(
            says="Ana and Budi both read her account, to write what they make of it.",
            does=Typed("begin; get ana; set ana 60", "hers", who="ana"),
            expects=exactly("OK", '"70"', "QUEUED"),
        ),
        Step(
            says="Budi does so at another node.",
            does=Typed("begin; get ana; set ana 170", "old", who="budi"),
            expects=exactly("OK", '"70"', "QUEUED"),
        ),
        Step(
            says="Budi is first.",
            does=Typed("commit", "old", who="budi"),
            expects=has("OK (index"),
            varies=True,
        ),
        Step(
            says="What Ana has read is true no more, so nothing of hers happens.",
            does=Typed("commit", "hers", who="ana"),
            expects=fails("CONFLICT ana", "nothing was changed", says="CONFLICT ana"),
        ),
        Step(
            says="No update was lost without notice.",
            does=Typed("mget ana budi", "leader"),
            expects=exactly('1) "170"', '2) "130"'),
        ),
    ),
)
