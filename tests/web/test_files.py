"""The files of the pages, as text: what they may not contain, and that they are installed."""

import re
import tomllib
from pathlib import Path

from raftdb.web import PAGES, chapters, files

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


def test_no_text_can_become_markup_and_nothing_is_loaded_from_elsewhere() -> None:
    assert len(files()) > 8
    for name, body in files().items():
        text = body.decode("utf-8")
        code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        assert not DANGEROUS.search(code), name
        assert not ELSEWHERE.search(code), name
        assert not (name.endswith(".html") and INLINE.search(text)), name


def test_every_page_has_its_module() -> None:
    for page in PAGES:
        assert b"export " in files()[f"pages/{page.module}.js"], page


def test_all_pages_together_are_small() -> None:
    assert sum(map(len, files().values())) < BYTES_MAX


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
