"""Errors as a caller gets them: what they travel through, and what becomes of answers that are not a node's."""

import copy
import importlib
import inspect
import json
import pickle
import pkgutil
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest

import cli
import raftdb
from raftdb import (
    Client,
    CommandFailed,
    Forbidden,
    OutcomeUnknown,
    RaftdbError,
    RequestRefused,
    Unauthenticated,
    Unavailable,
)
from raftdb.client.refusals import error_of_body
from raftdb.endpoint import RedisAddresses
from raftdb.errors import (
    Conflict,
    Deadlock,
    Fenced,
    LeaderHint,
    RemoteProtocolError,
    ReplyError,
    SessionExpired,
)
from raftdb.frontend.json_values import encode_json, error_object
from tests.addresses import at
from tests.client.fake_node import Canned, FakeCluster


def every_error() -> list[type[BaseException]]:
    """All errors of ours that are typed, and whatever else the client defines."""
    found: dict[type[BaseException], None] = {}
    for package in (raftdb, cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                is_of_the_client = kind.__module__.startswith("raftdb.client.")
                if issubclass(kind, RaftdbError) or (issubclass(kind, BaseException) and is_of_the_client):
                    found[kind] = None
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


SAMPLES: dict[str, Any] = {
    "code": "no_leader",
    "message": "what",
    "hint": "why",
    "leader": LeaderHint("n1", at("127.0.0.1:1")),
    "keys": (b"k", b"\xff"),
    "failed_command": 3,
    "exit_code": 4,
}
"""Values for the parameters of their constructors."""


def made(kind: type[BaseException]) -> BaseException:
    if not isinstance(kind.__init__, FunctionType):  # that of a built-in exception
        return kind("what")
    parameters = inspect.signature(kind).parameters.values()
    positional, named = [], {}
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty or parameter.name in SAMPLES:
                named[parameter.name] = SAMPLES.get(parameter.name, "value")
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            positional.append(SAMPLES.get(parameter.name, "value"))
    return kind(*positional, **named)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_can_be_pickled_and_copied(kind: type[BaseException]) -> None:
    """What leaves a worker of a pool of processes must arrive as what it was, with all that it says."""
    error = made(kind)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_the_errors_of_the_client_say_everything_after_pickling() -> None:
    leader = LeaderHint("n1", at("127.0.0.1:8001"), RedisAddresses(at("127.0.0.1:6379")))
    unavailable = pickle.loads(pickle.dumps(Unavailable("not_leader", "elsewhere", hint="go", leader=leader)))
    assert (unavailable.code, unavailable.message, unavailable.hint) == ("not_leader", "elsewhere", "go")
    assert unavailable.leader == leader
    conflict = pickle.loads(pickle.dumps(Conflict("changed", keys=(b"\xff",))))
    assert (conflict.keys, conflict.code) == ((b"\xff",), "conflict")
    assert pickle.loads(pickle.dumps(ReplyError("no", failed_command=2))).failed_command == 2
    assert isinstance(pickle.loads(pickle.dumps(RequestRefused("bad_key", "empty"))), RaftdbError)


@pytest.mark.parametrize(
    "error",
    [
        Conflict("changed", keys=(b"a", b"\xff"), hint="again"),
        Fenced("over", failed_command=1),
        Deadlock("for ever", cycle=((b"a", b"l"), (b"\xff", b"m"))),
        SessionExpired("gone"),
        CommandFailed("no", code="wrong_type", failed_command=0),
    ],
)
def test_the_failures_of_commands_arrive_as_what_the_node_raised(error: CommandFailed) -> None:
    told = error_of_body(error.code, json.loads(encode_json(error_object(error))))
    assert (type(told), vars(told)) == (type(error), vars(error))


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.nodes[0].address, timeout_ms=2_000, sessions=False) as client:
        client.get("k")
        yield client


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (301, "bad_request", RemoteProtocolError),
        (302, "bad_request", RemoteProtocolError),
        (308, "bad_request", RemoteProtocolError),
        (400, "bad_request", RequestRefused),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden", Forbidden),
        (404, "bad_request", RemoteProtocolError),
        (407, "bad_request", RemoteProtocolError),
        (409, "bad_request", RemoteProtocolError),
        (413, "too_large", RequestRefused),
        (418, "bad_request", RemoteProtocolError),
        (422, "bad_request", RemoteProtocolError),
        (502, "outcome_unknown", OutcomeUnknown),
        (503, "outcome_unknown", OutcomeUnknown),
    ],
)
def test_what_is_no_answer_of_a_node_is_called_so(
    cluster: FakeCluster, client: Client, status: int, code: str, kind: type[RaftdbError]
) -> None:
    """Never a bug of ours, nor a conflict or a failed command that no node spoke of."""
    cluster.nodes[0].script.append(Canned(status, content=b"<html>", headers={"Location": "https://login"}))
    with pytest.raises(kind) as caught:
        client.incr("n")
    assert type(caught.value) is kind
    assert (caught.value.code, str(status) in caught.value.message) == (code, True)
    if kind is RemoteProtocolError:
        assert "https://login" in str(caught.value.hint)


def test_too_many_requests_is_a_reason_to_wait(cluster: FakeCluster, client: Client) -> None:
    cluster.nodes[0].script.append(Canned(429, content=b"slow down", headers={"Retry-After": "0"}))
    assert client.incr("n") == 1


def test_what_is_exported_bears_the_name_under_which_it_is() -> None:
    """A traceback and a `repr` show the class's own name, and that is looked up in the documents."""
    kinds = {name: getattr(raftdb, name) for name in raftdb.__all__}
    classes = {name: kind.__name__ for name, kind in kinds.items() if inspect.isclass(kind)}
    assert "CommandFailed" in classes
    assert {name: own for name, own in classes.items() if name != own} == {}
