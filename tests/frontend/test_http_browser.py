"""What pages in a browser may read and change: by their origin, and by the token of the operator."""

import pytest

from raftdb.endpoint import Endpoint
from raftdb.frontend.http_browser import Browsers
from raftdb.frontend.http_pages import PagesApi, policy_of
from raftdb.web import files
from tests.addresses import at
from tests.frontend.support import get, post, running

PING = b'{"command": "ping"}'
TOKEN = "the-token-of-this-session"
MEMBERS = [at("127.0.0.1:8001"), at("db.example:8002"), at("[::1]:8003")]
PAGES = PagesApi(lambda: MEMBERS, mode="read")
BEARER = f"Authorization: Bearer {TOKEN}"


def ours(*, token: str | None = TOKEN) -> Browsers:
    return Browsers(lambda: MEMBERS, token=token)


@pytest.mark.parametrize(
    ("origin", "more", "status"),
    [
        ("http://node", [BEARER], 200),
        ("http://db.example:8002", [BEARER], 200),
        ("http://127.0.0.1:8001", [BEARER], 200),
        ("http://localhost:8001", [BEARER], 200),
        ("http://node", [], 403),
        ("http://node", [BEARER + "x"], 403),
        ("http://node", [f"Authorization: Basic {TOKEN}"], 403),
        ("http://db.example:8003", [BEARER], 403),
        ("https://db.example:8002", [BEARER], 403),
        ("http://evil.example", [BEARER], 403),
        ("null", [BEARER], 403),
    ],
)
async def test_only_a_page_of_a_member_that_bears_the_token_acts(
    origin: str, more: list[str], status: int
) -> None:
    async with running(browsers=ours()) as http:
        response = await http.request(post(PING, headers=[f"Origin: {origin}", *more]))
        assert response.status == status
        assert len(http.node.executed) == (status == 200)


async def test_where_pages_may_only_look_no_token_helps() -> None:
    async with running(browsers=ours(token=None)) as http:
        refused = await http.request(post(PING, headers=["Origin: http://node", BEARER]))
        assert (refused.status, refused.code, http.node.executed) == (403, "forbidden", [])
        # A program, which sends no origin, is not concerned.
        assert (await http.request(post(PING))).status == 200


async def test_pages_of_members_read_what_is_read_only() -> None:
    async with running(browsers=ours()) as http:
        for origin in ("http://db.example:8002", "http://[::1]:8003", "http://localhost:8003"):
            answer = await http.request(get("/v1/status", headers=[f"Origin: {origin}"]))
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["vary"] == "Origin"
        # An error has to be read, too.
        http.node.leads = False
        answer = await http.request(get("/v1/request_log", headers=["Origin: http://db.example:8002"]))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (
            503,
            "http://db.example:8002",
        )
        for path, origin in (("/v1/status", "http://evil.example"), ("/v1/backup", "http://db.example:8002")):
            answer = await http.request(get(path, headers=[f"Origin: {origin}"]))
            assert "access-control-allow-origin" not in answer.headers


async def test_a_browser_that_asks_before_is_told_what_a_member_s_page_may_send() -> None:
    asks = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"]
    async with running(browsers=ours()) as http:
        question = get("/v1/execute", method="OPTIONS", headers=["Origin: http://db.example:8002", *asks])
        answer = await http.request(question)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["access-control-allow-origin"] == "http://db.example:8002"
        assert answer.headers["access-control-allow-methods"] == "POST"
        assert "authorization" in answer.headers["access-control-allow-headers"]
        foreign = get("/v1/execute", method="OPTIONS", headers=["Origin: http://evil.example", *asks])
        answer = await http.request(foreign)
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers


async def test_a_browser_gets_the_page_and_a_program_the_routes() -> None:
    async with running(pages=PAGES) as http:
        page = await http.request(get("/", headers=["Accept: text/html,application/xhtml+xml,*/*;q=0.8"]))
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"] == (
            "default-src 'self'; connect-src 'self' http://*:8003 http://127.0.0.1:8001 "
            "http://db.example:8002; frame-ancestors 'none'"
        )
        assert page.headers["x-content-type-options"] == "nosniff"
        assert b'data-dashboard="read"' in page.body
        for headers in ([], ["Accept: */*"], ["Accept: application/json"]):
            assert (await http.request(get("/", headers=headers))).json["name"] == "raftdb"
        head = await http.request(get("/", method="HEAD", headers=["Accept: text/html"]), body=False)
        assert head.headers["content-length"] == str(len(page.body))
        # Another name that leads here is refused before anything is served (hazard B103).
        evil = b"GET / HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\n\r\n"
        assert (await http.request(evil)).status == 403


async def test_files_of_pages_are_kept_by_browsers_and_nothing_else_is_served() -> None:
    async with running(pages=PAGES) as http:
        for name, body in files().items():
            if name != "shell.html":
                assert (await http.request(get(f"/web/{name}"))).body == body, name
        script = await http.request(get("/web/shell.js"))
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        known = [f'If-None-Match: "other", W/{script.headers["etag"]}']
        again = await http.request(get("/web/shell.js", headers=known))
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", script.headers["etag"])
        for path in (
            "shell.html",
            "__init__.py",
            "..%2f__init__.py",
            "../py.typed",
            "%2e%2e/py.typed",
            "a/b/c",
        ):
            assert (await http.request(get(f"/web/{path}"))).status == 404, path


async def test_without_a_dashboard_there_are_no_pages() -> None:
    async with running() as http:
        assert (await http.request(get("/web/shell.js"))).status == 404
        assert (await http.request(get("/", headers=["Accept: text/html"]))).json["name"] == "raftdb"


def test_a_policy_names_members_and_of_those_with_ipv6_the_port() -> None:
    """Browsers take no brackets in a source, and would refuse to connect to such a member."""
    members = [Endpoint("127.0.0.1", 8001), Endpoint("db.example", 8002), Endpoint("::1", 8003)]
    policy = policy_of(members).decode()
    assert "connect-src 'self' http://*:8003 http://127.0.0.1:8001 http://db.example:8002;" in policy
    assert "[" not in policy
