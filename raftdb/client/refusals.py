"""The typed error of an unsuccessful answer, and the leader that it names. No I/O."""

from typing import cast
from urllib.parse import urlsplit, urlunsplit

from raftdb.client.addresses import learnt_endpoint
from raftdb.client.http1 import Response
from raftdb.client.json_body import bytes_of, object_of, optional_integer
from raftdb.client.model import Json
from raftdb.endpoint import Endpoint, read_redis_addresses
from raftdb.errors import (
    CODES,
    Forbidden,
    LeaderHint,
    OutcomeUnknown,
    RaftdbError,
    RemoteProtocolError,
    RequestRefused,
    Unauthenticated,
    Unavailable,
    failure_of,
)

_UNAVAILABLE_CODES = frozenset({"not_leader", "no_leader", "no_quorum", "busy", "no_space"})
_FAILURES = {
    "command_failed": "",
    "wrong_type": "",
    "session_expired": "",
    "fenced": "",
    "queue_full": "",
    "conflict": "conflict",
    "deadlock": "cycle",
}
"""The codes of a command that ran and failed, with the field beside the error that has its names."""
_FOREIGN_CODES = {
    307: "not_leader",
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    413: "too_large",
    429: "busy",
}
"""The codes of statuses without raftdb's JSON, as a proxy sends them. The request was not executed."""
_REFUSALS = {"unauthenticated": Unauthenticated, "forbidden": Forbidden}
"""The types of refusals that have one of their own."""
LOCATION_CHARACTERS_SHOWN = 100
CODE_CHARACTERS_MAX = 100
"""Longer ones no node has."""
MESSAGE_CHARACTERS_MAX = 2_000
"""So much of a message and of a hint is kept: they go to terminals and logs, and nobody knows who wrote them."""
_REFUSED_STATUSES = frozenset({400, 401, 403, 405, 413, 415, 431})


def error_of(response: Response) -> RaftdbError:
    """The typed error of an answer that is not a success.

    An answer without raftdb's JSON comes from a proxy before the node, or from another server. With status 500 and
    above it does not prove that the request was not executed, so it is `outcome_unknown`; below that the request was
    refused, for the reasons of `_FOREIGN_CODES`, or by a server that is not a node.
    """
    body = _body_of(response)
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and len(code) <= CODE_CHARACTERS_MAX:
        return error_of_body(code, body)
    what = f"the answer was HTTP status {response.status}, without the JSON of a raftdb node"
    foreign = "outcome_unknown" if response.status >= 500 else _FOREIGN_CODES.get(response.status)
    if foreign is None:
        location = response.headers.get("location")
        hint = f"it redirects to {location[:LOCATION_CHARACTERS_SHOWN]!r}: " if location else ""
        return RemoteProtocolError(what, hint=f"{hint}is that address a raftdb node?")
    return error_of_body(foreign, {"error": {"message": what}})


def error_of_body(code: str, body: Json) -> RaftdbError:
    """The typed error of `code`. `body` has the object `error`, and beside it fields of some codes."""
    error = cast(Json, body["error"])
    message = error["message"] if isinstance(error.get("message"), str) else code
    hint = error.get("hint")
    shown = str(message)[:MESSAGE_CHARACTERS_MAX]
    return _typed_error(code, shown, hint[:MESSAGE_CHARACTERS_MAX] if isinstance(hint, str) else None, body)


def _typed_error(code: str, message: str, hint: str | None, body: Json) -> RaftdbError:
    if code in _FAILURES:
        return failure_of(code, message, hint, optional_integer(body, "failed"), _names(body, code))
    if code == "outcome_unknown":
        return OutcomeUnknown(message, hint=hint)
    if code in _UNAVAILABLE_CODES:
        leader = leader_in(cast(Json, body["error"]).get("leader"))
        return Unavailable(code, message, hint=hint, leader=leader)
    if code in CODES and CODES[code].status in _REFUSED_STATUSES:
        return _REFUSALS.get(code, RequestRefused)(code, message, hint=hint)
    return RaftdbError(code, message, hint=hint)


def _names(body: Json, code: str) -> list[bytes]:
    """The names beside an error: keys, or the pairs of a cycle one after the other."""
    names = body.get(_FAILURES[code])
    if not isinstance(names, list):
        return []
    if code == "deadlock" and not all(isinstance(name, list) and len(name) == 2 for name in names):
        raise RemoteProtocolError("a deadlock in the answer is not of owners and locks")
    return [bytes_of(part) for name in names for part in (name if isinstance(name, list) else [name])]


def leader_of_error(response: Response) -> Endpoint | None:
    """The address of the leader that a `not_leader` answer names in its body or `Location`; None if it names none."""
    error = _body_of(response).get("error")
    leader = leader_in(error.get("leader")) if isinstance(error, dict) else None
    if leader is not None:
        return leader.endpoint
    try:
        location = urlsplit(response.headers.get("location", ""))
    except ValueError:
        return None
    return learnt_endpoint(urlunsplit((location.scheme, location.netloc, "", "", "")))


def leader_of_status(response: Response) -> Endpoint | None:
    """The address of the leader that a status names; None if it names none, or the answer is not a status."""
    if response.status != 200:
        return None
    leader = leader_in(_body_of(response).get("leader"))
    return None if leader is None else leader.endpoint


def leads_by_status(response: Response) -> bool:
    """True if the answer is the status of a node that leads."""
    return response.status == 200 and _body_of(response).get("role") == "leader"


def leader_in(value: object) -> LeaderHint | None:
    """The leader object of an error or a status; None if it is null, or has no HTTP address that can be dialled."""
    if not isinstance(value, dict):
        return None
    http = learnt_endpoint(value.get("http"))
    if http is None:
        return None
    return LeaderHint(str(value.get("id", "")), http, read_redis_addresses(value, learnt_endpoint))


def _body_of(response: Response) -> Json:
    try:
        return object_of(response)
    except RemoteProtocolError:
        return {}
