"""The names of hosts that a node is reached under, as settings."""

import pytest

from raftdb.server.config import BadSetting, load


def test_names_of_hosts_are_taken_as_a_list_or_as_text() -> None:
    for given in ("Raft.example, db_1", ["raft.example", "DB_1"]):
        assert load({"allowed_hosts": given}).allowed_hosts == ("raft.example", "db_1")


@pytest.mark.parametrize("given", ["", "a,,b", "a:8001", "http://a", "a b", [], [1], 5, "b\u00fccher", "*"])
def test_what_is_no_name_of_a_host_is_refused(given: object) -> None:
    with pytest.raises(BadSetting, match="allowed_hosts"):
        load({"allowed_hosts": given})
