"""Who a client is to the cluster: a token, or a user with a password; and the line of a request that says so. No I/O.

The secrets are in that line alone: no `repr` and no message has them.
"""

from base64 import b64encode
from collections.abc import Sequence

from raftdb.errors import RequestRefused

SECRET_BYTES_MAX = 2048
"""Longest token, and longest user and password together; nodes read no longer header."""


class Credentials:
    """What a client sends to be known by the cluster. Clients may share it: `replace` makes all of them another user,
    from the next request on."""

    __slots__ = ("_headers", "_user")

    def __init__(
        self, *, token: str | None = None, user: str | None = None, password: str | None = None
    ) -> None:
        """See `replace`."""
        self._headers: tuple[str, ...] = ()
        self._user: str | None = None
        self.replace(token=token, user=user, password=password)

    def replace(
        self, *, token: str | None = None, user: str | None = None, password: str | None = None
    ) -> None:
        """Be who this token, or this user with its password, says; without arguments, nobody. Raises `TypeError`, and
        `RequestRefused` (`bad_request`) for what cannot be sent."""
        for name, value in (("token", token), ("user", user), ("password", password)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"a {name} is str, not {type(value).__name__}")
        if token is not None and (user is not None or password is not None):
            raise _refused("a token excludes a user and a password: it says who its user is")
        if (user is None) != (password is None):
            raise _refused("a user and a password belong together: one of them is missing")
        if token is not None:
            headers: tuple[str, ...] = (f"Authorization: Bearer {_checked_token(token)}",)
        elif user is not None and password is not None:
            headers = (f"Authorization: Basic {_basic(user, password)}",)
        else:
            headers = ()
        self._headers, self._user = headers, user

    @property
    def user(self) -> str | None:
        """The user that was named; None for a token, whose user the cluster knows, and for nobody."""
        return self._user

    @property
    def headers(self) -> Sequence[str]:
        """The lines for the head of a request. They have the secret."""
        return self._headers

    @property
    def is_empty(self) -> bool:
        """Whether they are nobody's."""
        return not self._headers

    def __repr__(self) -> str:
        if not self._headers:
            return "<Credentials of nobody>"
        return "<Credentials: a token>" if self._user is None else f"<Credentials of {self._user!r}>"


def credentials_of(
    shared: Credentials | None, *, token: str | None, user: str | None, password: str | None
) -> Credentials:
    """The credentials of a client that is given these: `shared`, or new ones. Raises as `Credentials.replace`."""
    if shared is None:
        return Credentials(token=token, user=user, password=password)
    if (token, user, password) != (None, None, None):
        raise _refused("credentials exclude a token, a user and a password")
    if not isinstance(shared, Credentials):
        raise TypeError(f"credentials are Credentials, not {type(shared).__name__}")
    return shared


def _checked_token(token: str) -> str:
    if not token or not all("!" <= character <= "~" for character in token):
        raise _refused("a token is made of visible ASCII characters, without spaces or line ends")
    if len(token) > SECRET_BYTES_MAX:
        raise _refused(f"a token has at most {SECRET_BYTES_MAX} characters")
    return token


def _basic(user: str, password: str) -> str:
    if not user or ":" in user:
        raise _refused("the name of a user is not empty, and has no colon")
    try:
        text = f"{user}:{password}".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        text = b""  # its message would have a part of the password
    if not text:
        raise _refused("a user and a password are text (UTF-8)")
    if len(text) > SECRET_BYTES_MAX:
        raise _refused(f"a user and a password have at most {SECRET_BYTES_MAX} bytes together")
    return b64encode(text).decode("ascii")


def _refused(why: str) -> RequestRefused:
    return RequestRefused("bad_request", why)
