"""Who a client is, and the users, roles and tokens of its cluster. `user_methods` makes the requests."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TypeVar

from raftdb.client import user_methods
from raftdb.client.flow import Method
from raftdb.client.given import Lifetime, Text
from raftdb.client.model import NewToken, Role, Token, User

T = TypeVar("T")


class AsyncClientUsers(ABC):
    """The calls of a client about users. All but `whoami` are for administrators, those about tokens also for their
    user; others get `Forbidden`."""

    @abstractmethod
    async def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        """Make one call. Raises `RaftdbError`."""

    async def whoami(self, *, timeout_ms: float | None = None) -> str | None:
        """The user that this client is; None where nobody has to be one."""
        return await self._run(user_methods.WHO_AM_I, timeout_ms)

    async def users(self, *, timeout_ms: float | None = None) -> tuple[User, ...]:
        """All users, with their roles and the names of their tokens."""
        return await self._run(user_methods.USERS, timeout_ms)

    async def put_user(
        self,
        name: str,
        roles: Iterable[Text],
        *,
        password: str | None = None,
        exists: bool | None = None,
        timeout_ms: float | None = None,
    ) -> int:
        """Add a user with these roles, or give it these in place of the ones that it has; returns the index of the
        entry. Without a password it keeps its own, or has none. With `exists` there has to be such a user, or, if that
        is False, none, or `Conflict` is raised. The first user of a cluster has the role `admin`: from then on nobody
        is served without being a user."""
        method = user_methods.put_user(name, roles, password=password, exists=exists)
        return await self._run(method, timeout_ms)

    async def remove_user(self, name: str, *, timeout_ms: float | None = None) -> int:
        """Remove a user with all its tokens; returns the index of the entry."""
        return await self._run(user_methods.remove_user(name), timeout_ms)

    async def roles(self, *, timeout_ms: float | None = None) -> tuple[Role, ...]:
        """All roles with their grants, but `admin`, which may do everything."""
        return await self._run(user_methods.ROLES, timeout_ms)

    async def put_role(
        self,
        name: str,
        grants: Iterable[Text],
        *,
        exists: bool | None = None,
        timeout_ms: float | None = None,
    ) -> int:
        """Add a role with these grants, or give it these in place of the ones that it has; returns the index of the
        entry. A grant is `"write keys app/"`: `read` or `write`, then `keys`, `queues` or `locks`, then how their names
        begin. `exists` as in `put_user`."""
        return await self._run(user_methods.put_role(name, grants, exists=exists), timeout_ms)

    async def remove_role(self, name: str, *, timeout_ms: float | None = None) -> int:
        """Remove a role that no user has; returns the index of the entry."""
        return await self._run(user_methods.remove_role(name), timeout_ms)

    async def tokens(self, user: str, *, timeout_ms: float | None = None) -> tuple[Token, ...]:
        """The tokens of a user, without their secrets."""
        return await self._run(user_methods.tokens(user), timeout_ms)

    async def make_token(
        self, user: str, name: str, *, ttl: Lifetime | None = None, timeout_ms: float | None = None
    ) -> NewToken:
        """Make a token of this name, which is the user for `ttl` seconds, or without end. Its secret is told here
        alone."""
        return await self._run(user_methods.make_token(user, name, ttl), timeout_ms)

    async def remove_token(self, user: str, name: str, *, timeout_ms: float | None = None) -> int:
        """Take a token back, so that it is nobody any more; returns the index of the entry."""
        return await self._run(user_methods.remove_token(user, name), timeout_ms)
