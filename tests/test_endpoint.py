"""The one parser of addresses: every spelling has one meaning or a refusal that names the right one."""

import pytest

from raftdb.endpoint import BadAddress, Endpoint, parse_endpoint, parse_reachable_endpoint

SPELLINGS = {
    "n1:8001": "n1:8001",
    " http://N1:8001/ ": "n1:8001",
    "HTTP://n1:8001": "n1:8001",
    "127.0.0.1:08001": "127.0.0.1:8001",
    "[::1]:8001": "[::1]:8001",
    "http://[2001:DB8:0:0::1]:1/": "[2001:db8::1]:1",
    "[fe80::1%eth0]:1": "[fe80::1%eth0]:1",
    "[::ffff:10.0.0.1]:1": "[::ffff:a00:1]:1",
    "my_app.default.svc.cluster.local.:65535": "my_app.default.svc.cluster.local.:65535",
    "bücher:8001": "xn--bcher-kva:8001",
    "BÜCHER.example:8001": "xn--bcher-kva.example:8001",
    "10.example:1": "10.example:1",
    "0.0.0.0:1": "0.0.0.0:1",
}


@pytest.mark.parametrize(("text", "spelling"), SPELLINGS.items())
def test_spellings_of_one_address_are_one_value(text: str, spelling: str) -> None:
    endpoint = parse_endpoint(text)
    assert str(endpoint) == spelling
    assert endpoint.url() == f"http://{spelling}"
    assert endpoint.url("/v1/status?x=1") == f"http://{spelling}/v1/status?x=1"
    assert parse_endpoint(spelling) == endpoint


def test_a_host_is_what_the_system_takes() -> None:
    assert parse_endpoint("http://[::1]:8001") == Endpoint("::1", 8001)


REFUSED = {
    "": "empty",
    "http://": "empty",
    "n1": "write n1:PORT",
    "http://n1/": "write n1:PORT",
    "[::1]": "write [::1]:PORT",
    "n1:": "no port",
    ":8001": "no host",
    "n1:x": "not a number",
    "n1:٣": "not a number",
    "n1:0": "between 1 and 65535",
    "n1:65536": "between 1 and 65535",
    "n1:" + "9" * 300: "between 1 and 65535",
    "n" * 400 + ":1": "longer than 320",
    "::1:8001": "write [::1]:8001",
    "http://::1:8001": "write [::1]:8001",
    "fe80::1%eth0:8001": "write [fe80::1%eth0]:8001",
    "fe80::aaaa": "write [fe80::aaaa]:PORT",
    "n1:n2:8001": "more than one colon",
    "[n1]:8001": "IPv6",
    "[127.0.0.1]:8001": "IPv6",
    "[fe80::1%e/t]:8001": "nothing may follow",
    "[fe80::1%e t]:8001": "IPv6",
    "[::1]8001:8001": "only a port",
    "ftp://n1:8001": "http and https, not ftp",
    "redis://n1:8001": "http and https, not redis",
    "http://http://n1:8001": "nothing may follow",
    "n1:8001/v1": "nothing may follow",
    "n1:8001?x": "nothing may follow",
    "me:secret@n1:8001": "password",
    "a..b:1": "between dots is empty",
    ".:1": "between dots is empty",
    "-a:1": "cannot be a host name",
    "a b:1": "cannot be a host name",
    "a\0b:1": "cannot be a host name",
    "a" * 64 + ":1": "cannot be a host name",
    "ü" * 64 + ":1": "cannot be a host name",
    ".".join(["a" * 60] * 5) + ":1": "cannot be a host name",
    "\ud800:1": "cannot be a host name",
    "256.0.0.1:1": "no IPv4 address",
    "127.1:1": "no IPv4 address",
    "0:1": "no IPv4 address",
    "0x7f000001:1": "no IPv4 address",
}


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_cannot_be_an_address_is_refused_with_the_right_spelling(text: str, words: str) -> None:
    with pytest.raises(BadAddress) as refused:
        parse_endpoint(text)
    told = f"{refused.value.message}; {refused.value.hint}"
    assert words in told
    assert "secret" not in told


@pytest.mark.parametrize("value", [None, 8001, b"n1:8001", ["n1:8001"], {"n1": 8001}])
def test_only_text_is_an_address(value: object) -> None:
    with pytest.raises(BadAddress, match="not text"):
        parse_endpoint(value)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[0:0::0]", "[::ffff:0.0.0.0]"])
def test_all_addresses_of_a_machine_are_none_for_others(host: str) -> None:
    assert parse_endpoint(f"{host}:8001").is_unspecified
    with pytest.raises(BadAddress, match="others could reach"):
        parse_reachable_endpoint(f"{host}:8001")
    assert str(parse_reachable_endpoint("[::1]:8001")) == "[::1]:8001"
