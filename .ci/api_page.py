#!/usr/bin/env python3
"""Make the page of the API, `raftdb/description/api.html`, from `openapi.yaml` beside it: `python .ci/api_page.py`.

Plain HTML: a list of all requests, and for each its parameters, its body and its answers with their schemas and
examples. No script, nothing from elsewhere. `make(text)` gives the page, for the test that says when it is stale.
"""

import html
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "raftdb" / "description"
METHODS = ("get", "head", "post", "put", "patch", "delete")

HEAD = """<!doctype html>
<!-- Made by .ci/api_page.py from openapi.yaml: change that. -->
<html lang="en">
<head>
<meta charset="utf-8">
<title>raftdb: the HTTP API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" type="image/svg+xml" href="/web/icon.svg">
<link rel="stylesheet" href="/web/app.css">
<link rel="stylesheet" href="/web/description/api.css">
<script src="/web/theme.js"></script>
</head>
<body>
<header class="bar"><a class="brand" href="/">raftdb</a></header>
<main class="api">
"""
TAIL = "</main>\n</body>\n</html>\n"


class Page:
    """The page of one description."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._all = description

    def resolve(self, value: dict[str, Any]) -> dict[str, Any]:
        """What a `$ref` names, or the value itself."""
        while "$ref" in value:
            found: Any = self._all
            for step in value["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            value = {**found, **{key: inner for key, inner in value.items() if key != "$ref"}}
        return value

    def lines(self) -> Iterator[str]:
        """The parts of the page in order."""
        info = self._all["info"]
        yield HEAD
        yield f"<h1>{text(info['title'])}: the HTTP API</h1>\n<p>{text(info['summary'])}</p>\n"
        yield from map(paragraph, info["description"].split("\n\n"))
        yield '<p><a href="/openapi.yaml">openapi.yaml</a> is the same for programs.</p>\n'
        yield from self._contents()
        for tag in self._all["tags"]:
            yield f'<section id="{text(tag["name"])}">\n<h2>{text(tag["name"].capitalize())}</h2>\n'
            yield paragraph(tag["description"])
            for path, method, operation in self._operations(tag["name"]):
                yield from self._operation(path, method, operation)
            yield "</section>\n"
        yield '<section id="schemas">\n<h2>Schemas</h2>\n'
        for name, schema in self._all["components"]["schemas"].items():
            yield f'<article id="schema-{text(name)}">\n<h3>{text(name)}</h3>\n{block(schema)}</article>\n'
        yield "</section>\n" + TAIL

    def _operations(self, tag: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, item in self._all["paths"].items():
            for method in METHODS:
                if method in item and tag in item[method]["tags"]:
                    own = item[method].get("parameters", [])
                    yield path, method, {**item[method], "parameters": [*item.get("parameters", []), *own]}

    def _contents(self) -> Iterator[str]:
        yield '<nav aria-label="Requests">\n'
        for tag in self._all["tags"]:
            yield f"<h2>{text(tag['name'].capitalize())}</h2>\n<ul>\n"
            for path, method, operation in self._operations(tag["name"]):
                anchor = text(operation["operationId"])
                yield f'<li><a href="#{anchor}"><code>{method.upper()} {text(path)}</code></a></li>\n'
            yield "</ul>\n"
        yield "</nav>\n"

    def _operation(self, path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
        yield f'<article id="{text(operation["operationId"])}">\n'
        yield f'<h3><span class="method">{method.upper()}</span> <code>{text(path)}</code></h3>\n'
        yield paragraph(operation["summary"])
        if "description" in operation:
            yield paragraph(operation["description"])
        parameters = [self.resolve(one) for one in operation["parameters"]]
        if parameters:
            yield "<table>\n<tr><th>Parameter</th><th>In</th><th>What it is</th></tr>\n"
            for one in parameters:
                what = " ".join(filter(None, (one.get("description"), short(self.resolve(one["schema"])))))
                yield f"<tr><td><code>{text(one['name'])}</code></td><td>{text(one['in'])}</td>"
                yield f"<td>{text(what)}</td></tr>\n"
            yield "</table>\n"
        for media in operation.get("requestBody", {}).get("content", {}).values():
            yield "<details>\n<summary>Body</summary>\n" + block(media["schema"]) + "</details>\n"
            for title, example in examples_of(media):
                yield f'<p class="soft">{text(title)}</p>\n{block(example)}'
        yield "<table>\n<tr><th>Answer</th><th>What it says</th></tr>\n"
        for status, answer in operation["responses"].items():
            known = self.resolve(answer)
            yield f"<tr><td>{text(status)}</td><td>{text(known['description'])}"
            for kind, media in known.get("content", {}).items():
                for _, example in examples_of(media) if "$ref" not in answer else ():
                    yield block(example) if "json" in kind else f"<pre>{text(str(example))}</pre>\n"
            yield "</td></tr>\n"
        yield "</table>\n</article>\n"


def examples_of(media: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The examples of a body or an answer, each with its words."""
    if "example" in media:
        yield "For example:", media["example"]
    for one in media.get("examples", {}).values():
        yield one["summary"], one["value"]


def short(schema: dict[str, Any]) -> str:
    """A schema of a parameter in few words."""
    words = [str(schema[key]) for key in ("type",) if key in schema]
    if "enum" in schema:
        words = ["one of " + ", ".join(map(str, schema["enum"]))]
    for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "up to so many bytes:")):
        if key in schema:
            words.append(f"{word} {schema[key]}")
    if "default" in schema:
        words.append(f"({json.dumps(schema['default'])} unless said)")
    return " ".join(words) + "." if words else ""


def block(value: Any) -> str:
    """A value as JSON; what a reference names is a link to it."""
    lines = []
    for line in json.dumps(value, indent=2, ensure_ascii=False).split("\n"):
        before, found, name = line.partition('"$ref": "#/components/schemas/')
        if found:
            shown, _, after = name.partition('"')
            lines.append(f'{text(before)}<a href="#schema-{text(shown)}">{text(shown)}</a>{text(after)}')
        else:
            lines.append(text(line))
    return "<pre>" + "\n".join(lines) + "</pre>\n"


def paragraph(words: str) -> str:
    """A paragraph; what stands between backquotes is code, and between pairs of asterisks it is strong."""
    shown = text(words.strip())
    for mark, tag in (("**", "strong"), ("`", "code")):
        parts = shown.split(mark)
        shown = "".join(
            part if number % 2 == 0 else f"<{tag}>{part}</{tag}>" for number, part in enumerate(parts)
        )
    return f"<p>{shown}</p>\n"


def text(words: str) -> str:
    """Words as they stand in HTML."""
    return html.escape(words)


def make(description: str) -> str:
    """The page of a description in YAML."""
    return "".join(Page(yaml.safe_load(description)).lines())


def main() -> int:
    """Write the page."""
    page = make((FOLDER / "openapi.yaml").read_text(encoding="utf-8"))
    (FOLDER / "api.html").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
