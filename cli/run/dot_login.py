"""The functions of `.login` and `.logout`. The monitor and the completions are the same user, because they share the
client's credentials."""

from collections.abc import Sequence

from cli.run.context import Context
from raftdb.client.credentials import Credentials
from raftdb.client.sync_client import Client
from raftdb.errors import RequestRefused


def login(context: Context, arguments: Sequence[str]) -> None:
    """Ask for a password, or for a token, and be its user if the cluster knows it; else all stays as it is."""
    if context.secret is None:
        raise RequestRefused(
            "bad_request",
            "a script is not asked for a password",
            hint="--user NAME or --token-file FILE, before 'shell'",
        )
    _check_no_transaction(context)
    user = arguments[0] if arguments else None
    secret = context.secret("token: " if user is None else f"password of {user}: ")
    if not secret:
        context.output.notice("nothing was done")
        return
    given = {"token": secret} if user is None else {"user": user, "password": secret}
    client = context.client
    # Not with the client itself, whose credentials others use meanwhile.
    with Client(client.addresses, sessions=False, tls=client.tls, credentials=Credentials(**given)) as tried:
        context.user = tried.whoami()
    client.credentials.replace(**given)
    if context.user is None:
        context.output.notice("this cluster has no users, and serves everybody")
    else:
        context.output.text(f"logged in as {context.user}")


def logout(context: Context, arguments: Sequence[str]) -> None:
    """Be nobody."""
    _check_no_transaction(context)
    context.client.credentials.replace()
    context.user = None
    context.output.text("logged out")


def _check_no_transaction(context: Context) -> None:
    """Raise `RequestRefused` while a transaction is open: what it has read is another user's."""
    if context.transactions.is_open:
        raise RequestRefused(
            "bad_request", "a transaction is open", hint="end it first: commit or rollback, exec or discard"
        )
