"""Frames between peers once the handshake is done: `crc32 | sequence | CBOR array of messages`.

A message is `[number, fields...]`: the number is its place in `MESSAGE_TYPES`, from 1, and the fields stand
in the order of its class. The blocks of an `AppendEntries` travel as the bytes that they are (see the package).

The sequence counts the frames of one link from its handshake on; the reader closes the link on a repeat or a gap
(hazard B104). Sender, receiver and cluster were named in the handshake: the reader of a frame compares each message's
`source` and `target` with them before the core sees it (hazard B95).
"""

from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from struct import Struct
from typing import Any

from raftdb.core.block import Block
from raftdb.core.messages import (
    MESSAGE_TYPES,
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
from raftdb.core.model import EntryId
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.limits import ENTRY_BYTES_MAX, TIME_MS_MAX
from raftdb.wire import cbor
from raftdb.wire.fields import (
    NUMBER_LIMIT,
    Check,
    check_fields,
    check_list,
    is_bytes,
    is_digest,
    is_flag,
    is_node_id,
    is_number,
)
from raftdb.wire.frames import SEAL_BYTES, seal, unseal

FRAME_BYTES_MAX = ENTRY_BYTES_MAX + 4 * 1024 * 1024
"""Longest frame, 10 MiB: the longest entry, and a generous batch before it. Links set their own limit to this."""

FRAME_ITEMS_MAX = 65_536
"""Most CBOR items of a frame."""

MESSAGES_PER_FRAME_MAX = 1_024
"""Most messages of a frame. With `ENTRIES_PER_FRAME_MAX` entries they stay below `FRAME_ITEMS_MAX` in any
mixture."""

ENTRIES_PER_FRAME_MAX = 16_384
"""Most entries of all messages of a frame. Only their blocks cost items, and each has at least one."""

_SEQUENCE = Struct(">Q")

FRAME_OVERHEAD_BYTES = SEAL_BYTES + _SEQUENCE.size + 9
"""Most bytes of a frame besides its messages."""

_MESSAGE_OVERHEAD_BYTES = 256
"""Most bytes of a message besides its entries and its configuration: two ids, and at most seven numbers of nine
bytes, or five and a digest."""

_BLOCK_OVERHEAD_BYTES = 5
"""Most bytes of the head of a block."""


def _is_time(value: object) -> bool:
    """True for a time that an entry may bear: a node that hears it may stamp entries with it."""
    return is_number(value) and value <= TIME_MS_MAX  # type: ignore[operator]


_APPEND_FIELDS: tuple[Check, ...] = (is_node_id, is_node_id, is_number, is_number, is_number, is_number)


MESSAGE_FIELDS: dict[type[Message], tuple[Check, ...]] = {
    RequestPreVote: (is_node_id, is_node_id, is_number, is_number, is_number, is_number),
    RequestPreVoteReply: (is_node_id, is_node_id, is_number, is_flag, is_number),
    RequestVote: (is_node_id, is_node_id, is_number, is_number, is_number, is_flag, is_number),
    RequestVoteReply: (is_node_id, is_node_id, is_number, is_flag, is_number),
    AppendEntries: _APPEND_FIELDS,
    AppendEntriesReply: (
        *(is_node_id, is_node_id, is_number, is_number, is_flag),
        *(is_number, is_number, is_number),
    ),
    Heartbeat: (is_node_id, is_node_id, is_number, is_number, is_number, _is_time),
    HeartbeatReply: (is_node_id, is_node_id, is_number, is_number, is_flag, is_number),
    InstallSnapshot: (
        *(is_node_id, is_node_id, is_number, is_number),
        *(is_number, is_number, is_bytes, is_number, is_digest),
    ),
    TimeoutNow: (is_node_id, is_node_id, is_number, is_number, is_number),
    ReadIndex: (is_node_id, is_node_id, is_number, is_number),
    ReadIndexReply: (is_node_id, is_node_id, is_number, is_number, is_number),
}
"""The check of each field, in the order of the class. The blocks, the last field of `AppendEntries`, have their own."""

_FIELD_NAMES: dict[type[Message], tuple[str, ...]] = {
    type_: tuple(field.name for field in dataclass_fields(type_))[: len(checks)]
    for type_, checks in MESSAGE_FIELDS.items()
}
_NUMBERS = {type_: number for number, type_ in enumerate(MESSAGE_TYPES, start=1)}
_APPEND_NUMBER = _NUMBERS[AppendEntries]


def encode_frame(sequence: int, messages: Sequence[Message]) -> bytes:
    """Return the frame that carries `messages`, in order, as frame number `sequence` (0 to below 2^63) of a link.

    Raises `LocalProtocolError` if the frame would break a limit or the blocks of a message do not follow each other:
    the receiver would close the link.
    """
    if not 0 <= sequence < NUMBER_LIMIT or len(messages) > MESSAGES_PER_FRAME_MAX:
        raise LocalProtocolError(f"a frame cannot have number {sequence} or {len(messages)} messages")
    rows: list[bytes] = []
    entries_count = 0
    for message in messages:
        if type(message) is AppendEntries:
            entries_count += message.entry_count
            rows.append(_append_row(message))
        else:
            row: list[object] = [_NUMBERS[type(message)]]
            row += [getattr(message, name) for name in _FIELD_NAMES[type(message)]]
            rows.append(cbor.encode(row))
    if entries_count > ENTRIES_PER_FRAME_MAX:
        raise LocalProtocolError(f"{entries_count} entries in a frame: the limit is {ENTRIES_PER_FRAME_MAX}")
    frame = seal(b"".join((_SEQUENCE.pack(sequence), cbor.array_head(len(rows)), *rows)))
    if len(frame) > FRAME_BYTES_MAX:
        raise LocalProtocolError(f"a frame of {len(frame)} bytes: the limit is {FRAME_BYTES_MAX}")
    return frame


def decode_frame(data: bytes, *, bytes_max: int = FRAME_BYTES_MAX) -> tuple[int, tuple[Message, ...]]:
    """Return the sequence and the messages of a frame, or raise `RemoteProtocolError`: nothing of the frame is used
    then."""
    body = unseal(data, bytes_max=bytes_max)
    if len(body) < _SEQUENCE.size:
        raise RemoteProtocolError("a frame ends within its number")
    (sequence,) = _SEQUENCE.unpack_from(body)
    if sequence >= NUMBER_LIMIT:
        raise RemoteProtocolError("a frame's number is out of range")
    rows = cbor.decode(body[_SEQUENCE.size :], bytes_max=bytes_max, items_max=FRAME_ITEMS_MAX)
    rows = check_list("a frame", rows, count_max=MESSAGES_PER_FRAME_MAX)
    return sequence, tuple(map(_decode_message, rows))


def message_bytes_max(message: Message) -> int:
    """Return a bound on the bytes of `message` in a frame, a little above the truth: for queues and for
    filling frames."""
    if type(message) is InstallSnapshot:
        return _MESSAGE_OVERHEAD_BYTES + len(message.configuration)
    if type(message) is not AppendEntries:
        return _MESSAGE_OVERHEAD_BYTES
    blocks = message.blocks
    block_bytes = sum(len(block.encoded) for block in blocks)
    return _MESSAGE_OVERHEAD_BYTES + _BLOCK_OVERHEAD_BYTES * len(blocks) + block_bytes


def _append_row(message: AppendEntries) -> bytes:
    """The row of an AppendEntries, with the bytes of its blocks as they are."""
    following = message.previous_index + 1
    for block in message.blocks:
        if block.first_index != following:
            raise LocalProtocolError(
                f"blocks sent after index {message.previous_index} do not follow each other"
            )
        following = block.last_index + 1
    return cbor.encode(
        (
            *(_APPEND_NUMBER, message.source, message.target, message.term),
            *(message.previous_index, message.previous_term, message.commit_index),
            [block.encoded for block in message.blocks],
        )
    )


def _decode_message(row: object) -> Message:
    if type(row) is not list or not row or type(row[0]) is not int:
        raise RemoteProtocolError("a message is not an array that starts with its number")
    decoder = _DECODERS.get(row[0])
    if decoder is None:
        raise RemoteProtocolError(f"a message has number {row[0]}, which this node does not know")
    return decoder(row)


def _plain_decoder(type_: type[Message]) -> Callable[[list[Any]], Message]:
    """Return the decoder of a message whose fields are CBOR items, one each."""
    names, checks = _FIELD_NAMES[type_], MESSAGE_FIELDS[type_]

    def decode_plain(row: list[Any]) -> Message:
        values = row[1:]
        check_fields(type_.__name__, names, checks, values)
        return type_(*values)

    return decode_plain


def _decode_append(row: list[Any]) -> Message:
    if len(row) != 1 + len(_APPEND_FIELDS) + 1:
        raise RemoteProtocolError("AppendEntries does not end with the list of its blocks")
    *values, encoded = row[1:]
    check_fields(AppendEntries.__name__, _FIELD_NAMES[AppendEntries], _APPEND_FIELDS, values)
    source, target, term, previous_index, previous_term, commit_index = values
    blocks: list[Block] = []
    last = EntryId(previous_index, 0)
    for one in check_list("a list of blocks", encoded, count_max=ENTRIES_PER_FRAME_MAX):
        if type(one) is not bytes:
            raise RemoteProtocolError("AppendEntries has a block that is not a byte string")
        block = Block.verified(one)
        if block.first_index != last.index + 1 or block.last_index >= NUMBER_LIMIT:
            raise RemoteProtocolError("AppendEntries has a block that does not follow the one before it")
        if not last.term <= block.term < NUMBER_LIMIT:
            raise RemoteProtocolError("AppendEntries has a term that is out of range or falls along the log")
        last = EntryId(block.last_index, block.term)
        blocks.append(block)
    return AppendEntries(source, target, term, previous_index, previous_term, commit_index, tuple(blocks))


_DECODERS: dict[int, Callable[[list[Any]], Message]] = {
    number: _decode_append if type_ is AppendEntries else _plain_decoder(type_)
    for type_, number in _NUMBERS.items()
}
