"""A node that other machines reach does not begin to listen without a word from its operator."""

from pathlib import Path

import pytest

from raftdb.__main__ import main
from raftdb.server.config import BadSetting, Settings, load
from raftdb.server.exposure import check_exposure, exposed, is_loopback
from tests.addresses import at

LOOPBACK = ["127.0.0.1:8001", "127.7.7.7:8001", "[::1]:8001", "localhost:8001"]
OPEN = ["0.0.0.0:8001", "[::]:8001", "10.0.0.1:8001", "203.0.113.1:8001", "[::ffff:10.0.0.1]:8001"]


@pytest.mark.parametrize("listen", LOOPBACK)
def test_a_loopback_address_needs_nothing(listen: str) -> None:
    assert is_loopback(at(listen))
    check_exposure(Settings(listen=at(listen), redis=at(listen)))


@pytest.mark.parametrize("door", ["listen", "redis", "redis_cluster"])
@pytest.mark.parametrize("address", OPEN)
def test_any_other_address_of_any_door_is_refused_unless_told(door: str, address: str) -> None:
    with pytest.raises(BadSetting, match=f"{door} is ") as refused:
        check_exposure(load({door: address}))
    assert refused.value.exit_code == 2
    assert "127.0.0.1" in (refused.value.hint or "")
    assert "insecure = true" in (refused.value.hint or "")
    check_exposure(load({door: address, "insecure": "true"}))
    assert list(exposed(load({door: address}))) == ["http" if door == "listen" else door]


@pytest.mark.parametrize(
    ("more", "may_listen"),
    [
        ({"tls_ca": "ca", "tls_client_ca": "ca"}, True),
        ({"tls_ca": "ca", "admin_password": "a-long-password"}, True),
        ({"tls_ca": "ca"}, False),
        ({"admin_password": "a-long-password"}, False),
        ({"tls_ca": "ca", "tls_client_ca": "ca", "tls": "both"}, False),
    ],
)
def test_where_everybody_proves_who_he_is_it_listens(more: dict[str, str], may_listen: bool) -> None:
    for door in ("listen", "redis", "redis_cluster"):
        settings = load({"tls": "required", "tls_cert": "c", "tls_key": "k", door: OPEN[0], **more})
        if may_listen:
            check_exposure(settings)
        else:
            with pytest.raises(BadSetting, match=f"{door} is "):
                check_exposure(settings)


def test_a_node_says_so_and_ends_before_it_makes_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "n1"
    assert main(["serve", "--listen", "0.0.0.0:8001", "--data", str(data)]) == 2
    assert "insecure = true" in capsys.readouterr().err
    assert not data.exists()
