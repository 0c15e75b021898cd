"""Settings that name addresses: what nodes tell each other is one that can be dialled, in its one spelling."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.program import invoke
from cli.subcommands.options import Options
from raftdb.endpoint import RedisAddresses
from raftdb.errors import RaftdbError
from raftdb.impairment import NO_CONDITIONS
from raftdb.server import bootstrap
from raftdb.server.config import BadSetting, Settings, load
from raftdb.server.folder import cluster_id_of, open_folder
from raftdb.server.restore import restore
from raftdb.server.security import Security
from raftdb.server.start import SEED_LIMIT, impaired_network
from tests.addresses import at

EVERYWHERE = "0.0.0.0:8001"


def refusal(flags: Mapping[str, object]) -> str:
    """What is said of flags that cannot be; a wrong setting, never an exception of something below."""
    with pytest.raises(BadSetting) as refused:
        load(flags)
    assert refused.value.exit_code == 2
    return f"{refused.value.message}; {refused.value.hint}"


def test_addresses_are_taken_in_every_spelling_and_kept_in_one() -> None:
    settings = load(
        {
            "listen": "http://[::1]:8001/",
            "advertise": "HTTP://N1.example:8001",
            "redis": "0.0.0.0:6379",
            "redis_cluster": "[::]:6380",
            "peers": "n1=http://N1.example:8001/, n2=bücher:8001",
        }
    )
    assert settings.listen == at("[::1]:8001")
    assert settings.advertise == at("n1.example:8001")
    assert settings.peers == {"n1": at("n1.example:8001"), "n2": at("xn--bcher-kva:8001")}
    assert settings.advertised_redis == RedisAddresses(at("n1.example:6379"), at("n1.example:6380")), (
        "others cannot dial all addresses of this machine"
    )
    assert load({"join": "http://n1:1/,N2:2"}).join == (at("n1:1"), at("n2:2"))
    assert load({"join": ["http://n1:1"]}).join == (at("n1:1"),)


def test_a_network_is_words_and_needs_that_faults_may_be_injected() -> None:
    words = "delay 100ms 50ms loss 5%"
    settings = load({"fault_injection": "true", "network": words, "network_seed": "7"})
    assert (settings.fault_injection, str(settings.network), settings.network_seed) == (True, words, 7)
    assert not load({}).fault_injection
    assert "set fault_injection, too" in refusal({"network": words})
    assert "loss is a share of the messages, from 0% to 100%; loss 5%" in refusal({"network": "loss 5"})
    assert "it is no text" in refusal({"network": 5})
    assert load({"network": "none"}).network == NO_CONDITIONS


def test_only_a_node_that_may_injects_faults_and_its_seed_is_told() -> None:
    assert impaired_network(Settings()) is None
    drawn = impaired_network(Settings(fault_injection=True))
    assert drawn is not None
    assert 0 < drawn.seed < SEED_LIMIT
    said = impaired_network(Settings(id="n2", fault_injection=True, network_seed=7))
    assert said is not None
    assert (said.source, said.seed) == ("n2", 7)


ADDRESS_SETTINGS = {
    "listen": "{}",
    "advertise": "{}",
    "redis": "{}",
    "join": "{}",
    "peers": "n1=127.0.0.1:8001,n2={}",
}


@pytest.mark.parametrize("setting", ADDRESS_SETTINGS)
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("::1:8001", "write [::1]:8001"),
        ("n2", "write n2:PORT"),
        ("a..b:1", "empty"),
        ("ftp://n2:1", "not ftp"),
    ],
)
def test_every_setting_refuses_what_is_no_address(setting: str, address: str, words: str) -> None:
    told = refusal({setting: ADDRESS_SETTINGS[setting].format(address)})
    assert repr(setting) in told
    assert words in told
    if setting == "peers":
        assert f"{address!r} is no address for n2" in told


def test_what_others_are_told_is_not_all_addresses_of_a_machine(tmp_path: Path) -> None:
    assert "others could reach" in refusal({"advertise": EVERYWHERE})
    assert "others could reach" in refusal({"join": EVERYWHERE})
    assert "cannot be the address of n1" in refusal({"peers": f"n1={EVERYWHERE},n2=n2:1"})
    assert "cannot be the address of n2" in refusal(
        {"peers": f"n1=n1:1,n2={EVERYWHERE}", "advertise": "n1:1"}
    )
    replaced = load({"peers": f"n1={EVERYWHERE},n2=n2:1", "advertise": "n1:1"})
    assert replaced.peers == {"n1": at("n1:1"), "n2": at("n2:1")}, "of itself the node has said more"
    assert "same address" in refusal({"peers": f"n1={EVERYWHERE},n2=n2:1", "advertise": "n2:1"})


def test_a_new_folder_does_not_begin_with_an_address_of_no_use(tmp_path: Path) -> None:
    data = tmp_path / "data"
    alone = load({"listen": EVERYWHERE, "data": data})
    for begin in (lambda: open_folder(alone), lambda: restore(tmp_path / "backup", alone)):
        with pytest.raises(BadSetting) as refused:
            begin()
        assert "--advertise HOST:8001" in (refused.value.hint or "")
    assert not data.exists()
    with open_folder(Settings(listen=at(EVERYWHERE), advertise=at("n1:8001"), data=data)):
        pass


PAIR = {"tls_cert": "n1.crt", "tls_key": "n1.key"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tls": "maybe"}, "not one of off, both, required"),
        ({"tls": "both"}, "tls needs tls_cert and tls_key"),
        ({"tls": "required", "tls_cert": "n1.crt"}, "tls needs tls_cert and tls_key"),
        ({"tls_ca": "ca.crt"}, "tls_ca is set, and tls is off"),
        (PAIR, "tls_cert is set, and tls is off"),
        ({"tls": "both", **PAIR, "tls_client_ca": "ca.crt"}, "tls_client_ca needs tls_ca"),
        ({"tls": "both", **PAIR, "tls_peer_names": "n1=one"}, "there is no tls_ca"),
        ({"tls": "both", **PAIR, "tls_ca": "ca", "tls_peer_names": "n1=one:80"}, "without ports"),
        ({"tls": "both", **PAIR, "tls_ca": "ca", "tls_peer_names": "n1"}, "names of hosts"),
        ({"listen": "https://127.0.0.1:8001"}, "what a node listens on is HOST:PORT"),
        ({"advertise": "https://n1:8001"}, "is advertised, and tls is off"),
    ],
)
def test_what_does_not_belong_together_in_tls_is_refused(settings: dict[str, str], words: str) -> None:
    assert words in refusal(settings)


def test_where_tls_is_required_every_node_is_reached_by_it() -> None:
    cluster = {"peers": "n1=one:1,n2=https://two:2", "members": "n2=two:3"}
    settings = load({"tls": "required", **PAIR, **cluster, "listen": "127.0.0.1:8001"})
    assert settings.first_members == {"n1": at("one:1").over_tls(), "n2": at("two:2").over_tls()}
    assert settings.members == {"n2": at("two:3").over_tls()}
    assert (settings.advertise, settings.advertised) == (None, at("127.0.0.1:8001").over_tls())
    assert settings.listens == {"http": at("127.0.0.1:8001")}
    joining = load({"tls": "required", **PAIR, "join": "one:1", "advertise": "four:4"})
    assert joining.join == (at("one:1").over_tls(),)
    assert joining.advertised == at("four:4").over_tls()
    changing = load({"tls": "both", **PAIR, **cluster})
    assert str(changing.first_members["n1"]) == "one:1"


def test_the_name_of_a_cluster_does_not_depend_on_tls() -> None:
    plain = {"n1": at("one:1"), "n2": at("two:2")}
    assert cluster_id_of(plain) == cluster_id_of(
        {name: address.over_tls() for name, address in plain.items()}
    )


def test_members_of_a_recovery_can_be_dialled(tmp_path: Path) -> None:
    for members, words in ((f"n1={EVERYWHERE}", "others could reach"), ("n1=::1:8001", "brackets")):
        with pytest.raises(RaftdbError, match=words):
            invoke(["recover", "--data", str(tmp_path), "--members", members], Options())


def test_the_folder_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({}).data == tmp_path / "data"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "whole path" in refusal({})
    assert load({"data": tmp_path}).data == tmp_path


def test_a_new_folder_is_called_new(tmp_path: Path, log_records: list[logging.LogRecord]) -> None:
    settings = Settings(data=tmp_path / "data")
    with open_folder(settings) as folder:
        bootstrap.make_folder(folder, settings, Security(settings))
    said = [(record.getMessage(), getattr(record, "fields", None)) for record in log_records]
    assert ("the data folder is new, and begins empty", {"data": tmp_path / "data"}) in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the configuration {path}: no such file or directory"),
        (b"\xff", "the configuration {path} is not TOML: "),
        (b"id =", "the configuration {path} is not TOML: "),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told_in_our_words(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "raftdb.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting) as refused:
        load({"config": str(path)})
    assert refused.value.message.startswith(words.format(path=path))


def test_pages_that_act_need_a_token_which_no_message_repeats() -> None:
    token = "abcdefgh-12345678_XYZ"
    settings = load({"dashboard": "write", "dashboard_token": token})
    assert (settings.dashboard, settings.dashboard_token) == ("write", token)
    assert token not in repr(settings)
    with pytest.raises(BadSetting, match="only with a token"):
        load({"dashboard": "write"})
    with pytest.raises(BadSetting) as refused:
        load({"dashboard_token": "a secret with spaces"})
    assert "secret with spaces" not in str(refused.value)
