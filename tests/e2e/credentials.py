"""What requests to nodes with users bear."""

import base64

ADMIN_PASSWORD = "the-password-of-these-tests"
WITH_ADMIN = {"RAFTDB_ADMIN_PASSWORD": ADMIN_PASSWORD}
"""The environment of nodes that make the user `admin`."""


def basic(user: str, password: str) -> dict[str, str]:
    """A user with a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(secret: str) -> dict[str, str]:
    """A token."""
    return {"Authorization": f"Bearer {secret}"}


ADMIN = basic("admin", ADMIN_PASSWORD)
