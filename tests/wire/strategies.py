"""What the tests of the wire and the machine draw their commands, messages and members from."""

from hypothesis import strategies as st

from raftdb.core.membership import Configuration
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import Entry, EntryKind, Member, StartId
from raftdb.endpoint import RedisAddresses
from raftdb.limits import SCAN_LIMIT_MAX, TIME_MS_MAX, TRANSACTION_KEYS_MAX, TTL_MS_MAX
from raftdb.machine.batches import DeleteMany, Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy, IncrementByDecimal
from raftdb.machine.editing import Append, GetRange, SetRange
from raftdb.machine.expiry import ExpireAfter, ExpiryCondition, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.keys import Clear, Copy, KindOf, Rename
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import LeaveLine, Lock, Renew, Unlock, UnlockOwned
from raftdb.machine.locks.looking import LockInfo, Locks
from raftdb.machine.locks.records import LockMode
from raftdb.machine.operations import (
    Comparison,
    Expire,
    GuardedOperation,
    Mode,
    Operation,
    Relation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
)
from raftdb.machine.queues.deliveries import Ack, Extend, GiveBack, Nack
from raftdb.machine.queues.info import QueueInfo
from raftdb.machine.queues.looking import Peek, QueueGet, QueueLength, QueueNames, StateWanted
from raftdb.machine.queues.managing import Purge, QueueDelete, QueueRemove, QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.redriving import Redrive
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, DeletePrefix, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.services import keys_named
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.strings import (
    KEEP_TTL,
    NO_TTL,
    PAST_TTL,
    Binding,
    Condition,
    Delete,
    FencedSet,
    Get,
    GetSet,
    Set,
    Strlen,
)
from raftdb.machine.subsequences import CommonSubsequence
from raftdb.machine.users.service import (
    Presence,
    PutRole,
    PutToken,
    PutUser,
    RemoveRole,
    RemoveToken,
    RemoveUser,
)
from raftdb.wire.fields import NODE_ID_PATTERN
from tests.addresses import at
from tests.blocks import blocks

HOSTILE_BYTES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [b"", b"\x00", b"k" * 480, b"k" * 481, b"k" * 511, b"k" * 512, b"k" * 65536, b"-0", b"nan", b"inf"]
        + [b"%d" % number for number in (-(2**63) - 1, -(2**63), -1, 0, 1, 2**63 - 1, 2**63, 2**64)]
    ),
    st.sampled_from([b"a", b"b", b"c"]),
)
"""Keys and values that no frontend lets through, between ones that meet each other often (hazard B67)."""

INT64 = st.one_of(
    st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1]), st.integers(min_value=-(2**63), max_value=2**63 - 1)
)


TTLS = st.one_of(st.sampled_from([PAST_TTL, KEEP_TTL, NO_TTL, 1, 1000, TTL_MS_MAX, TTL_MS_MAX + 1]), INT64)
"""Times to live that no frontend lets through, between ones that end soon."""

REVISIONS = st.integers(0, 12) | st.integers(0, 2**63 - 1)


def commands(keys: st.SearchStrategy[bytes] = HOSTILE_BYTES) -> st.SearchStrategy[Command]:
    """Every command, with these keys and hostile values."""
    several = st.lists(keys, max_size=4).map(tuple)
    pairs = st.lists(st.tuples(keys, HOSTILE_BYTES), max_size=4).map(tuple)
    conditions = st.sampled_from(Condition)
    return st.one_of(
        st.just(Ping()),
        st.builds(Get, keys),
        st.builds(Set, keys, HOSTILE_BYTES),
        st.builds(Set, keys, HOSTILE_BYTES, TTLS, conditions, st.sampled_from(Binding)),
        st.builds(Strlen, keys),
        st.builds(Delete, keys),
        st.builds(Append, keys, HOSTILE_BYTES),
        st.builds(SetRange, keys, REVISIONS, HOSTILE_BYTES),
        st.builds(Exists, several),
        st.builds(IncrementBy, keys, INT64),
        st.builds(MultiGet, several),
        st.builds(MultiSet, pairs),
        st.builds(MultiSet, pairs, conditions),
        st.builds(DeleteMany, several),
        st.builds(GetSet, keys, HOSTILE_BYTES),
        st.builds(GetSet, keys, HOSTILE_BYTES, TTLS, conditions),
        st.builds(GetRange, keys, INT64, INT64),
        st.builds(IncrementByDecimal, keys, HOSTILE_BYTES | st.sampled_from([b"1e400", b"1e-400", b"-.5e3"])),
        st.builds(KindOf, keys),
        st.builds(CommonSubsequence, keys, keys),
        st.just(Clear()),
        st.builds(DeletePrefix, keys),
        st.builds(Rename, keys, keys, conditions),
        st.builds(Copy, keys, keys, conditions),
        st.builds(CompareAndSet, keys, REVISIONS, HOSTILE_BYTES),
        st.builds(ExpireAfter, keys, TTLS),
        st.builds(ExpireAfter, keys, TTLS, st.sampled_from(ExpiryCondition)),
        st.builds(GetAndExpire, keys, TTLS),
        st.builds(RemoveExpiry, keys),
        st.builds(TimeToLive, keys),
        st.builds(Keys, keys),
        st.builds(Scan, keys, keys, st.sampled_from([0, 1, 2, SCAN_LIMIT_MAX, SCAN_LIMIT_MAX + 1]) | INT64),
        st.just(DatabaseSize()),
        st.builds(FencedSet, keys, HOSTILE_BYTES, keys, TOKENS, TTLS, conditions, st.sampled_from(Binding)),
        lock_commands(keys),
        queue_commands(keys),
    )


MESSAGE_IDS = st.builds(
    lambda index, place: b"%d-%d" % (index, place), st.integers(1, 20), st.sampled_from([0, 0, 1])
) | st.sampled_from([b"", b"1", b"1-", b"-1-1", b"01-1", b"1-4294967296", b"9223372036854775808-0", b"1-1-1"])
RECEIPTS = MESSAGE_IDS.map(lambda text: text + b"-1") | MESSAGE_IDS
COUNTS = st.sampled_from([1, 2, 50, 0, -1, 101]) | INT64.filter(lambda count: not 50 < count <= 100)
REDRIVEN = st.sampled_from([0, 1, 2, 501, 2**63 - 1])
SETTINGS = st.tuples(
    st.sampled_from(
        [b"visibility", b"max_failures", b"dead_letter", b"max_length", b"dedup_window", b"paused", b"x"]
    ),
    st.sampled_from([b"1", b"2", b"0.001", b"-1", b"", b"a", b"b", b"q" * 201, b"\xff", b"9" * 30]),
)


def queue_commands(keys: st.SearchStrategy[bytes]) -> st.SearchStrategy[Command]:
    """Every command on queues, likewise."""
    receipts = st.lists(RECEIPTS, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Enqueue, keys, HOSTILE_BYTES),
        st.builds(
            Enqueue, keys, HOSTILE_BYTES, TTLS, HOSTILE_BYTES, COUNTS, HOSTILE_BYTES, HOSTILE_BYTES, TTLS
        ),
        st.builds(Dequeue, keys),
        st.builds(Receive, keys, COUNTS, TTLS, HOSTILE_BYTES),
        st.builds(Ack, keys, receipts),
        st.builds(Nack, keys, RECEIPTS, TTLS, HOSTILE_BYTES, st.sampled_from(GiveBack)),
        st.builds(Extend, keys, TTLS, receipts),
        st.builds(QueueLength, keys),
        st.builds(QueueInfo, keys),
        st.builds(QueueNames, keys, keys, COUNTS),
        st.builds(Peek, keys, st.sampled_from(StateWanted), MESSAGE_IDS, COUNTS),
        st.builds(QueueGet, keys, MESSAGE_IDS),
        st.builds(QueueRemove, keys, st.lists(MESSAGE_IDS, max_size=4).map(tuple)),
        st.builds(QueueSet, keys, st.lists(SETTINGS, max_size=3).map(tuple)),
        st.builds(
            Redrive,
            keys,
            keys,
            st.lists(MESSAGE_IDS, max_size=3).map(tuple),
            st.sampled_from([0, 1, 2, 501, 2**63 - 1]),
        ),
        st.builds(Purge, keys),
        st.builds(QueueDelete, keys),
    )


TOKENS = st.integers(0, 12).map(lambda index: index << 16) | REVISIONS
LEASES_MS = st.sampled_from([0, 999, 1_000, 30_000, 86_400_000, 86_400_001, 2**63 - 1])
LIMITS = st.sampled_from([0, 1, 2, 1_000_000, 1_000_001])


def lock_commands(names: st.SearchStrategy[bytes] = HOSTILE_BYTES) -> st.SearchStrategy[Command]:
    """Every command about locks, with these names."""
    modes = st.sampled_from(LockMode)
    return st.one_of(
        st.builds(Lock, names, owner=names),
        st.builds(Lock, names, modes, LIMITS, LEASES_MS, names),
        st.builds(Renew, names, TOKENS, LEASES_MS),
        st.builds(Unlock, names, TOKENS),
        st.builds(UnlockOwned, names, names),
        st.builds(LeaveLine, names, names),
        st.builds(Fence, names, TOKENS, modes),
        st.builds(LockInfo, names),
        st.builds(Locks, names, names, LIMITS),
    )


SESSIONS = st.sampled_from([b"s" * 16, b"t" * 16]) | HOSTILE_BYTES
SEQUENCES = st.integers(0, 6) | st.just(2**63 - 1)


def operations(keys: st.SearchStrategy[bytes] = HOSTILE_BYTES) -> st.SearchStrategy[Operation]:
    """Everything that an entry can hold, with these keys."""
    one = commands(keys)
    several = st.lists(one, max_size=5).map(tuple)
    watched = st.lists(st.tuples(keys, REVISIONS), max_size=3).map(tuple)
    comparisons = st.lists(
        st.builds(Comparison, keys, st.sampled_from(Relation), REVISIONS | HOSTILE_BYTES),
        min_size=1,
        max_size=3,
    ).map(tuple)
    transactions = st.builds(TransactionOperation, several, watched, st.sampled_from(Mode)) | st.builds(
        TransactionOperation, several, watched, st.sampled_from(Mode), comparisons, several
    )
    transactions = transactions.filter(lambda operation: keys_named(operation) <= TRANSACTION_KEYS_MAX)
    guards = st.lists(st.builds(Fence, keys, TOKENS) | st.builds(Unlock, keys, TOKENS), max_size=2).map(tuple)
    guarded = st.builds(GuardedOperation, guards, one | transactions)
    once = st.builds(SessionOperation, SESSIONS, SEQUENCES, SEQUENCES, one | transactions | guarded)
    asked = st.one_of(
        one,
        transactions,
        guarded,
        once,
        st.builds(WaitingOperation, one | once),
        st.builds(RegisterSession, SESSIONS, ttl_ms=st.integers(0, 1 << 40)),
        st.builds(KeepSession, SESSIONS, st.integers(0, 1 << 40)),
        st.builds(CloseSession, SESSIONS),
        changes_of_users(),
    )
    return st.one_of(
        asked, st.builds(UserOperation, HOSTILE_BYTES, st.integers(0, 2**63 - 1), asked), st.just(Expire())
    )


def changes_of_users() -> st.SearchStrategy[Operation]:
    """The operations on users, roles and tokens."""
    names, presence = HOSTILE_BYTES, st.sampled_from(Presence)
    several = st.lists(HOSTILE_BYTES, max_size=3).map(tuple)
    return st.one_of(
        st.builds(PutUser, names, HOSTILE_BYTES, several, presence),
        st.builds(RemoveUser, names),
        st.builds(PutRole, names, several, presence),
        st.builds(RemoveRole, names),
        st.builds(PutToken, names, names, HOSTILE_BYTES, st.integers(0, 1 << 40)),
        st.builds(RemoveToken, names, names),
    )


NODES = st.from_regex(NODE_ID_PATTERN, fullmatch=True)
NUMBERS = st.one_of(st.integers(0, 10), st.integers(0, 2**63 - 1), st.just(2**63 - 1))
TIMES = st.one_of(st.integers(0, 10), st.integers(0, TIME_MS_MAX), st.just(TIME_MS_MAX))
UUIDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
LONGEST_HOST = ".".join(["h" * 63] * 3 + ["h" * 61])
ADDRESSES = st.builds(
    lambda host, port: at(f"{host}:{port}"),
    st.from_regex(r"[a-z]([a-z0-9_-]{0,10}[a-z0-9])?(\.[a-z]{1,5}){0,3}", fullmatch=True)
    | st.sampled_from(["127.0.0.1", "[::1]", "[fe80::1%eth0]", "xn--bcher-kva.example", LONGEST_HOST]),
    st.integers(1, 65535),
)
REDIS_ADDRESSES = st.builds(RedisAddresses, st.none() | ADDRESSES, st.none() | ADDRESSES)


@st.composite
def append_entries(draw: st.DrawFn) -> AppendEntries:
    """An AppendEntries whose entries follow each other, with terms that never fall."""
    terms = sorted(draw(st.lists(st.one_of(st.integers(0, 3), NUMBERS), max_size=12)))
    previous_index = draw(st.integers(0, 2**63 - 1 - len(terms)))
    entries = blocks(
        Entry(previous_index + offset, term, draw(st.sampled_from(EntryKind)), draw(st.binary(max_size=40)))
        for offset, term in enumerate(terms, start=1)
    )
    source, target = draw(NODES), draw(NODES)
    return AppendEntries(source, target, draw(NUMBERS), previous_index, draw(NUMBERS), draw(NUMBERS), entries)


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(RequestPreVote, NODES, NODES, NUMBERS, NUMBERS, NUMBERS),
    st.builds(RequestPreVoteReply, NODES, NODES, NUMBERS, st.booleans()),
    st.builds(RequestVote, NODES, NODES, NUMBERS, NUMBERS, NUMBERS, st.booleans()),
    st.builds(RequestVoteReply, NODES, NODES, NUMBERS, st.booleans()),
    append_entries(),
    st.builds(AppendEntriesReply, NODES, NODES, NUMBERS, NUMBERS, st.booleans(), NUMBERS, NUMBERS, NUMBERS),
    st.builds(Heartbeat, NODES, NODES, NUMBERS, NUMBERS, NUMBERS, TIMES),
    st.builds(HeartbeatReply, NODES, NODES, NUMBERS, NUMBERS, st.booleans()),
    st.builds(
        InstallSnapshot,
        *(NODES, NODES, *[NUMBERS] * 4, st.binary(max_size=2_000)),
        *(NUMBERS, st.binary(min_size=32, max_size=32)),
    ),
    st.builds(TimeoutNow, NODES, NODES, NUMBERS, NUMBERS, NUMBERS),
    st.builds(ReadIndex, NODES, NODES, NUMBERS, NUMBERS),
    st.builds(ReadIndexReply, NODES, NODES, NUMBERS, NUMBERS, NUMBERS),
)


NONCES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
STARTS = st.builds(StartId, NUMBERS, NONCES)


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """Up to seven members, voters and learners of both kinds, and ids that were removed."""
    ids = sorted(draw(st.sets(NODES, max_size=7)))
    members = []
    for node in ids:
        voter = draw(st.booleans())
        joining = not voter and draw(st.booleans())
        uuid = draw(st.none() | UUIDS)
        members.append(
            Member(
                node,
                draw(ADDRESSES),
                draw(REDIS_ADDRESSES),
                voter,
                joining,
                uuid,
                draw(st.none() | STARTS),
            )
        )
    return Configuration(tuple(members), tuple(sorted(draw(st.sets(NODES, max_size=5)).difference(ids))))


CONFIGURATIONS = configurations()

PLAIN_VALUES: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=20)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3) | st.binary(max_size=3), inner)
    ),
    max_leaves=20,
)
"""What CBOR carries for us. Keys of maps are text or byte strings."""


def exactly_equal(left: object, right: object) -> bool:
    """Return whether two values are equal in their types too, all the way down: 1 is not True and not 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(exactly_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(exactly_equal(left[key], right[key]) for key in left)
    slots = getattr(type(left), "__slots__", ())
    if slots and not isinstance(left, tuple):
        return all(exactly_equal(getattr(left, name), getattr(right, name)) for name in slots)
    return left == right
