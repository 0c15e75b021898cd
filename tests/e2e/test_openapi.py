"""The description of the HTTP API against a running node: every example is sent, and every answer is as described."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from jsonschema_rs import Draft202012Validator

from tests.description import FILE, description, operations, resolve
from tests.e2e.cluster import Cluster, Node
from tests.e2e.credentials import ADMIN, WITH_ADMIN

EXPECTED = {
    "message": 404,
    "promoteMember": 409,
    "transfer": 404,
}
"""What the examples of these operations get from one node: the others get 200, by their order in the file."""
FORM = "application/x-www-form-urlencoded"
STREAMS = {"events"}
"""Answers without an end."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node, which leads."""
    cluster = Cluster(tmp_path_factory.mktemp("described"), ["n1"])
    cluster["n1"].environment = {"RAFTDB_FAULT_INJECTION": "true", **WITH_ADMIN}
    cluster["n1"].headers = ADMIN
    try:
        yield cluster.start().wait_serving()
    finally:
        cluster.close()


def schema_of(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what its references name."""
    return {**schema, "components": description()["components"]}


def violations(schema: dict[str, Any], value: Any) -> list[str]:
    """What of a value is not as its schema says."""
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in Draft202012Validator(schema_of(schema)).iter_errors(value)
    ]


def examples_of(media: dict[str, Any]) -> list[Any]:
    """The examples of a body."""
    several = [one["value"] for one in media.get("examples", {}).values()]
    return several + ([media["example"]] if "example" in media else [])


def test_every_example_is_as_its_schema_says() -> None:
    checked = 0
    for _, path, described, parameters in operations():
        bodies = list(described.get("requestBody", {}).get("content", {}).values())
        for answer in described["responses"].values():
            bodies += resolve(answer).get("content", {}).values()
        for media in bodies:
            for example in examples_of(media):
                assert violations(media["schema"], example) == [], (path, example)
                checked += 1
        for parameter in parameters:
            if "example" in parameter:
                assert violations(parameter["schema"], parameter["example"]) == [], (path, parameter)
    assert checked > 60


def test_every_body_has_an_example_and_every_name_a_place() -> None:
    tags = {tag["name"] for tag in description()["tags"]}
    names = [operation.described["operationId"] for operation in operations()]
    assert len(set(names)) == len(names)
    for _, path, described, parameters in operations():
        assert set(described["tags"]) <= tags
        for media in described.get("requestBody", {}).get("content", {}).values():
            assert examples_of(media), path
        in_path = {one["name"] for one in parameters if one["in"] == "path"}
        assert in_path == {step[1:-1] for step in path.split("/") if step.startswith("{")}
        assert all("example" in one for one in parameters if one["in"] == "path"), path


def test_every_example_is_answered_as_it_is_described(node: Node) -> None:
    """In the order of the file, which is a story: what is put is there for those that take it."""
    for method, path, described, parameters in operations():
        name = described["operationId"]
        if name in STREAMS:
            continue
        given = [one for one in parameters if "example" in one]
        target = path
        for one in given:
            target = target.replace("{" + one["name"] + "}", quote(str(one["example"]), safe=""))
        query = {one["name"]: one["example"] for one in given if one["in"] == "query"}
        target += f"?{urlencode(query)}" if query else ""
        bodies: list[bytes | None] = [None]
        for kind, media in described.get("requestBody", {}).get("content", {}).items():
            encode = urlencode if kind == FORM else json.dumps
            bodies = [encode(example).encode() for example in examples_of(media)]
        for body in bodies:
            response = node.ask(method, target, body)
            where = (method, target, body, response.status, response.body[:500])
            assert response.status == EXPECTED.get(name, 200), where
            answer = resolve(described["responses"][str(response.status)])
            kind = response.headers["content-type"].partition(";")[0]
            media = answer["content"].get(kind)
            assert media is not None, where
            if kind == "application/json":
                assert violations(media["schema"], json.loads(response.body)) == [], where


def test_the_description_and_its_page_are_served(node: Node) -> None:
    served = node.ask("GET", "/openapi.yaml")
    assert served.body == FILE.read_bytes()
    page = node.ask("GET", "/api")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    etag = page.headers["etag"]
    assert etag.startswith('"')
