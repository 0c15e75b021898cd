"""Serving the description of the API: `/openapi.yaml` for programs, `/api` for people (`raftdb.description`)."""

from aiohttp import web

from raftdb.description import OPENAPI_FILE, PAGE_FILE, read
from raftdb.frontend.http_pages import File, answer_file, etag_of
from raftdb.frontend.http_reply import Reply
from raftdb.route import Permission, Route

OPENAPI_TYPE = b"application/yaml; charset=utf-8"
PAGE_TYPE = b"text/html; charset=utf-8"
# Read when this module is loaded, which is before there is a loop that it would hold up.
OPENAPI, PAGE = read(OPENAPI_FILE), read(PAGE_FILE)
POLICY = b"default-src 'self'; frame-ancestors 'none'"


class DescriptionApi:
    """The handlers of the description."""

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with both."""
        return {
            "/openapi.yaml": {"GET": Route(self.openapi, Permission.PAGE)},
            "/api": {"GET": Route(self.page, Permission.PAGE)},
        }

    async def openapi(self, request: web.BaseRequest) -> Reply:
        """GET /openapi.yaml, which any node answers."""
        return _serve(request, OPENAPI, OPENAPI_TYPE)

    async def page(self, request: web.BaseRequest) -> Reply:
        """GET /api, which any node answers."""
        return _serve(request, PAGE, PAGE_TYPE)


def _serve(request: web.BaseRequest, body: bytes, content_type: bytes) -> Reply:
    policy = (b"Content-Security-Policy", POLICY)
    return answer_file(request, File(body, content_type, etag_of(body)), [policy])
