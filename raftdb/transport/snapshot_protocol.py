"""What is said while a snapshot travels to a peer, and what either end needs of the node around it.

A snapshot is one file: bytes with a size and a SHA-256. It travels over HTTP, on the address of the peers, beside the
links of the core, so that no heartbeat waits behind it:

* `POST /v1/peer/snapshot` with an `Offer`: who calls, in which term it leads, and which snapshot it brings. The answer
  is `Accepted`: who answers, a token for this transfer, and the offset to go on from.
* `PUT /v1/peer/snapshot`: one piece; token, offset and CRC-32 are in headers. The answer is `Progress`, after the
  receiver has taken the piece; `Misplaced` says which offset is wanted instead (hazard B33).
* `POST /v1/peer/snapshot/finish`: all is there; the receiver verifies the whole. That may take long, so the
  answer may be `Verifying` (ask again) before it is `Complete`.

`Declined` may answer each of them. After every lost connection, refusal of a piece or unknown token the sender begins
again with its offer, and so learns where to go on: there is no state that only the sender knows. Bodies that are not
pieces are sealed CBOR maps, as the handshake of a link is; what is not ours is refused before anything changes.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from raftdb.errors import RemoteProtocolError
from raftdb.transport.limits import PEER_PATH
from raftdb.wire import cbor
from raftdb.wire.fields import Check, check_fields, is_bytes, is_number, is_text
from raftdb.wire.frames import seal, unseal
from raftdb.wire.handshake import HANDSHAKE_BYTES_MAX, decode_handshake
from raftdb.wire.peer import Hello, Welcome, encode_handshake

SNAPSHOT_PATH = PEER_PATH + "/snapshot"
"""POST an offer, PUT a piece."""
SNAPSHOT_FINISH_PATH = SNAPSHOT_PATH + "/finish"
"""POST when all pieces are there."""

TOKEN_HEADER = "Raftdb-Transfer"
OFFSET_HEADER = "Raftdb-Offset"
CHECKSUM_HEADER = "Raftdb-Crc32"
CONTENT_TYPE = "application/cbor"

MESSAGE_BYTES_MAX = 2 * HANDSHAKE_BYTES_MAX
"""Longest body that is not a piece: a handshake and a few fields."""
MESSAGE_ITEMS_MAX = 64
PIECE_BYTES_MAX = 4 * 1024 * 1024
"""Longest piece that a receiver takes: it is held in memory once."""
SHA256_BYTES = 32

BUSY = "busy"
"""Code of a refusal that may pass by itself."""
UNKNOWN_TRANSFER = "unknown_transfer"
"""Code of the refusal of a token: the receiver was started again, or takes another transfer now."""
PIECE_DAMAGED = "piece_damaged"
"""Code of the refusal of a piece that does not match its checksum."""
RETRY_CODES = frozenset({BUSY, UNKNOWN_TRANSFER, PIECE_DAMAGED})
"""After these the sender begins again; any other refusal ends the delivery."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Which snapshot travels. Two transfers are the same if they are equal: the bytes are the same, whoever sends.

    `index` and `term` name the last entry that the state in it has applied; `sha256` is over all `size_bytes`.
    """

    cluster_id: str
    index: int
    term: int
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """What a transfer may hold and how long its steps may take, in bytes and seconds. There is no limit on the whole.

    `piece_bytes`: what the sender reads and sends at once, at most `PIECE_BYTES_MAX`; after a piece that timed out the
    next delivery to that peer uses half, down to `piece_bytes_min`. `bytes_per_second_max`: 0 is no limit.
    `attempts_max`: how often in a row the sender begins (again) without a byte more than before.
    `finish_wait_s`: after that the receiver answers that it is still verifying.
    """

    piece_bytes: int = 2 * 1024 * 1024
    piece_bytes_min: int = 64 * 1024
    bytes_per_second_max: int = 256 * 1024 * 1024
    dial_timeout_s: float = 10.0
    offer_timeout_s: float = 30.0
    piece_timeout_s: float = 30.0
    finish_timeout_s: float = 30.0
    finish_wait_s: float = 5.0
    attempts_max: int = 8
    backoff_min_s: float = 0.05
    backoff_max_s: float = 2.0
    offers_pending_max: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.piece_bytes_min <= self.piece_bytes <= PIECE_BYTES_MAX:
            raise ValueError(f"piece_bytes is from piece_bytes_min to {PIECE_BYTES_MAX}")


class SnapshotSource(Protocol):
    """A snapshot to send. Its bytes never change while it is used."""

    @property
    def index(self) -> int:
        """Index of the last entry applied in it."""

    @property
    def term(self) -> int:
        """Term of that entry."""

    @property
    def size_bytes(self) -> int:
        """Length of the whole, above 0."""

    @property
    def sha256(self) -> bytes:
        """Digest of the whole, as the receiver will compute it."""

    def read(self, offset: int, bytes_max: int) -> bytes:
        """At most `bytes_max` bytes from `offset` on, at least one before the end. May block; raises OSError."""


class PieceDamaged(Exception):
    """A receiver's answer to a piece that does not match its checksum, or differs from what was there before."""


class PieceMisplaced(Exception):
    """A receiver's answer to a piece that is not the next one. `offset` is the one wanted."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the next piece begins at {offset}")
        self.offset = offset


class SnapshotRefused(Exception):
    """A receiver's answer to an offer or a whole that it does not take, with a `code` and a `reason` for the sender."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Receiver(Protocol):
    """Takes one snapshot at a time to disk. All calls may block; they come from one thread, one after the other.

    Anything raised beyond what is named here is a failure of the receiver: the delivery ends, what was written stays.
    """

    def begin(self, transfer: Transfer) -> int:
        """The offset to go on from: `size_bytes` if all is there. Another transfer's bytes are thrown away.

        Raises SnapshotRefused.
        """

    def write(self, offset: int, piece: bytes, crc32: int) -> int:
        """Take one piece; returns the next offset. A piece that is there already is no error.

        Raises PieceDamaged, PieceMisplaced, SnapshotRefused.
        """

    def finish(self) -> None:
        """Verify the whole and keep it for installation; nothing happens if that was done. Raises SnapshotRefused."""

    def discard(self) -> None:
        """Throw away what was received."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Said by a leader that brings a snapshot. `leader_term` is the term that it leads in."""

    hello: Hello
    leader_term: int
    index: int
    term: int
    size_bytes: int
    sha256: bytes

    @property
    def transfer(self) -> Transfer:
        """Which snapshot is offered."""
        return Transfer(self.hello.cluster_id, self.index, self.term, self.size_bytes, self.sha256)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an offer. Pieces bear the `token` and begin at `offset`."""

    welcome: Welcome
    token: str
    offset: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The answer to a piece that was taken: the next begins at `offset`."""

    offset: int


@dataclass(frozen=True, slots=True)
class Misplaced:
    """The answer to a piece, or a finish, that does not come next: `offset` is wanted."""

    offset: int


@dataclass(frozen=True, slots=True)
class Verifying:
    """The answer to a finish that takes longer: ask again."""


@dataclass(frozen=True, slots=True)
class Complete:
    """The answer to a finish: the snapshot is whole, verified and kept."""


@dataclass(frozen=True, slots=True)
class Declined:
    """No, with a `code` for programs and a `reason` for people."""

    code: str
    reason: str


Answer: TypeAlias = Accepted | Progress | Misplaced | Verifying | Complete | Declined
TransferMessage: TypeAlias = Offer | Answer


def _is_size(value: object) -> bool:
    return is_number(value) and value != 0


def _is_sha256(value: object) -> bool:
    return type(value) is bytes and len(value) == SHA256_BYTES


MESSAGE_FIELDS: dict[type[TransferMessage], dict[str, Check]] = {
    Offer: {
        "hello": is_bytes,
        "leader_term": is_number,
        "index": is_number,
        "term": is_number,
        "size_bytes": _is_size,
        "sha256": _is_sha256,
    },
    Accepted: {"welcome": is_bytes, "token": is_text, "offset": is_number},
    Progress: {"offset": is_number},
    Misplaced: {"offset": is_number},
    Verifying: {},
    Complete: {},
    Declined: {"code": is_text, "reason": is_text},
}
"""The fields of each message, in the order of its class, and what each must be. Handshakes travel sealed inside."""

_TYPES = {type_.__name__.lower(): type_ for type_ in MESSAGE_FIELDS}
_INTRODUCTIONS: dict[str, type[Hello] | type[Welcome]] = {"hello": Hello, "welcome": Welcome}


def encode_message(message: TransferMessage) -> bytes:
    """Return the sealed body of `message`."""
    type_ = type(message)
    facts: dict[str, object] = {"type": type_.__name__.lower()}
    for name in MESSAGE_FIELDS[type_]:
        value = getattr(message, name)
        facts[name] = encode_handshake(value) if name in _INTRODUCTIONS else value
    return seal(cbor.encode(facts))


def decode_message(data: bytes) -> TransferMessage:
    """Return the message in the sealed body `data`, or raise `RemoteProtocolError`. Only the form is checked."""
    body = unseal(data, bytes_max=MESSAGE_BYTES_MAX)
    facts = cbor.decode(body, bytes_max=MESSAGE_BYTES_MAX, items_max=MESSAGE_ITEMS_MAX)
    if type(facts) is not dict:
        raise RemoteProtocolError("a message of a snapshot transfer is not a map")
    name = facts.get("type")
    type_ = _TYPES.get(name) if type(name) is str else None
    if type_ is None:
        raise RemoteProtocolError("a message of a snapshot transfer is of no known type")
    fields = MESSAGE_FIELDS[type_]
    # Absent is as bad as wrong: None fits none of the checks.
    values = [facts.get(field) for field in fields]
    check_fields(type_.__name__, tuple(fields), tuple(fields.values()), values)
    for position, field in enumerate(fields):
        if field in _INTRODUCTIONS:
            introduction = decode_handshake(bytes(facts[field]))
            if type(introduction) is not _INTRODUCTIONS[field]:
                raise RemoteProtocolError(f"{type_.__name__} has a bad {field}")
            values[position] = introduction
    # The checks above have made sure of the types that the class declares.
    return type_(*values)  # type: ignore[arg-type]
