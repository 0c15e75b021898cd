"""The pages that every node serves: their files, and the table of pages.

A page is a module of JavaScript and a row of `PAGES`. There is one HTML file, `shell.html`, which all pages share; the
node fills in the table as its navigation, and `shell.js` shows the page whose path is in the address. Nothing is built:
what stands in this folder is what browsers load, as ES modules, and no other host is asked for anything.

Adding a page
-------------
1. A row in `PAGES`: the path, its name in the navigation, and the module, a file in `pages/`.
2. `pages/NAME.js`, which exports `open(view)`, called when the page is gone to. It builds what it shows in `view.root`
   and may return a function, which is called when the page is left. `view` has

   * `view.cluster`: what is known of all nodes, from one stream each (`cluster.js`): `cluster.list()`,
     `cluster.leader`, `cluster.members`, each node with `status`, `log`, `metrics`, `isHeard`; and `cluster.happened`;
   * `view.on(cluster, "change", f)` calls `f` when something has changed, until the page is left; `"happened"` and
     `"sent"` tell what has happened and which messages flow. `view.every(ms, f)` is a timer that ends with the page,
     and `view.signal` aborts its requests;
   * `view.api`: requests to the public HTTP API (`api.js`): `view.api.get(path)` to any node, and
     `view.api.leader(method, path, body)` to the node that leads; both fail with an `ApiError` in words.
     `view.api.mayAct` says whether changes are allowed, and `view.api.whyNot` why not;
   * `view.parameters`: what stood at `{name}` in the path of the row, and `view.query`, the `URLSearchParams`;
   * `view.go(path)`: to another page, without loading it anew. Plain links do the same.

   Styles that are only its own stand in `NAME.css` beside `app.css`: all of these are loaded. What asks before it acts
   uses `confirm.js`.
3. Its path in the table of pages of docs/interface.md, section 7, and its story in `tests/web`.

A module that only one page needs stands in a folder named like the page: it is not loaded before. `data/` has what
pages about keys and entries share. The page `/learn` plays chapters, scripts of `chapters/`, which a simulated cluster
acts out (`raftdb.frontend.http_lessons`).

Rules
-----
* `dom.js` builds elements. Text goes into the document as text nodes only: nothing that a key, a value, a node's id, an
  address or a line of a log holds is ever parsed as markup (`tests/web` looks for `innerHTML` and its like).
* What is heard from the address of a node is checked before it is believed (`heard.js`): another program, or a node of
  another cluster, may be there by now. A page that counts on one more field of a stream names it there.
* No inline script and no inline style: the policy of the pages forbids both (`raftdb.frontend.http_pages`). What
  depends on data is set as a property (`element.style.width`) or as an attribute of SVG.
* Colours and distances are the variables of `app.css`, each in a light and a dark form. Colour says nothing alone.
* Numbers have units and words (`words.js`): "2 entries behind", "last heard 12 s ago".
* What a page loads stays below 150 KB. A hidden tab has no stream open.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple


class Page(NamedTuple):
    """A page: its path, perhaps with a segment `{name}`, its name in the navigation (None: it has no place there), and
    its module in `pages/`."""

    path: str
    title: str | None
    module: str


PAGES = (
    Page("/", "Cluster", "cluster"),
    Page("/nodes", "Nodes", "nodes"),
    Page("/nodes/{id}", None, "nodes"),
    Page("/timeline", "Timeline", "timeline"),
    Page("/log", "Log", "log"),
    Page("/charts", "Charts", "charts"),
    Page("/keys", "Keys", "keys"),
    Page("/work", "Queues", "work"),
    Page("/note", "Note", "note"),
    Page("/note/{name}", None, "note"),
    Page("/learn", "Learn", "learn"),
    Page("/learn/{chapter}", None, "learn"),
)
"""All pages, in the order of the navigation."""


class Vendored(NamedTuple):
    """Something of others that pages load: its version, its license, and the SHA-256 of each of its files here, which
    are as they were published."""

    version: str
    license: str
    digests: Mapping[str, str]


VENDORED = {
    "uplot": Vendored(
        "1.6.32",
        "MIT",
        {
            "vendored/LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
            "vendored/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
            "vendored/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        },
    )
}
"""By the name in the registry of npm. Only the page that needs it loads it."""

TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
"""The media type of each kind of file that is served."""
FILES_DEPTH_MAX = 2
"""A file is in the package's folder, or in one folder of it."""


@cache
def files() -> dict[str, bytes]:
    """All files that pages are made of, by their paths in this package, as in `pages/cluster.js`."""
    found: dict[str, bytes] = {}
    _collect(resources.files(__name__), "", found, FILES_DEPTH_MAX)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, bytes], depth: int) -> None:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir() and depth > 1:
            _collect(item, f"{prefix}{item.name}/", found, depth - 1)
        elif item.is_file() and type_of(item.name) is not None:
            found[prefix + item.name] = item.read_bytes()


@cache
def chapters() -> dict[str, str]:
    """The scripts of the lessons that the page `/learn` plays, by name: `raftdb.simulation.lesson_script`."""
    found = (resources.files(__name__) / "chapters").iterdir()
    return {
        item.name.removesuffix(".txt"): item.read_text(encoding="utf-8")
        for item in sorted(found, key=lambda item: item.name)
        if item.name.endswith(".txt")
    }


def type_of(name: str) -> str | None:
    """The media type of a file; None if it is not one that is served."""
    return next((kind for ending, kind in TYPES.items() if name.endswith(ending)), None)


__all__ = ["PAGES", "Page", "chapters", "files", "type_of"]
"""What the listener needs to serve the pages."""
