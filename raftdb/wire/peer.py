"""Frames between peers once the handshake is done: `crc32 | sequence | CBOR array of messages`.

A message is `[number, fields...]`: the number is its place in `MESSAGE_TYPES`, from 1, and the fields stand
in the order of its class. The entries of an `AppendEntries` are three columns instead of one field (see the
package).

The sequence counts the frames of one link from its handshake on; the reader closes the link on a repeat or a gap
(hazard B104). Sender, receiver and cluster were named in the handshake: the reader of a frame compares each message's
`source` and `target` with them before the core sees it (hazard B95).
"""

from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from itertools import chain, groupby
from struct import Struct
from typing import Any

from raftdb.core.messages import (
    MESSAGE_TYPES,
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import Entry, EntryKind
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
from raftdb.wire.handshake import (
    PROTOCOL_VERSION,
    Handshake,
    Hello,
    Refused,
    Welcome,
    decode_handshake,
    encode_handshake,
)

__all__ = [
    "ENTRIES_PER_FRAME_MAX",
    "FRAME_BYTES_MAX",
    "FRAME_ITEMS_MAX",
    "FRAME_OVERHEAD_BYTES",
    "MESSAGES_PER_FRAME_MAX",
    "EntryColumns",
    "PROTOCOL_VERSION",
    "Handshake",
    "Hello",
    "Refused",
    "Welcome",
    "decode_frame",
    "decode_handshake",
    "encode_frame",
    "encode_handshake",
    "message_bytes_max",
]

FRAME_BYTES_MAX = ENTRY_BYTES_MAX + 4 * 1024 * 1024
"""Longest frame, 10 MiB: the longest entry, and a generous batch before it. Links set their own limit to this."""

FRAME_ITEMS_MAX = 65_536
"""Most CBOR items of a frame."""

MESSAGES_PER_FRAME_MAX = 1_024
"""Most messages of a frame. With `ENTRIES_PER_FRAME_MAX` entries they stay below `FRAME_ITEMS_MAX` in any
mixture."""

ENTRIES_PER_FRAME_MAX = 16_384
"""Most entries of all messages of a frame: each costs one item, and two more if it starts a run of a term."""

_SEQUENCE = Struct(">Q")

FRAME_OVERHEAD_BYTES = SEAL_BYTES + _SEQUENCE.size + 9
"""Most bytes of a frame besides its messages."""

_MESSAGE_OVERHEAD_BYTES = 256
"""Most bytes of a message besides its entries and its configuration: two ids, and at most seven numbers of nine
bytes, or five and a digest."""

_ENTRY_OVERHEAD_BYTES = 32
"""Most bytes of an entry besides its data: its own run (twice nine bytes), its kind, and the head of its
data."""


def _is_time(value: object) -> bool:
    """True for a time that an entry may bear: a node that hears it may stamp entries with it."""
    return is_number(value) and value <= TIME_MS_MAX  # type: ignore[operator]


_APPEND_FIELDS: tuple[Check, ...] = (is_node_id, is_node_id, is_number, is_number, is_number, is_number)


MESSAGE_FIELDS: dict[type[Message], tuple[Check, ...]] = {
    RequestPreVote: (is_node_id, is_node_id, is_number, is_number, is_number),
    RequestPreVoteReply: (is_node_id, is_node_id, is_number, is_flag),
    RequestVote: (is_node_id, is_node_id, is_number, is_number, is_number, is_flag),
    RequestVoteReply: (is_node_id, is_node_id, is_number, is_flag),
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
}
"""The check of each field, in the order of the class. The entries, the last field of `AppendEntries`, are columns."""

_FIELD_NAMES: dict[type[Message], tuple[str, ...]] = {
    type_: tuple(field.name for field in dataclass_fields(type_))[: len(checks)]
    for type_, checks in MESSAGE_FIELDS.items()
}
_NUMBERS = {type_: number for number, type_ in enumerate(MESSAGE_TYPES, start=1)}
_KINDS = {int(kind): kind for kind in EntryKind}
_APPEND_NUMBER = _NUMBERS[AppendEntries]


class EntryColumns:
    """The entries of an `AppendEntries`, encoded: once for all followers that get the same ones in a row."""

    def __init__(self) -> None:
        self._latest: tuple[int, tuple[Entry, ...]] = (0, ())
        self._encoded = _NO_COLUMNS

    def of(self, message: AppendEntries) -> bytes:
        """The three columns, one after another. Raises `LocalProtocolError` if the entries do not follow each other."""
        previous_index, entries = message.previous_index, message.entries
        if not entries:
            return _NO_COLUMNS
        if entries is not self._latest[1] or previous_index != self._latest[0]:
            self._encoded = _encode_columns(previous_index, entries)
            self._latest = previous_index, entries
        return self._encoded


def encode_frame(sequence: int, messages: Sequence[Message], columns: EntryColumns | None = None) -> bytes:
    """Return the frame that carries `messages`, in order, as frame number `sequence` (0 to below 2^63) of a
    link. `columns` remembers the entries that were encoded last.

    Raises `LocalProtocolError` if the frame would break a limit or the entries of a message do not follow
    each other: the receiver would close the link.
    """
    if not 0 <= sequence < NUMBER_LIMIT or len(messages) > MESSAGES_PER_FRAME_MAX:
        raise LocalProtocolError(f"a frame cannot have number {sequence} or {len(messages)} messages")
    columns = columns or EntryColumns()
    rows: list[bytes] = []
    entries_count = 0
    for message in messages:
        if type(message) is AppendEntries:
            entries_count += len(message.entries)
            rows.append(_append_row(message, columns.of(message)))
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
    entries = message.entries
    data_bytes = sum(len(entry.data) for entry in entries)
    return _MESSAGE_OVERHEAD_BYTES + _ENTRY_OVERHEAD_BYTES * len(entries) + data_bytes


def _append_row(message: AppendEntries, columns: bytes) -> bytes:
    """The row of an AppendEntries around its columns, which are there already."""
    fields = cbor.encode(
        (
            *(_APPEND_NUMBER, message.source, message.target, message.term),
            *(message.previous_index, message.previous_term, message.commit_index),
        )
    )
    # The head of so short an array is one byte.
    return b"".join((cbor.array_head(1 + len(_APPEND_FIELDS) + 3), fields[1:], columns))


def _encode_columns(previous_index: int, entries: tuple[Entry, ...]) -> bytes:
    """Terms, kinds and data of entries that follow `previous_index`."""
    indexes, terms, kinds, data = zip(*entries, strict=True)
    first = previous_index + 1
    if indexes != tuple(range(first, first + len(entries))):
        raise LocalProtocolError(f"entries sent after index {previous_index} do not follow each other")
    # Terms never fall along a log: equal ends mean one run.
    if terms[0] == terms[-1]:
        runs = [len(terms), terms[0]]
    else:
        runs = list(chain.from_iterable((len(list(run)), term) for term, run in groupby(terms)))
    return cbor.encode((runs, bytes(kinds), data))[1:]


_NO_COLUMNS = cbor.encode(([], b"", []))[1:]


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
    fields_count = len(_APPEND_FIELDS)
    values = row[1 : 1 + fields_count]
    check_fields(AppendEntries.__name__, _FIELD_NAMES[AppendEntries], _APPEND_FIELDS, values)
    if len(row) != 1 + fields_count + 3:
        raise RemoteProtocolError("AppendEntries does not end with the three columns of its entries")
    runs, kinds, data = row[1 + fields_count :]
    _check_data(data)
    if type(kinds) is not bytes or len(kinds) != len(data):
        raise RemoteProtocolError("AppendEntries has columns of different lengths")
    try:
        known_kinds = [_KINDS[kind] for kind in kinds]
    except KeyError as error:
        raise RemoteProtocolError(f"an entry is of kind {error}, which this node does not know") from None
    terms = _expand_runs(runs, entries_count=len(data))
    first = values[3] + 1
    if first + len(data) > NUMBER_LIMIT:
        raise RemoteProtocolError("an entry's index is out of range")
    entries = tuple(map(Entry, range(first, first + len(data)), terms, known_kinds, data))
    source, target, term, previous_index, previous_term, commit_index = values
    return AppendEntries(source, target, term, previous_index, previous_term, commit_index, entries)


def _check_data(data: object) -> None:
    """Raise unless `data` is the column of the entries' data: byte strings that the log may hold."""
    for datum in check_list("a column of data", data, count_max=ENTRIES_PER_FRAME_MAX):
        if type(datum) is not bytes or len(datum) > ENTRY_BYTES_MAX:
            raise RemoteProtocolError("AppendEntries has data that is not a byte string, or too long")


def _expand_runs(runs: object, *, entries_count: int) -> list[int]:
    """Return the term of each of `entries_count` entries from the flat list count, term, count, term, ..."""
    flat = check_list("a column of terms", runs, count_max=2 * entries_count)
    terms: list[int] = []
    for count, term in zip(flat[::2], flat[1::2], strict=False):
        # The count is bounded before it is used: a short frame must not ask for a long list.
        if type(count) is not int or not 0 < count <= entries_count - len(terms):
            raise RemoteProtocolError("AppendEntries has a run of a wrong length")
        if type(term) is not int or not 0 <= term < NUMBER_LIMIT or (terms and term < terms[-1]):
            raise RemoteProtocolError("AppendEntries has a term that is out of range or falls along the log")
        terms += [term] * count
    if len(terms) != entries_count or len(flat) % 2:
        raise RemoteProtocolError("AppendEntries has columns of different lengths")
    return terms


_DECODERS: dict[int, Callable[[list[Any]], Message]] = {
    number: _decode_append if type_ is AppendEntries else _plain_decoder(type_)
    for type_, number in _NUMBERS.items()
}
