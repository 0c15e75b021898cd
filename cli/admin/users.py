"""Showing users, roles and tokens."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from cli.console import render
from cli.console.output import Output
from raftdb.client.model import NewToken, Role, Token, User

NEVER = "never"


def show_users(users: Sequence[User], output: Output) -> None:
    """Show a row for each user."""
    rows = [
        (
            user.name,
            _listed(user.roles),
            _listed(user.tokens),
            "yes" if user.has_password else "no",
        )
        for user in users
    ]
    output.table(
        ("user", "roles", "tokens", "password"), rows, {"users": [dict(user.body) for user in users]}
    )


def show_roles(roles: Sequence[Role], output: Output) -> None:
    """Show a row for each role."""
    rows = [(role.name, _listed(map(_text, role.grants))) for role in roles]
    output.table(("role", "grants"), rows, {"roles": [dict(role.body) for role in roles]})


def show_tokens(tokens: Sequence[Token], output: Output) -> None:
    """Show a row for each token of a user."""
    rows = [(token.name, _time(token.made_ms), _time(token.ends_ms)) for token in tokens]
    output.table(("token", "made", "ends"), rows, {"tokens": [dict(token.body) for token in tokens]})


def show_new_token(user: str, name: str, token: NewToken, output: Output) -> None:
    """Show the secret of a new token; raw it is all that is shown."""
    if output.format == "raw":
        output.raw(token.secret.encode())
        return
    fields = {"user": user, "token": name, "secret": token.secret, "ends": _time(token.ends_ms)}
    body = {"user": user, "token": name, "secret": token.secret, "ends_ms": token.ends_ms}
    output.fields(fields, body)
    if output.format == "table":
        output.notice("the secret is not shown again: keep it where only its program reads it")


def show_done(fields: Mapping[str, object], index: int, output: Output) -> None:
    """Show a change that was made."""
    shown = {
        name: str(value) if isinstance(value, str) else _listed(value)  # type: ignore[arg-type]
        for name, value in fields.items()
    }
    output.fields({**shown, "index": str(index)}, {**fields, "index": index})


def show_who(user: str | None, output: Output) -> None:
    """Show who asks."""
    if output.format == "json":
        output.json({"user": user})
    elif output.format == "raw":
        output.raw((user or "").encode())
    else:
        output.text(user or "nobody: this cluster has no users, and serves everybody")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(render.printable, names)) or "-"


def _text(grant: bytes) -> str:
    return grant.decode("utf-8", "backslashreplace")


def _time(time_ms: int | None) -> str:
    """A time of the cluster clock, to the minute."""
    if time_ms is None:
        return NEVER
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return f"{time_ms} ms"
