"""Starts of nodes: how a folder that was put back to an older copy of itself is found out (hazard B108).

A process that starts finds the folder as the last one left it, or an older copy of it: one made by `cp -a`, or a
snapshot of the disk or the virtual machine. Nothing in the folder can tell which. The other nodes can tell: each start
writes a number, one more than before, and a nonce, before it says anything, and each node writes down the last start
that it has met of each member, before it counts anything that start says (`meet`). A start was put back if

* its number is not greater than that of the one that is known, or is the next and names another predecessor; or
* it has forgotten what this very node, leading, had from the start before: see `has_forgotten`.

The node itself finds out likewise. A peer that shakes hands with it says which start of it was known before, and that
start may be one that this folder knows nothing of (`is_forgotten`). No peer can make such a start up: every nonce is
sealed with a secret of the folder, which every copy of it has and which never leaves it. So one lying peer cannot make
a node doubt its own memory. From then on the node says of itself that it was put back; peers may believe that, because
it harms no other node.

The core decides what follows from being put back (`raftdb.core.doubts`). This module is pure: the caller keeps the
records.

Some cases cannot be found out: a node that was alone was put back; all nodes that knew its forgotten starts are gone,
or were put back, too; or an older copy of a running machine goes on once another node leads than the one that it
acknowledged to. See the README.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from raftdb.core.model import NodeId, StartId
from raftdb.core.state import RaftState
from raftdb.errors import Fatal
from raftdb.wire import cbor
from raftdb.wire.fields import is_nonce, is_start_or_none, start_of
from raftdb.wire.handshake import Hello, Welcome

SECRET_BYTES = 32
NONCE_BYTES = 8
SEAL_BYTES = 8
"""The numbers of the nonce's 16 bytes that are drawn at random, and that the folder's secret makes of those."""
EARLIER_MAX = 64
"""How many of its own earlier starts a folder keeps."""
DOUBTED_MAX = 64
"""How many starts of one node are kept while it is in doubt."""
RECORD_BYTES_MAX = 1 << 14

Draw = Callable[[int], bytes]
"""Draws so many random bytes."""


@dataclass(frozen=True, slots=True)
class OwnStarts:
    """What a folder knows of its own starts: the present one, and those `earlier`, the last at the end.

    `forgotten`: the highest number of a start that the folder had forgotten, as far as it was told. Its next start has
    a higher one; so later messages about numbers up to that concern a time that is over. `doubted`: nonces of the
    starts since it was found out that the folder was put back; empty if it was not, or counts again.
    """

    start: StartId
    secret: bytes
    earlier: tuple[StartId, ...] = ()
    doubted: tuple[str, ...] = ()
    forgotten: int = 0

    @property
    def predecessor(self) -> str | None:
        """The nonce of the start before this one."""
        return self.earlier[-1].nonce if self.earlier else None


@dataclass(frozen=True, slots=True)
class KnownStarts:
    """The record of a member: the `last` start that was met, and the one known `before` that.

    `doubted`: nonces of the starts met since it was found out that the folder was put back; `before` is then the one
    that proves it.
    """

    last: StartId
    before: StartId | None = None
    doubted: tuple[str, ...] = ()


def next_start(stored: bytes | None, draw: Draw) -> OwnStarts:
    """The start that follows those in the folder; it has to be written down before the node sends anything."""
    if stored is None:
        secret = draw(SECRET_BYTES)
        return OwnStarts(_numbered(1, secret, draw), secret)
    known = decode_own(stored)
    start = _numbered(max(known.start.number, known.forgotten) + 1, known.secret, draw)
    earlier = (*known.earlier, known.start)[-EARLIER_MAX:]
    doubted = (*known.doubted, start.nonce)[-DOUBTED_MAX:] if known.doubted else ()
    return OwnStarts(start, known.secret, earlier, doubted, known.forgotten)


def _numbered(number: int, secret: bytes, draw: Draw) -> StartId:
    drawn = draw(NONCE_BYTES).hex()
    return StartId(number, drawn + _seal(secret, number, drawn))


def _seal(secret: bytes, number: int, drawn: str) -> str:
    """The seal of a start, which only the folder's secret can make."""
    return hmac.new(secret, f"{number}:{drawn}".encode(), hashlib.sha256).digest()[:SEAL_BYTES].hex()


def credential_for(own: OwnStarts, peer: NodeId) -> str:
    """The secret that this folder tells that peer and no other, the same in every start."""
    return hmac.new(own.secret, f"to {peer}".encode(), hashlib.sha256).hexdigest()


def is_forgotten(own: OwnStarts, told: StartId | None) -> bool:
    """True if `told` was a start of this very folder, and the folder does not know of it: so it was put back."""
    if told is None or told.number <= own.forgotten:
        return False
    drawn, seal = told.nonce[: 2 * NONCE_BYTES], told.nonce[2 * NONCE_BYTES :]
    if not hmac.compare_digest(seal.encode(), _seal(own.secret, told.number, drawn).encode()):
        return False
    if told.number > own.start.number:
        return True
    known = next((start for start in (own.start, *own.earlier) if start.number == told.number), told)
    return known != told


def has_superseded(known: KnownStarts | None, start: StartId) -> bool:
    """True if this start was met before, and a later one since: its messages come too late (hazard B95)."""
    if known is None or start == known.last:
        return False
    return start == known.before or start.nonce in known.doubted


def meet(
    core: RaftState, known: KnownStarts | None, introduction: Hello | Welcome
) -> tuple[KnownStarts, bool]:
    """The record to write of the node that introduces itself, and whether this shows that it was put back.

    The record may be the one that is there. It has to be on disk before anything that the node says is counted.
    """
    node, start = introduction.source, introduction.start
    is_doubted = known is not None and is_in_doubt(core, node, known.doubted)
    if known is not None and known.last == start:
        if not introduction.put_back or is_doubted or start.nonce in known.doubted:
            return known, False
        return replace(known, doubted=(start.nonce,)), True
    # A node that was never met is known from the configuration. For a node that was met, the configuration may be
    # outdated: after a start of this node little is known to be committed.
    last = _committed_start(core, node) if known is None else known.last
    is_sound = follows(last, start, introduction.predecessor)
    is_found = not is_sound or has_forgotten(core, introduction) or (introduction.put_back and not is_doubted)
    if is_found:
        # A configuration that names an earlier start says nothing of a folder that was put back since.
        return KnownStarts(start, last, (start.nonce,)), True
    if known is not None and is_doubted:
        doubted = (*known.doubted, start.nonce)[-DOUBTED_MAX:]
        return KnownStarts(start, known.before, doubted), False
    return KnownStarts(start, last), False


def follows(known: StartId | None, start: StartId, predecessor: str | None) -> bool:
    """True if `start` is the start that is known or can come after it. Starts in between may have met no node."""
    if known is None or start == known:
        return True
    if start.number == known.number + 1:
        return predecessor == known.nonce
    return start.number > known.number


def has_forgotten(core: RaftState, introduction: Hello | Welcome) -> bool:
    """True if this node leads, and the new start of a follower lacks what an earlier one has told it in this term.

    That is certain only for a disk that has not gone on to a later term. It finds a disk that was put back to a state
    after its process's last start, which no number of starts can show.
    """
    node = introduction.source
    progress = None if core.leadership is None else core.leadership.progress.get(node)
    if progress is None or core.starts.get(node) in (None, introduction.start):
        return False
    if introduction.disk_term == core.term:
        return introduction.disk_last_index < progress.match_index
    return introduction.disk_term < core.term and progress.has_answered


def is_in_doubt(core: RaftState, node: NodeId, doubted: Sequence[str]) -> bool:
    """True if a folder was put back, and none of its starts since is in a committed configuration."""
    accepted = _committed_start(core, node)
    return bool(doubted) and (accepted is None or accepted.nonce not in doubted)


def _committed_start(core: RaftState, node: NodeId) -> StartId | None:
    """The start of a member that the committed configuration names: a node that joined later knows it from there."""
    member = core.configurations.committed_at(core.commit_index)[1].find(node)
    return None if member is None else member.start


def encode_own(own: OwnStarts) -> bytes:
    """The record of a folder's own starts."""
    earlier = [list(start) for start in own.earlier]
    return cbor.encode([list(own.start), own.secret, earlier, list(own.doubted), own.forgotten])


def decode_own(data: bytes) -> OwnStarts:
    """The inverse of `encode_own`. Raises `Fatal` for anything else."""
    match _decode(data):
        case [start, bytes() as secret, list() as earlier, list() as doubted, int() as forgotten]:
            if all(map(is_start_or_none, (start, *earlier))) and all(map(is_nonce, doubted)):
                last, *before = (start_of(one) for one in (start, *earlier))
                if last is not None:
                    known = tuple(one for one in before if one is not None)
                    return OwnStarts(last, secret, known, tuple(doubted), forgotten)
    raise Fatal("what is stored of this node's starts is not readable", exit_code=4)


def encode_known(known: KnownStarts) -> bytes:
    """The record of a member's starts."""
    before = None if known.before is None else list(known.before)
    return cbor.encode([list(known.last), before, list(known.doubted)])


def decode_known(data: bytes) -> KnownStarts:
    """The inverse of `encode_known`. Raises `Fatal` for anything else."""
    match _decode(data):
        case [last, before, list() as doubted] if is_start_or_none(last) and is_start_or_none(before):
            known = start_of(last)
            if known is not None and all(map(is_nonce, doubted)):
                return KnownStarts(known, start_of(before), tuple(doubted))
    raise Fatal("what is stored of a member's starts is not readable", exit_code=4)


def _decode(data: bytes) -> object:
    return cbor.decode(data, bytes_max=RECORD_BYTES_MAX, items_max=8 * EARLIER_MAX)
