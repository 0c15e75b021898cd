"""The option that lets scenarios write down what they see."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what the scenarios of tests/core print into their files, to be reviewed as a diff",
    )
