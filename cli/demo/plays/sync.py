"""Locks, a deadlock, and a queue that delivers at least once."""

from cli.demo.actions import Beside, Curl, Ends, Typed
from cli.demo.plays.scenes import dies, election, others_vote
from cli.demo.results import exactly, fails, has, works
from cli.demo.steps import Demo, Step


def _asks(says: str, owner: str, kind: str, answer: str) -> Step:
    return Step(
        says=says,
        does=Curl(
            "follower",
            "/locks/table",
            body={"lock_type": kind, "timeout": 0, "owner": owner},
            follows=True,
        ),
        expects=has(f'"acquired":{answer}'),
        varies=True,
    )


def _takes(says: str, owner: str, lock: str) -> Step:
    return Step(
        says=says,
        does=Typed(f"lock {lock} TTL 600 OWNER {owner}", "follower", who=owner),
        expects=has("exclusive", says="the lock, with its token"),
        varies=True,
    )


_LOCKS = (
    election(),
    Step(
        says="Every node tells who leads.",
        does=Curl("follower", "/health"),
        expects=has('"is_leader":false', '"leader":"<leader>"', says="it does not, and <leader> leads"),
        varies=True,
    ),
    _asks("Ana takes a lock that she shares.", "ana", "shared", "true"),
    _asks("So does Budi, beside her.", "budi", "shared", "true"),
    _asks("Cici wants it for herself, and does not get it.", "cici", "exclusive", "false"),
    _takes("Ana takes lock a.", "ana", "a"),
    _takes("Budi takes lock b.", "budi", "b"),
    Step(
        says="Ana waits for b, which Budi holds.",
        does=Beside("ana", Typed("lock b TTL 600 OWNER ana WAIT 50", "follower", who="ana")),
        expects=has("(waits)"),
        varies=True,
    ),
    Step(
        says="Budi wants a, which Ana holds. Both would wait for ever, so he is told at once.",
        does=Typed("lock a TTL 600 OWNER budi WAIT 50", "follower", who="budi"),
        expects=fails("ana", "budi", says="an error: ana waits for budi, and budi for ana"),
        varies=True,
    ),
    Step(
        says="He gives b back.",
        does=Curl("follower", "/locks/b?owner=budi", method="DELETE", follows=True),
        expects=has('"released":true'),
        varies=True,
    ),
    Step(
        says="Ana has it in the same moment.",
        does=Ends("ana"),
        expects=has("exclusive", says="the lock, with its token"),
        varies=True,
    ),
    Step(
        says="Cici waits for a.",
        does=Beside("cici", Typed("lock a TTL 600 OWNER cici WAIT 50", "follower", who="cici")),
        expects=has("(waits)"),
        varies=True,
    ),
    dies("leader", "The leader, <leader>, which holds her request, is killed.", "old"),
    others_vote("old", says="The others vote."),
    Step(
        says="Ana gives a back.",
        does=Curl("leader", "/locks/a?owner=ana", method="DELETE", follows=True),
        expects=has('"released":true'),
        varies=True,
    ),
    Step(
        says="Cici, who waits at the new leader by now, has it.",
        does=Ends("cici"),
        expects=has("exclusive", says="the lock, with its token"),
        varies=True,
    ),
)

_QUEUE = (
    Step(
        says="A queue of jobs: what has failed twice goes to another queue.",
        does=Typed("qset jobs max_failures 2 dead_letter dead; qset dead paused 0", "leader"),
        expects=exactly("OK", "OK"),
    ),
    Step(
        says="A job is put.", does=Typed("enqueue jobs mend-the-roof", "leader"), expects=works(), varies=True
    ),
    Step(
        says="A worker gets it, and dies without a word: it was to be done within 200 ms.",
        does=Typed("receive jobs VISIBILITY 0.2", "leader"),
        expects=has("1", '"mend-the-roof"', says="the job, delivered once"),
        varies=True,
    ),
    Step(
        says="So another one gets it. It dies, too.",
        does=Typed("receive jobs VISIBILITY 0.2 WAIT 30", "leader"),
        expects=has("2", '"mend-the-roof"', says="the job, delivered twice"),
        keeps=r"(?P<late>\d+-\d+-2)",
        varies=True,
    ),
    Step(
        says="Nobody gets it a third time: it waits in the other queue for a person.",
        does=Typed("receive dead WAIT 30", "leader"),
        expects=has('"mend-the-roof"', says="the job"),
        keeps=r"(?P<receipt>\d+-\d+-1)",
        varies=True,
    ),
    Step(
        says="The second worker was only slow, and says now that it is done. That is too late.",
        does=Typed("ack jobs <late>", "leader"),
        expects=exactly("0"),
        varies=True,
    ),
    Step(
        says="The person has done it.",
        does=Typed("ack dead <receipt>; qlen dead; qlen jobs", "leader"),
        expects=exactly("1", "0", "0"),
        varies=True,
    ),
)

DEMO = Demo(
    name="sync",
    summary="locks with a deadlock, and a queue that delivers at least once",
    about="A synchronisation service. Locks are shared or exclusive; who would wait for ever is told at once; who "
    "waits goes on waiting when the leader dies. A job whose worker dies is given to another one.",
    nodes=3,
    network=None,
    steps=(*_LOCKS, *_QUEUE),
)
