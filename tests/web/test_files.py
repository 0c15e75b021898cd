"""The files of the pages, as text: what they may not contain, and that they are installed."""

import hashlib
import posixpath
import re
import tomllib
from pathlib import Path

from raftdb.web import PAGES, VENDORED, chapters, files

ROOT = Path(__file__).resolve().parent.parent.parent
BYTES_MAX = 150_000

DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|eval\(|"
    r"new Function|setTimeout\([\"'`]|setHTMLUnsafe|javascript:"
)
"""Ways by which text becomes markup or a program."""
INLINE = re.compile(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style")
"""What the policy of the pages would not run."""
ELSEWHERE = re.compile(r"(?<!xmlns=\")(?<!const SVG = \")https?://(?!\$)[a-z]", re.IGNORECASE)
"""An address of another host."""


def own_files() -> dict[str, bytes]:
    """The files that this project has written."""
    return {name: body for name, body in files().items() if not name.startswith("vendored/")}


def test_no_text_can_become_markup_and_nothing_is_loaded_from_elsewhere() -> None:
    assert len(files()) > 8
    for name, body in own_files().items():
        text = body.decode("utf-8")
        code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        assert not DANGEROUS.search(code), name
        assert not ELSEWHERE.search(code), name
        assert not (name.endswith(".html") and INLINE.search(text)), name


def test_every_page_has_its_module() -> None:
    for page in PAGES:
        assert b"export " in files()[f"pages/{page.module}.js"], page


def test_what_modules_import_is_there() -> None:
    imported = re.compile(r'import[^"();]*?\{([^}]*)\} from "(\.[^"]+)"')
    found = 0
    for name, body in own_files().items():
        for names, path in imported.findall(body.decode("utf-8")) if name.endswith(".js") else ():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
            assert target in files(), f"{name} imports {path}"
            text = files()[target].decode("utf-8")
            for one in names.split(","):
                exported = one.strip().partition(" as ")[0]
                declared = rf"^export (async )?(function|class|const|let) {re.escape(exported)}\b"
                assert not exported or re.search(declared, text, re.MULTILINE), f"{name} imports {exported}"
                found += 1
    assert found > 100


def loaded_by(module: str) -> set[str]:
    """The files that a page loads: those of all pages, its module, and what that names of other folders."""
    loaded = {name for name in files() if "/" not in name}
    named = [f"pages/{module}.js"]
    while named:
        name = named.pop()
        if name not in loaded:
            loaded.add(name)
            text = files()[name].decode("utf-8")
            folder = name.rpartition("/")[0]
            found = re.findall(r'"(?:/web|\.\.)/(\w+/[\w.-]+\.(?:js|css))"', text)
            found += [f"{folder}/{one}" for one in re.findall(r'"\./([\w.-]+\.js)"', text)]
            named += [one for one in found if one in files()]
    return loaded


def test_what_a_page_loads_is_small() -> None:
    sizes = {page.module: sum(len(files()[name]) for name in loaded_by(page.module)) for page in PAGES}
    assert max(sizes.values()) < BYTES_MAX, sizes
    assert "vendored/uPlot.iife.min.js" in loaded_by("charts")
    assert not any(name.startswith("vendored/") for name in loaded_by("cluster"))


def test_what_others_have_written_is_as_they_have_published_it() -> None:
    folder = ROOT / "raftdb" / "web"
    listed: dict[str, str] = {}
    for name, vendored in VENDORED.items():
        assert vendored.license in ("MIT", "Apache-2.0", "BSD-3-Clause"), name
        assert any(vendored.version in (folder / path).read_text("utf-8") for path in vendored.digests), name
        listed |= vendored.digests
    found = {str(path.relative_to(folder)): path for path in (folder / "vendored").iterdir()}
    assert found.keys() == listed.keys()
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name


def test_all_files_are_in_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["raftdb.web"]
    folder = ROOT / "raftdb" / "web"
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix not in ("", ".py", ".pyc")]
    assert {str(path) for path in found} == {*files(), *(f"chapters/{name}.txt" for name in chapters())}
    for path in found:
        assert any(
            path.match(pattern) and pattern.count("/") == len(path.parts) - 1 for pattern in patterns
        ), path
