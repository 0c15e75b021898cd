"""The address that a node listens on is looked at before a folder is begun that would belong to it for good."""

import socket
import sys
from pathlib import Path

import pytest

from raftdb.errors import Fatal
from raftdb.server.bootstrap import run_node
from raftdb.server.config import Settings
from raftdb.server.folder import open_folder
from raftdb.server.listening import check_listen
from tests.addresses import at


def test_a_folder_is_not_begun_for_an_address_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the start with the right flags is refused: the folder would be that of a cluster of the wrong ones."""
    monkeypatch.setattr(sys, "setswitchinterval", lambda _seconds: None)
    data = tmp_path / "n1"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = at(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Fatal, match="address already in use") as refused:
            run_node(Settings(data=data, listen=listen))
    assert refused.value.exit_code == 3
    right = Settings(data=data, listen=listen, peers={"n1": listen, "n2": at("127.0.0.1:1")})
    with open_folder(right) as folder:
        assert folder.identity is None


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("203.0.113.1:8001", "cannot assign requested address"),
        ("no-such-name.invalid:8001", "the host name cannot be resolved"),
    ],
)
def test_an_address_that_is_not_of_this_machine_is_refused(listen: str, words: str) -> None:
    with pytest.raises(Fatal, match=words) as refused:
        check_listen(at(listen))
    assert refused.value.exit_code == 3
    assert "--advertise" in (refused.value.hint or "")


def test_an_address_that_is_free_is_let_go_again() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for listen in (f"127.0.0.1:{port}", f"0.0.0.0:{port}", f"127.0.0.1:{port}"):
        check_listen(at(listen))
