"""Serving the pages of `raftdb.web`: one HTML file for all of them, and what it loads.

The policy lets a page load and run only files of this node, and connect only to members of the cluster, which it reads
as well; nobody may show a page within another. Browsers keep the files, and ask each time whether they are still the
same (`ETag`), because a node may be replaced by another version at any time.
"""

import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import replace
from string import Template
from typing import NamedTuple

from aiohttp import web
from aiohttp.hdrs import ACCEPT, IF_NONE_MATCH

from raftdb.endpoint import Endpoint
from raftdb.errors import RequestRefused
from raftdb.frontend.http_browser import MemberAddresses
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import SEGMENTS
from raftdb.route import Permission, Route
from raftdb.web import PAGES, Page, chapters, files, type_of

SHELL = "shell.html"
BEFORE_PAINT = "theme.js"
"""The one script that is no module, because it runs before anything is painted."""
FILES_PATH = "/web"
ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cache-Control", b"no-cache"),
)


class File(NamedTuple):
    """A file as it is served."""

    body: bytes
    content_type: bytes
    etag: bytes


class PagesApi:
    """The pages, and their files. `members` are the addresses that pages may connect to; `mode` is the setting
    `dashboard`: what they offer; `control` is the owner of the nodes' processes, if pages may ask it for something."""

    def __init__(
        self,
        members: MemberAddresses,
        *,
        mode: str,
        control: Endpoint | None = None,
        pages: Sequence[Page] = PAGES,
    ) -> None:
        self._members = members
        self._control = [] if control is None or mode != "write" else [control]
        self._pages = pages
        shell = Template(files()[SHELL].decode()).substitute(
            mode=html.escape(mode),
            control="".join(html.escape(owner.url()) for owner in self._control),
            navigation=_navigation(pages),
            styles=_styles(),
            modules=_modules(),
        )
        self._shell = _file(SHELL, shell.encode())
        # Read with the others, before there is a loop that it would hold up: lessons find them in the cache.
        chapters()
        self._files = {name: _file(name, body) for name, body in files().items() if name != SHELL}

    def routes(self) -> dict[str, dict[str, Route]]:
        """The paths of all pages but `/`, which is also the list of routes, and of the files."""
        page, file = Route(self.page, Permission.PAGE), Route(self.file, Permission.PAGE)
        paths = {entry.path: page for entry in self._pages if entry.path != "/"}
        paths |= {f"{FILES_PATH}/{{file}}": file, f"{FILES_PATH}/{{folder}}/{{file}}": file}
        return {path: {"GET": route, "HEAD": route} for path, route in paths.items()}

    async def page(self, request: web.BaseRequest) -> Reply:
        """GET of any page: the one HTML file."""
        policy = (b"Content-Security-Policy", policy_of([*self._members(), *self._control]))
        # The policy is part of what is kept, so that a page that was kept knows the members of now.
        etag = etag_of(self._shell.body + policy[1])
        return answer_file(request, self._shell._replace(etag=etag), [policy, (b"Vary", b"Accept")])

    async def file(self, request: web.BaseRequest) -> Reply:
        """GET /web/...: a file that a page loads."""
        name = "/".join(request[SEGMENTS].values())
        file = self._files.get(name)
        if file is None:
            raise RequestRefused("not_found", "no page has such a file")
        return answer_file(
            request, file, [(b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'")]
        )


def wants_page(request: web.BaseRequest) -> bool:
    """True if who asks would rather have a page than JSON: a browser that a person opens the address with."""
    kinds = (part.partition(";")[0].strip().lower() for part in request.headers.get(ACCEPT, "").split(","))
    return "text/html" in kinds


def policy_of(members: Iterable[Endpoint]) -> bytes:
    """The Content-Security-Policy of the pages."""
    sources = " ".join(["'self'", *sorted({_source_of(member) for member in members})])
    return f"default-src 'self'; connect-src {sources}; frame-ancestors 'none'".encode()


def _source_of(member: Endpoint) -> str:
    """The member as a source. A policy cannot name an address of IPv6: browsers take no brackets in it, and would not
    let the page hear that member at all. A port can be named, of any host."""
    return (replace(member, host="*") if ":" in member.host else member).url()


def answer_file(request: web.BaseRequest, file: File, headers: Iterable[tuple[bytes, bytes]]) -> Reply:
    """The file, or 304 for a browser that has it."""
    sent = [(b"ETag", file.etag), *ALWAYS, *headers]
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get(IF_NONE_MATCH, "").split(",")}
    if file.etag.decode() in known:
        return Reply(None, status=304, content_type=file.content_type, headers=sent)
    return Reply(file.body, content_type=file.content_type, headers=sent)


def _file(name: str, body: bytes) -> File:
    return File(body, (type_of(name) or "").encode(), etag_of(body))


def etag_of(body: bytes) -> bytes:
    """The `ETag` of a file."""
    return b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()


def _navigation(pages: Sequence[Page]) -> str:
    """A link for each page that has a place in the navigation; those without one are there, hidden, for the router."""
    return "\n".join(_link(page) for page in pages)


def _link(page: Page) -> str:
    title = html.escape(page.title or page.module)
    hidden = "" if page.title else " hidden"
    return f'<a href="{html.escape(page.path)}" data-module="{html.escape(page.module)}"{hidden}>{title}</a>'


def _styles() -> str:
    names = [name for name in files() if name.endswith(".css") and "/" not in name]
    return "\n".join(f'<link rel="stylesheet" href="{FILES_PATH}/{name}">' for name in names)


def _modules() -> str:
    """Have the browser load what the first page needs at once, and not one import after the other."""
    names = [name for name in files() if name.endswith(".js") and "/" not in name and name != BEFORE_PAINT]
    return "\n".join(f'<link rel="modulepreload" href="{FILES_PATH}/{name}">' for name in names)
