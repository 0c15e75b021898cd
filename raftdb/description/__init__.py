"""The description of the HTTP API: `openapi.yaml`, written by hand, and `api.html`, a page that is made of it.

The page is made when the project is (`.ci/api_page.py`, which `.ci/check.py --fix` runs; a test says when it is stale),
and not when it is asked for: a node needs no reader of YAML, the page needs no script, and people can read it in the
repository. Both are served by every node (`raftdb.frontend.http_description`), at `/openapi.yaml` and `/api`.

The paths and methods are those of the node, both ways (`tests/test_docs.py`); every example is sent to a running node,
and what it answers is compared with the description (`tests/e2e/test_openapi.py`).
"""

from importlib import resources

OPENAPI_FILE = "openapi.yaml"
PAGE_FILE = "api.html"


def read(name: str) -> bytes:
    """One of the two files."""
    return (resources.files(__name__) / name).read_bytes()


__all__ = ["OPENAPI_FILE", "PAGE_FILE", "read"]
"""What the listener needs to serve them."""
