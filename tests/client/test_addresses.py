"""Addresses as a client meets them: given, named by a node, or of a host that nobody knows."""

import asyncio
import socket

import pytest

from raftdb.client.addresses import learnt_endpoint, parse_addresses, parse_member_address
from raftdb.client.async_connection import AsyncConnections
from raftdb.client.dialing import now_ms
from raftdb.client.flow import Exchange
from raftdb.client.http1 import NotSent, Response
from raftdb.client.protocol import STATUS_REQUEST
from raftdb.client.refusals import leader_in, leader_of_error
from raftdb.client.routing import Attempt
from raftdb.client.sync_connection import Connections
from raftdb.errors import RequestRefused
from tests.addresses import at


def test_a_bare_ipv6_address_is_refused_with_the_right_spelling() -> None:
    with pytest.raises(RequestRefused, match="::1:8001") as refused:
        parse_addresses("n1:8001,::1:8001")
    assert refused.value.hint == "write [::1]:8001"


@pytest.mark.parametrize("text", ["0.0.0.0:8001", "[::]:1", "n1", "a..b:1", "::1:8001"])
def test_what_a_node_names_is_followed_only_if_it_can_be_dialled(text: str) -> None:
    assert learnt_endpoint(text) is None
    assert leader_in({"id": "n1", "http": text}) is None
    assert leader_of_error(redirect(f"http://{text}/v1/execute")) is None
    with pytest.raises(RequestRefused, match="cannot be a member's address"):
        parse_member_address(text)


@pytest.mark.parametrize("location", ["http://N1:8001/v1/execute?x", "HTTP://n1:8001"])
def test_a_redirect_is_read_like_any_address(location: str) -> None:
    assert leader_of_error(redirect(location)) == at("n1:8001")
    assert leader_of_error(redirect("https://n1:8001/")) == at("n1:8001").over_tls()
    assert leader_of_error(redirect("ftp://n1:8001/")) is None
    assert leader_of_error(redirect("/v1/execute")) is None


def redirect(location: str) -> Response:
    return Response(307, {"location": location}, b"", keep_alive=True)


def test_a_host_that_nobody_knows_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    by_ms = now_ms() + 5_000
    attempt = Attempt(at("nobody.example:1"), False, connect_by_ms=by_ms, answer_by_ms=by_ms)
    step = Exchange(attempt, STATUS_REQUEST, None)
    with pytest.raises(NotSent, match="the host name cannot be resolved"):
        Connections().exchange(step)

    async def ask() -> None:
        await AsyncConnections().exchange(step)

    with pytest.raises(NotSent, match="the host name cannot be resolved"):
        asyncio.run(ask())
