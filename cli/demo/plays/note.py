"""A page of text that is written and read at any of five nodes."""

from cli.demo.actions import Curl
from cli.demo.plays.scenes import catches_up, dies, election, others_vote, returns
from cli.demo.results import exactly
from cli.demo.steps import Demo, Step

_FIRST = "Dear all,"
_SECOND = "Dear all,\nthe meeting is at ten."
_THIRD = "Dear all,\nthe meeting is at eleven.\nBring cake."


def _writes(says: str, text: str, at: str) -> Step:
    return Step(
        says=says,
        does=Curl(at, "/write_data", form=("textareaData", text), follows=True),
        expects=exactly("ok"),
    )


def _reads(says: str, text: str, at: str) -> Step:
    return Step(says=says, does=Curl(at, "/read_data", follows=True), expects=exactly(*text.split("\n")))


DEMO = Demo(
    name="note",
    summary="a page of text, written and read through any of five nodes",
    about="A page of text that all share. In a browser it is /note at every node; plain clients read and write it as "
    "here. The node that is asked sends the client on to the leader, which has the one text.",
    nodes=5,
    network="delay 50ms 20ms loss 2%",
    steps=(
        election(),
        _writes("Somebody begins a page, at the leader.", _FIRST, "leader"),
        _reads("It is read at another node.", _FIRST, "follower"),
        _writes("Somebody else goes on there.", _SECOND, "follower"),
        _reads("It is the same at the leader.", _SECOND, "leader"),
        _reads("And at any other node.", _SECOND, "follower2"),
        dies("leader", "The leader, <leader>, is killed.", "old"),
        others_vote("old", says="The others vote."),
        _reads("The page is there.", _SECOND, "follower"),
        _writes("And goes on.", _THIRD, "follower"),
        returns("old", "<old> comes back."),
        catches_up("old"),
        _reads("The page, read through <old>, is that of now.", _THIRD, "old"),
    ),
)
