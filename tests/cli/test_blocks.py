"""When Enter goes on with a block instead of running it."""

import pytest

from cli.line.blocks import goes_on


@pytest.mark.parametrize(
    "text", ["begin\nset a 1", "multi atomic\nincr a; incr b", "set a 1\nBEGIN", "commit\nbegin\nget a"]
)
def test_a_transaction_that_is_begun_in_a_block_is_to_be_ended_in_it(text: str) -> None:
    assert goes_on(text)


@pytest.mark.parametrize(
    "text",
    [
        "begin",
        "get a",
        "begin; set a 1",
        "begin\nset a 1\ncommit",
        "begin\nset a 1; rollback",
        "multi\nincr a\nexec",
        "begin\nset a 1\n",
        "begin\nset a 1\n  ",
        "set a 1\nset b 2",
        "",
    ],
)
def test_everything_else_runs(text: str) -> None:
    assert not goes_on(text)
