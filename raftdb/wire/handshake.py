"""The first frame in each direction of a link: which node speaks, which one it means to reach, and which cluster
(hazards B90, B95).

It is a sealed CBOR map from names to values. Unknown names are ignored, so that a later version can add some and still
be understood well enough to be refused with a reason; the rest of the protocol is exact, and changes with
`PROTOCOL_VERSION`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from raftdb.core.model import StartId
from raftdb.endpoint import Endpoint, RedisAddresses
from raftdb.errors import RemoteProtocolError
from raftdb.wire import cbor
from raftdb.wire.fields import (
    Check,
    check_fields,
    endpoint_of,
    is_address,
    is_flag,
    is_node_id,
    is_nonce_or_none,
    is_number,
    is_redis_addresses,
    is_start_or_none,
    is_text,
    redis_addresses_form,
    redis_addresses_of,
    start_of,
)
from raftdb.wire.frames import seal, unseal

PROTOCOL_VERSION = 1
"""Version of the frames between peers. Both sides of a link must speak the same."""

HANDSHAKE_BYTES_MAX = 16 * 1024
"""Longest handshake. It is limited because it comes from a sender of which nothing is known yet."""

HANDSHAKE_ITEMS_MAX = 128
"""Most CBOR items of a handshake."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Said by the node that opens the link.

    `source` is the speaker and `target` the node it means to reach: an address may lead to another one by
    now. `start` is this start of the speaker and `predecessor` the nonce of the one before it, so that nothing
    from before a restart is believed, and a folder that was put back to an older copy is found out; `put_back`: the
    speaker knows this of itself. `remembered` is the start of the target that the speaker knew before the last one that
    it met. `disk_term` and `disk_last_index`: the term, and the end of the log, that this start found on its disk.
    `birth` names the life of the cluster, None while the speaker knows none. `credential` is the secret that the
    speaker's folder tells the target and no other node. `http` and `redis` are where clients reach the speaker.
    """

    protocol_version: int
    cluster_id: str
    source: str
    target: str
    node_uuid: str
    start: StartId
    predecessor: str | None
    put_back: bool
    remembered: StartId | None
    disk_term: int
    disk_last_index: int
    birth: str | None
    credential: str
    http: Endpoint
    redis: RedisAddresses


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer that opens the link: the same facts about the node that was reached (`source` is that node)."""

    protocol_version: int
    cluster_id: str
    source: str
    target: str
    node_uuid: str
    start: StartId
    predecessor: str | None
    put_back: bool
    remembered: StartId | None
    disk_term: int
    disk_last_index: int
    birth: str | None
    credential: str
    http: Endpoint
    redis: RedisAddresses


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer that closes the link: a `code` for programs and a `reason` for the log of the node that called.

    `answered_by` is the node that was reached, if it is another node of the cluster than was meant; otherwise empty.
    """

    code: str
    reason: str
    answered_by: str = ""


Handshake: TypeAlias = Hello | Welcome | Refused

_INTRODUCTION: dict[str, Check] = {
    "protocol_version": is_number,
    "cluster_id": is_text,
    "source": is_node_id,
    "target": is_node_id,
    "node_uuid": is_text,
    "start": is_start_or_none,
    "predecessor": is_nonce_or_none,
    "put_back": is_flag,
    "remembered": is_start_or_none,
    "disk_term": is_number,
    "disk_last_index": is_number,
    "birth": is_nonce_or_none,
    "credential": is_text,
    "http": is_address,
    "redis": is_redis_addresses,
}

HANDSHAKE_FIELDS: dict[type[Handshake], dict[str, Check]] = {
    Hello: _INTRODUCTION,
    Welcome: _INTRODUCTION,
    Refused: {"code": is_text, "reason": is_text, "answered_by": is_text},
}
"""The fields of each handshake, in the order of its class, and what each must be."""

_FORMS: dict[str, tuple[Callable[[Any], object], Callable[[object], object]]] = {
    **dict.fromkeys(("start", "remembered"), (list, start_of)),
    "http": (str, endpoint_of),
    "redis": (redis_addresses_form, redis_addresses_of),
}
"""The fields that have another form in the frame: how that is made, and how it is read. None is None in both."""

_TYPES = {type_.__name__.lower(): type_ for type_ in HANDSHAKE_FIELDS}


def encode_handshake(handshake: Handshake) -> bytes:
    """Return the sealed frame of `handshake`."""
    type_ = type(handshake)
    facts = {name: getattr(handshake, name) for name in HANDSHAKE_FIELDS[type_]}
    for name, (write, _) in _FORMS.items():
        if facts.get(name) is not None:
            facts[name] = write(facts[name])
    return seal(cbor.encode({"type": type_.__name__.lower(), **facts}))


def decode_handshake(data: bytes) -> Handshake:
    """Return the handshake in the sealed frame `data`, or raise `RemoteProtocolError`.

    Only the form is checked: whether version, cluster and nodes are the right ones is the caller's to decide.
    """
    body = unseal(data, bytes_max=HANDSHAKE_BYTES_MAX)
    facts = cbor.decode(body, bytes_max=HANDSHAKE_BYTES_MAX, items_max=HANDSHAKE_ITEMS_MAX)
    if type(facts) is not dict:
        raise RemoteProtocolError("a handshake is not a map")
    name = facts.get("type")
    type_ = _TYPES.get(name) if type(name) is str else None
    if type_ is None:
        raise RemoteProtocolError("a handshake is of no known type")
    fields = HANDSHAKE_FIELDS[type_]
    missing = [field for field in fields if field not in facts]
    if missing:
        raise RemoteProtocolError(f"{type_.__name__} lacks {', '.join(missing)}")
    values = [facts[field] for field in fields]
    check_fields(type_.__name__, tuple(fields), tuple(fields.values()), values)
    if type_ is Refused:
        return Refused(*values)
    known = dict(zip(fields, values, strict=True))
    for name, (_, read) in _FORMS.items():
        known[name] = read(known[name])
    if known["start"] is None:
        raise RemoteProtocolError(f"{type_.__name__} does not say which start it is")
    return type_(**known)
