"""Showing users, roles and tokens."""

from collections.abc import Iterable, Mapping, Sequence

from cli.console import render
from cli.console.output import Output
from raftdb.client.model import NewToken, Role, Token, User

NEVER = "never"
UNKNOWN = "-"


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


def show_tokens(tokens: Sequence[Token], clock_ms: int | None, output: Output) -> None:
    """Show a row for each token of a user. `clock_ms` is the cluster clock, by which tokens end; it is no time of
    day."""
    rows = [(token.name, _made(token, clock_ms), _ends(token, clock_ms)) for token in tokens]
    output.table(("token", "made", "ends"), rows, {"tokens": [dict(token.body) for token in tokens]})


def show_new_token(user: str, name: str, token: NewToken, ttl_s: int | None, output: Output) -> None:
    """Show the secret of a new token; raw it is all that is shown."""
    if output.format == "raw":
        output.raw(token.secret.encode())
        return
    ends = NEVER if ttl_s is None else f"in {render.duration(ttl_s)}"
    fields = {"user": user, "token": name, "secret": token.secret, "ends": ends}
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


def _ends(token: Token, clock_ms: int | None) -> str:
    """How long a token holds yet."""
    if token.ends_ms is None:
        return NEVER
    if clock_ms is None:
        return UNKNOWN
    left_ms = token.ends_ms - clock_ms
    return f"in {render.duration(left_ms / 1000)}" if left_ms > 0 else "over"


def _made(token: Token, clock_ms: int | None) -> str:
    """How long ago a token was made."""
    if clock_ms is None:
        return UNKNOWN
    return f"{render.duration(max(clock_ms - token.made_ms, 0) / 1000)} ago"
