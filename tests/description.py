"""The description of the HTTP API, as tests read it."""

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "raftdb" / "description" / "openapi.yaml"
PAGE = FILE.with_name("api.html")
METHODS = ("get", "head", "post", "put", "patch", "delete")


class Operation(NamedTuple):
    """One method of one path, with the parameters of both."""

    method: str
    path: str
    described: dict[str, Any]
    parameters: list[dict[str, Any]]


@cache
def description() -> dict[str, Any]:
    """All of it."""
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def resolve(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference names, or the value itself."""
    while "$ref" in value:
        found: Any = description()
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def operations() -> Iterator[Operation]:
    """All operations, in the order in which they stand."""
    for path, item in description()["paths"].items():
        for method in item:
            if method in METHODS:
                own = item[method].get("parameters", [])
                parameters = [resolve(one) for one in (*item.get("parameters", []), *own)]
                yield Operation(method.upper(), path, item[method], parameters)


def generator() -> ModuleType:
    """The program that makes the page."""
    spec = importlib.util.spec_from_file_location("api_page", ROOT / ".ci" / "api_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
