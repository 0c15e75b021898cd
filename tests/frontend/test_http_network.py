"""The network that fault injection makes, over HTTP."""

import json

import pytest

from raftdb.errors import RequestRefused
from raftdb.impairment import LINKS_MAX, parse_conditions
from tests.frontend.support import Harness, get, post


def put(content: object) -> bytes:
    return post(json.dumps(content).encode(), "/v1/network").replace(b"POST", b"PUT", 1)


async def test_what_is_set_is_answered_and_what_is_left_out_stays(http: Harness) -> None:
    asked = {"default": "loss 5%", "links": {"n2": "delay 1s"}, "cut": ["n3"], "seed": 7}
    response = await http.request(put(asked))
    assert response.status == 200
    assert response.json == http.node.impaired.described()
    response = await http.request(put({"clients": "delay 5ms", "cut_clients": True}))
    assert response.json == (await http.request(get("/v1/network"))).json
    network = http.node.impaired
    assert (network.seed, network.default) == (7, parse_conditions("loss 5%"))
    assert network.cut == {"n3"}
    assert network.links == {"n2": parse_conditions("delay 1s")}
    assert network.clients.is_cut
    assert network.clients.conditions == parse_conditions("delay 5ms")


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ({"default": "loss 5"}, "loss is a share", "loss 5%"),
        ({"links": {"n2": "slow"}}, "'slow' is no condition", "delay"),
        ({"clients": ""}, "missing", "none"),
        ({"cut": ["no id"]}, "cannot be the id of a node", None),
        ({"cut": [f"n{number}" for number in range(LINKS_MAX + 1)]}, f"at most {LINKS_MAX}", None),
        ({"cuts": []}, "cuts", None),
        ({"cut_clients": 1}, "cut_clients", None),
    ],
)
async def test_what_cannot_be_set_is_refused_and_nothing_changes(
    http: Harness, content: object, message: str, hint: str | None
) -> None:
    before = http.node.impaired.described()
    response = await http.request(put(content))
    assert (response.status, response.json["error"]["code"]) == (400, "bad_request")
    assert message in response.json["error"]["message"]
    if hint is not None:
        assert hint in response.json["error"]["hint"]
    assert http.node.impaired.described() == before


async def test_a_node_without_fault_injection_refuses_both(http: Harness) -> None:
    http.node.failure = RequestRefused("forbidden", "n1 was started without fault_injection")
    for request in (get("/v1/network"), put({"cut": ["n2"]})):
        response = await http.request(request)
        assert (response.status, response.json["error"]["code"]) == (403, "forbidden")
    assert not http.node.impaired.cut
