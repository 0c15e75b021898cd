"""What nodes read of each other, and whoever claims to be one: frames, handshakes, entries, snapshots."""

import asyncio
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from zlib import crc32

from raftdb.core.block import Block, blocks_of
from raftdb.core.membership import Configuration
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    InstallSnapshot,
    Message,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
)
from raftdb.core.model import EntryKind, Member, StartId
from raftdb.endpoint import RedisAddresses
from raftdb.errors import RemoteProtocolError, RequestRefused
from raftdb.forwarding.frames import (
    decode_answers,
    decode_requests,
    encode_answers,
    encode_operation,
    encode_outcome,
)
from raftdb.machine import entries
from raftdb.machine.operations import (
    GuardedOperation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    asked_of,
)
from raftdb.machine.queues.taking import Dequeue
from raftdb.machine.service import Query
from raftdb.machine.sessions import KeepSession, RegisterSession
from raftdb.machine.strings import Set
from raftdb.transport.joining import parse_member
from raftdb.transport.proof import PeerProof
from raftdb.transport.sealed_requests import SEAL_HEADER, read_tag
from raftdb.transport.snapshot_server import parse_hello, parse_range, parse_welcome, write_introduction
from raftdb.transport.upgrade import _Answer
from raftdb.wire import cbor
from raftdb.wire.configuration import decode_configuration, encode_configuration
from raftdb.wire.frames import seal
from raftdb.wire.handshake import (
    PROTOCOL_VERSION,
    Hello,
    Refused,
    Welcome,
    decode_handshake,
    encode_handshake,
)
from raftdb.wire.peer import decode_frame, encode_frame
from raftdb.wire.sealing import UNSEALED, Seal, SealedByDialler, SealedByListener
from raftdb.wire.stream import FrameReader, Kind, head_of
from storage.errors import SnapshotDamaged, SnapshotForeign
from storage.manifest import (
    HEADER_BYTES,
    MAGIC,
    Manifest,
    decode_header,
    encode_header,
    pack_container,
    unpack_container,
)
from tests.addresses import at
from tests.forwarding.test_frames import OPERATIONS, OUTCOMES
from tests.fuzz.harness import Decoder, pieces

NAME = b"s" * 16
BLOCKS = tuple(blocks_of(11, 1, EntryKind.COMMAND, [b"x", b"yz", b""]))
SECRET = b"s" * 32
MESSAGES: list[Message] = [
    RequestVote("n1", "n2", 3, 4, 5, True),
    RequestVoteReply("n1", "n2", 3, False),
    AppendEntries("n1", "n2", 9, 10, 1, 5, BLOCKS),
    AppendEntriesReply("n1", "n2", 3, 4, True, 5, 6, 7),
    Heartbeat("n1", "n2", 2, 3, 4, 1_700_000_000_000),
    InstallSnapshot("n1", "n2", 1, 2, 3, 4, b"configuration", 5, bytes(32)),
    ReadIndexReply("n1", "n2", 1, 2, 3),
]
INTRODUCTION: tuple[Any, ...] = (
    *(PROTOCOL_VERSION, "c1", "n1", "n2", "u1", StartId(3, "c"), "b", False, StartId(7, "g"), 2, 9, "life"),
    *("secret", at("h:1"), RedisAddresses(at("h:2"))),
)
HANDSHAKES = (Hello(*INTRODUCTION), Welcome(*INTRODUCTION), Refused("busy", "not now", "n3"))
CONFIGURATION = Configuration(
    (
        Member("n1", at("h:1"), RedisAddresses(at("h:2")), uuid="u", start=StartId(7, "a")),
        Member("n2", at("h:3")),
    ),
    ("n0",),
    "b",
)
MANIFEST = Manifest(
    cluster_id="c1", index=7, term=3, configuration_index=2, configuration=b"members", data_bytes=16
)
PLAIN: list[object] = [
    [1, -1, b"bytes", "text", None, True, 1.5],
    {"a": {b"b": [2**64 - 1]}},
    2**40,
    "x" * 300,
]


def decode_plain(data: bytes) -> object:
    """A plain value, within limits that the inputs here reach."""
    return cbor.decode(data, bytes_max=8 * 1024, items_max=1024)


def sealed_block(rest: bytes) -> bytes:
    """A block with a good checksum."""
    return struct.pack(">I", crc32(rest)) + rest


def row_of(kind: int) -> Callable[[bytes], bytes]:
    """How a body is sent as a request of this kind."""
    wait = (1000,) if kind == 2 else ()
    return lambda body: seal(cbor.encode([[1, kind, body, *wait]]))


def entry_time(decoded: tuple[int, Any]) -> bytes:
    """The bytes of an entry that was decoded."""
    return entries.stamp(entries.encode(decoded[1]), decoded[0])


def header_of(manifest: bytes) -> bytes:
    """The header of a snapshot around an encoded manifest."""
    checked = len(manifest).to_bytes(4, "big") + manifest
    return (MAGIC + crc32(checked).to_bytes(4, "big") + checked).ljust(HEADER_BYTES, b"\0")


def manifest_in(header: bytes) -> bytes:
    """The encoded manifest in a header."""
    start = len(MAGIC) + 8
    return header[start : start + int.from_bytes(header[start - 4 : start], "big")]


def read_frames(data: bytes, seal_: Seal) -> list[tuple[Kind, bytes]]:
    """The frames in a stream, fed in pieces that depend on its length."""
    reader, found = FrameReader(seal_), []
    step = 1 + len(data) % 97
    for piece in pieces(data, step):
        reader.feed(piece)
        while (frame := reader.next_frame()) is not None:
            found.append(frame)
        if reader.buffered_bytes > len(data):
            raise AssertionError("it holds more than has arrived")
    return found


def written(frames: Sequence[tuple[Kind, bytes]], seal_: Seal = UNSEALED) -> bytes:
    """The stream of these frames."""
    parts = []
    for kind, body in frames:
        head = head_of(kind, len(body))
        parts.append(head + body + seal_.tag(head, body))
    return b"".join(parts)


FRAMES = [
    (Kind.HANDSHAKE, encode_handshake(HANDSHAKES[0])),
    (Kind.MESSAGES, encode_frame(1, MESSAGES)),
    (Kind.PING, b""),
    (Kind.MESSAGES, encode_frame(2, MESSAGES[:1])),
    (Kind.CLOSE, b"bye"),
]
GENUINE = written(FRAMES, SealedByDialler(SECRET, b"context"))


def read_sealed(data: bytes) -> int:
    """How many frames a listener takes of a stream that only `GENUINE` may be: nothing else passes the seals."""
    found = read_frames(data, SealedByListener((b"o" * 32, SECRET), b"context"))
    if found != FRAMES[: len(found)]:
        raise AssertionError("a frame was taken that nobody has sealed")
    return len(found)


def read_headers(data: bytes) -> object:
    """The headers of a request for a piece of a snapshot, one a line: what it proves, who asks, and for what."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    nonce, tag, hello, wanted = [*lines, "", "", "", ""][:4]
    seal_, _ = PeerProof((SECRET,)).answer("/v1/peer/snapshot", nonce)
    seal_.tag(b"", b"")
    read_tag({SEAL_HEADER: tag})
    asked = parse_range(wanted)
    if not 0 < asked.length <= 4 << 20:
        raise AssertionError(asked)
    return parse_hello(hello)


def dialled_by(*, nonce: str | None = None) -> bytes:
    """What one sends that dials: the request, the hello, and frames, which are sealed if there is a nonce."""
    lines = ["GET /v1/peer HTTP/1.1", "Host: node", "Connection: Upgrade", "Upgrade: raftdb"]
    lines += [] if nonce is None else [f"Raftdb-Nonce: {nonce}"]
    seal_ = UNSEALED if nonce is None else SealedByDialler(b"o" * 32, b"context")
    return "\r\n".join([*lines, "", ""]).encode() + written(FRAMES, seal_)


@contextmanager
def dialled() -> Iterator[Callable[[bytes], object]]:
    """Reading the answer to a dial: its status, nonce and first frames."""
    loop = asyncio.new_event_loop()

    async def make() -> _Answer:
        return _Answer()

    def read(data: bytes) -> object:
        answer = loop.run_until_complete(make())
        step = 1 + len(data) % 29
        for piece in pieces(data, step):
            answer.data_received(piece)
            if answer.status.done():
                break
        if not answer.status.done() and len(data) > 32 * 1024:
            raise AssertionError("it waits for the end of a head that is too long")
        if answer.status.done() and answer.status.result() == 101:
            PeerProof((SECRET,)).offer("/v1/peer").sealed(answer.nonce)
            return read_frames(answer.tail, UNSEALED)
        return None

    try:
        yield read
    finally:
        loop.close()


REMOTE = (RemoteProtocolError,)
SNAPSHOT = (SnapshotDamaged, SnapshotForeign)
BODIES = [encode_operation(each) for each in OPERATIONS if not isinstance(asked_of(each), Query)]
QUERY_BODIES = [
    cbor.encode(each)
    for each in (
        [1, b"a", b"b", 7, False],
        [2, b"lots"],
        [3, [b"a", b"b"]],
        [0, b"ana", 7, 1, b"a", b"b", 7, False],
    )
]
OUTCOME_BODIES = [encode_outcome(each) for each in OUTCOMES]
OPERATION_BODIES = [
    *BODIES,
    *(entries.encode(each) for each in (KeepSession(NAME, 10_000), RegisterSession(NAME))),
    entries.encode(
        SessionOperation(NAME, 300, 70_000, TransactionOperation((Set(b"a", b"b"),), ((b"a", 5),)))
    ),
    entries.encode(GuardedOperation((), Set(b"k", b"v", 1000))),
    entries.encode(UserOperation(b"ana", 7, Set(b"k", b"v", 1000))),
]
WAITING_BODIES = [
    entries.encode(each)
    for each in (Dequeue(b"q"), SessionOperation(NAME, 1, 1, Dequeue(b"q")), Set(b"k", b"v"))
]
NONCE = "0f" * 32

DECODERS = (
    Decoder(
        name="cbor",
        decode=decode_plain,
        encode=cbor.encode,
        seeds=[cbor.encode(each) for each in PLAIN],
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="messages",
        decode=decode_frame,
        encode=lambda frame: encode_frame(*frame),
        seeds=[encode_frame(0, [each])[12:] for each in MESSAGES] + [encode_frame(0, MESSAGES)[12:]],
        wrap=lambda rows: seal((7).to_bytes(8, "big") + rows),
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="block",
        decode=lambda data: (Block.verified(data), list(Block.verified(data).entries())),
        seeds=[each.encoded[4:] for each in (*BLOCKS, *blocks_of(1, 2, EntryKind.NOOP, [b""]))],
        wrap=sealed_block,
        refusals=REMOTE,
    ),
    Decoder(
        name="entry",
        decode=entries.decode,
        encode=entry_time,
        seeds=OPERATION_BODIES,
        wrap=lambda body: entries.stamp(body, 1000),
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="configuration",
        decode=decode_configuration,
        encode=encode_configuration,
        seeds=[encode_configuration(CONFIGURATION)],
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="handshake",
        decode=decode_handshake,
        encode=encode_handshake,
        seeds=[encode_handshake(each)[4:] for each in HANDSHAKES],
        wrap=seal,
        refusals=REMOTE,
        form="cbor",
    ),
    *(
        Decoder(
            name=name, decode=decode_requests, seeds=bodies, wrap=row_of(kind), refusals=REMOTE, form="cbor"
        )
        for name, kind, bodies in (
            ("forwarded", 0, OPERATION_BODIES),
            ("forwarded-query", 1, QUERY_BODIES),
            ("forwarded-wait", 2, WAITING_BODIES),
        )
    ),
    Decoder(
        name="forwarded-rows",
        decode=decode_requests,
        seeds=[cbor.encode([[1, 0, BODIES[0]], [2, 3, b""], [3, 1, QUERY_BODIES[0]]])],
        wrap=seal,
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="answer",
        decode=decode_answers,
        encode=lambda answers: encode_answers([(number, encode_outcome(one)) for number, one in answers]),
        seeds=OUTCOME_BODIES,
        wrap=lambda body: seal(cbor.encode([[1, body]])),
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="answer-rows",
        decode=decode_answers,
        seeds=[cbor.encode([[at_, body] for at_, body in enumerate(OUTCOME_BODIES)])],
        wrap=seal,
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="stream",
        decode=lambda data: read_frames(data, UNSEALED),
        encode=written,
        seeds=[written(FRAMES), written([(Kind.CLOSE, b"no")])],
        refusals=REMOTE,
    ),
    Decoder(name="sealed-stream", decode=read_sealed, seeds=[GENUINE], refusals=REMOTE),
    Decoder(
        name="snapshot-request",
        decode=read_headers,
        seeds=[
            "\n".join((NONCE, NONCE, f"Raftdb {write_introduction(each)}", wanted)).encode()
            for each in HANDSHAKES[:1]
            for wanted in ("bytes=0-4194303", "bytes=5-")
        ],
        refusals=(RequestRefused, RemoteProtocolError),
    ),
    Decoder(
        name="welcome",
        decode=lambda data: parse_welcome(data.decode("latin-1")),
        encode=lambda welcome: write_introduction(welcome).encode(),
        seeds=[encode_handshake(HANDSHAKES[1])[4:]],
        wrap=lambda facts: b64encode(seal(facts)),
        refusals=REMOTE,
        form="cbor",
    ),
    Decoder(
        name="join",
        decode=lambda data: parse_member(data.decode("latin-1")),
        # No node writes again what another has said, which may be shorter than our way to write it.
        seeds=[b'{"id": "n4", "http": "h:1", "redis": null, "redis_cluster": "h:2"}'],
        wrap=b64encode,
        refusals=REMOTE,
        form="json",
    ),
    Decoder(
        name="dial",
        around=dialled,
        seeds=[
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raftdb\r\nRaftdb-Nonce: "
            + NONCE.encode()
            + b"\r\n\r\n"
            + written(FRAMES[:1]),
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        ],
        refusals=REMOTE,
    ),
    Decoder(
        name="manifest",
        decode=decode_header,
        encode=encode_header,
        seeds=[manifest_in(encode_header(MANIFEST))],
        wrap=header_of,
        refusals=SNAPSHOT,
        form="cbor",
        cost=4,
    ),
    Decoder(
        name="container",
        decode=unpack_container,
        encode=lambda parts: pack_container(*parts),
        seeds=[pack_container(MANIFEST, bytes(16))[:-32]],
        wrap=lambda content: content + sha256(content).digest(),
        refusals=SNAPSHOT,
        cost=4,
    ),
)
