"""Members and leadership over HTTP, against a node that grants everything."""

import json

import pytest

from raftdb.core.events import AddMember, Change, NewAddress, PromoteMember, RemoveMember, UpdateAddresses
from raftdb.core.model import Member
from raftdb.endpoint import RedisAddresses
from raftdb.errors import LeaderHint, OutcomeUnknown, RaftdbError, RequestRefused, Unavailable
from raftdb.node.membership import CatchingUp
from tests.addresses import at
from tests.frontend.support import Harness, get, post

N4 = {"id": "n4", "http": "127.0.0.1:8004"}
LEARNER = Member("n4", at("127.0.0.1:8004"), voter=False)


def request(method: str, path: str, content: object = None) -> bytes:
    body = b"" if content is None else json.dumps(content).encode()
    return post(body, path).replace(b"POST", method.encode(), 1)


CHANGES: dict[str, tuple[bytes, Change, bool]] = {
    "add": (request("POST", "/v1/members", N4), AddMember(LEARNER), False),
    "add by URL": (
        request("POST", "/v1/members", {**N4, "http": "http://127.0.0.1:8004/"}),
        AddMember(LEARNER),
        False,
    ),
    "add with everything": (
        request(
            "POST",
            "/v1/members",
            {
                **N4,
                "redis": "127.0.0.1:6384",
                "redis_cluster": "127.0.0.1:6394",
                "learner": True,
                "force": True,
            },
        ),
        AddMember(
            Member(
                "n4",
                at("127.0.0.1:8004"),
                RedisAddresses(at("127.0.0.1:6384"), at("127.0.0.1:6394")),
                voter=False,
            ),
            stay_learner=True,
        ),
        True,
    ),
    "remove": (request("DELETE", "/v1/members/n4"), RemoveMember("n4"), False),
    "remove by force": (request("DELETE", "/v1/members/n4?force=true"), RemoveMember("n4"), True),
    "remove not by force": (request("DELETE", "/v1/members/n4?force=false"), RemoveMember("n4"), False),
    "an id that is quoted": (request("DELETE", "/v1/members/n%34"), RemoveMember("n4"), False),
    "promote": (request("POST", "/v1/members/n4/promote"), PromoteMember("n4"), False),
    "promote by force": (request("POST", "/v1/members/n4/promote?force"), PromoteMember("n4"), True),
    "move": (
        request("POST", "/v1/members/n4/address", {"http": "127.0.0.1:9004", "redis": "127.0.0.1:9"}),
        UpdateAddresses((NewAddress("n4", at("127.0.0.1:9004"), RedisAddresses(at("127.0.0.1:9"))),)),
        False,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_asked_for_and_answered_with_the_members(http: Harness, name: str) -> None:
    data, change, force = CHANGES[name]
    response = await http.request(data)
    assert response.status == 200
    assert response.json == {"index": 7, **http.node.membership()}
    assert http.node.changes == [(change, force)]


async def test_a_node_that_catches_up_is_pending_and_says_how_far_it_is(http: Harness) -> None:
    http.node.catching_up = CatchingUp("n4", 100, 5000)
    response = await http.request(request("POST", "/v1/members", N4))
    assert response.status == 202
    assert response.json["pending"] is True
    assert {name: response.json[name] for name in ("index", "id", "match_index", "last_index")} == {
        "index": 7,
        "id": "n4",
        "match_index": 100,
        "last_index": 5000,
    }


async def test_the_members_are_listed_with_the_ids_that_are_gone(http: Harness) -> None:
    assert (await http.request(get("/v1/members"))).json == http.node.membership()


@pytest.mark.parametrize(
    ("content", "target"), [(None, None), ({}, None), ({"to": None}, None), ({"to": "n2"}, "n2")]
)
async def test_the_leadership_is_handed_over(http: Harness, content: object, target: str | None) -> None:
    response = await http.request(request("POST", "/v1/leader/transfer", content))
    assert response.status == 200
    leader = {"id": target or "n3", "http": "127.0.0.1:8003", "redis": None, "redis_cluster": None}
    assert response.json == {"leader": leader}
    assert http.node.transfers == [target]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (request("POST", "/v1/members"), "the body is empty"),
        (request("POST", "/v1/members", {"id": "n4"}), "http"),
        (request("POST", "/v1/members", {**N4, "voter": True}), "voter"),
        (request("POST", "/v1/members", {**N4, "id": 4}), "$.id"),
        (request("POST", "/v1/members/n4/address"), "the body is empty"),
        (request("POST", "/v1/members", {**N4, "http": "::1:8001"}), "write [::1]:8001"),
        (request("POST", "/v1/members", {**N4, "http": "0.0.0.0:8001"}), "others could reach"),
        (request("POST", "/v1/members", {**N4, "redis": "[::]:8001"}), "others could reach"),
        (request("POST", "/v1/members/n4/address", {"http": "a..b:1"}), "between dots is empty"),
        (request("POST", "/v1/members/n4/address", {"http": "n4"}), "write n4:PORT"),
        (request("POST", "/v1/leader/transfer", {"target": "n2"}), "target"),
        (request("DELETE", "/v1/members/n4?forse=true"), "forse"),
        (request("DELETE", "/v1/members/n4?force=maybe"), "maybe"),
        (request("DELETE", "/v1/members/n4?force=false&%66orce=true"), "twice"),
    ],
)
async def test_a_request_that_cannot_be_meant_is_refused_in_words(
    http: Harness, data: bytes, word: str
) -> None:
    response = await http.request(data)
    assert (response.status, response.code) == (400, "bad_request")
    assert word in f"{response.json['error']}"
    assert not http.node.changes
    assert not http.node.transfers


@pytest.mark.parametrize(
    "path", ["/v1/members/", "/v1/members/n4/", "/v1/members//promote", "/v1/members/a/b"]
)
async def test_a_path_that_is_none_is_not_found(http: Harness, path: str) -> None:
    response = await http.request(request("DELETE", path))
    assert (response.status, response.code) == (404, "not_found")


async def test_a_pattern_is_no_path(http: Harness) -> None:
    """Braces stand for an id that has them, not for the pattern; and what a path takes is said."""
    response = await http.request(request("DELETE", "/v1/members/{id}"))
    assert response.status in (200, 400)
    assert http.node.changes in ([], [(RemoveMember("{id}"), False)])
    response = await http.request(get("/v1/members/n4"))
    assert (response.status, response.code) == (405, "method_not_allowed")
    assert response.headers["allow"] == "DELETE"


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (RequestRefused("conflict", "without n3 the cluster has 2 voters and needs 2, but only 1 ..."), 409),
        (RequestRefused("not_found", "n9 is not a member of this cluster"), 404),
        (Unavailable("busy", "another change of the members is under way, entry 12"), 503),
        (OutcomeUnknown("no majority confirmed the change in time"), 504),
    ],
)
@pytest.mark.parametrize(
    "data", [request("DELETE", "/v1/members/n3"), request("POST", "/v1/leader/transfer")]
)
async def test_a_refusal_comes_with_its_code_and_words(
    http: Harness, failure: RaftdbError, status: int, data: bytes
) -> None:
    http.node.failure = failure
    response = await http.request(data)
    assert (response.status, response.code) == (status, failure.code)
    assert response.json["error"]["message"] == failure.message


@pytest.mark.parametrize(
    "data",
    [
        request("POST", "/v1/members", N4),
        request("DELETE", "/v1/members/n4?force=true"),
        request("POST", "/v1/members/n4/promote"),
        request("POST", "/v1/members/n4/address", {"http": "127.0.0.1:9004"}),
        request("POST", "/v1/leader/transfer", {"to": "n2"}),
    ],
)
async def test_only_the_leader_changes_anything(http: Harness, data: bytes) -> None:
    http.node.leads = False
    assert (await http.request(data)).code == "no_leader"
    http.node.leader = LeaderHint("n2", at("127.0.0.1:8002"))
    response = await http.request(data)
    assert response.status == 307
    target = data.split(b" ", 2)[1].decode()
    assert response.headers["location"] == f"http://127.0.0.1:8002{target}"
    assert not http.node.changes
    assert not http.node.transfers
