"""What the history must not keep."""

import pytest

from cli.line.private_lines import is_private


@pytest.mark.parametrize(
    "line",
    [
        "auth hunter2",
        "AUTH user hunter2",
        "ping; auth hunter2",
        "begin\nauth x",
        "set user:1:password hunter2",
        "set passwd x",
        "get db_pwd",
        "set api-key 12",
        "set APIKEY 12",
        "set private_key x",
        "set session_token x",
        "set oauth.clientSecret x",
        "set credentials x",
        'set cert "-----BEGIN RSA PRIVATE KEY-----"',
        ".login ana hunter2",
        "  .LOGIN ana hunter2",
        " set a 1",
        "\tset a 1",
    ],
)
def test_secrets_and_lines_that_begin_with_a_space_are_private(line: str) -> None:
    assert is_private(line)


@pytest.mark.parametrize(
    "line",
    [
        "set a 1",
        "get author",
        "set authors 3",
        "set key 1",
        "get keys:1",
        "set pass 1",
        "",
        ".nodes",
        ".login ana",
    ],
)
def test_others_are_not(line: str) -> None:
    assert not is_private(line)
