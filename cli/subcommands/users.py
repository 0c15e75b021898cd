"""`raftdb user`, `role`, `token` and `whoami`: who may speak to the cluster, and what they may do."""

from pathlib import Path

import click

from cli.admin import users as shown
from cli.console.failures import EXIT_OK, EXIT_USAGE, CommandError
from cli.console.login import new_password
from cli.console.output import Output
from cli.console.render import encoded
from cli.line.numbers import parse_lifetime
from cli.subcommands.options import PATH, Command, Group, Options, Parsed, client_options

_VERBS = ("read", "write")
_GRANT_WORDS_MAX = 3

_roles = click.option(
    "--role", "roles", multiple=True, metavar="ROLE", help="A role that the user has; may be given again."
)
_password_file = click.option(
    "--password-file",
    type=PATH,
    metavar="FILE",
    help="The user's password; - is stdin (else RAFTDB_NEW_PASSWORD, or it is asked for).",
)


@click.group("user", cls=Group)
@client_options
def user() -> None:
    """Show or change the users of the cluster.

    The first user makes an end of serving everybody, and has to have the role admin.
    """


@user.command("list")
@client_options
@click.pass_obj
def _list_users(options: Options) -> int:
    """Show all users, their roles and the names of their tokens."""
    with options.client() as client:
        shown.show_users(client.users(), Output(options.output))
    return EXIT_OK


@user.command("add")
@click.argument("name")
@_roles
@_password_file
@click.option("--no-password", is_flag=True, help="Let only tokens be this user.")
@client_options
@click.pass_obj
def _add_user(
    options: Options, name: str, roles: tuple[str, ...], password_file: Path | None, no_password: bool
) -> int:
    """Add a user. Its password is asked for, unless it comes from a file or RAFTDB_NEW_PASSWORD."""
    if no_password and password_file is not None:
        raise _wrong("user add", "--no-password and --password-file exclude each other")
    output = Output(options.output)
    with options.client() as client:
        password = None if no_password else new_password(password_file, name)
        index = client.put_user(name, roles, password=password, exists=False)
        shown.show_done({"user": name, "roles": list(roles)}, index, output)
        if client.credentials.is_empty:
            output.notice("it is the first user: from now on nobody is served without being one")
    return EXIT_OK


@user.command("set")
@click.argument("name")
@_roles
@click.option("--no-roles", is_flag=True, help="Take all roles away.")
@click.option("--password", "asks", is_flag=True, help="Give it another password, as 'user add' does.")
@_password_file
@client_options
@click.pass_obj
def _set_user(
    options: Options,
    name: str,
    roles: tuple[str, ...],
    no_roles: bool,
    asks: bool,
    password_file: Path | None,
) -> int:
    """Give a user other roles, or another password. What is not named stays."""
    if no_roles and roles:
        raise _wrong("user set", "--no-roles and --role exclude each other")
    has_password = asks or password_file is not None
    if not (roles or no_roles or has_password):
        raise _wrong("user set", "nothing is to be changed", hint="--role, --no-roles, --password")
    with options.client() as client:
        password = new_password(password_file, name) if has_password else None
        if not roles and not no_roles:
            known = [found.roles for found in client.users() if found.name == name]
            if not known:
                raise CommandError("user set", f"there is no user {name}", exit_code=1, code="not_found")
            roles = known[0]
        index = client.put_user(name, roles, password=password, exists=True)
    shown.show_done({"user": name, "roles": list(roles)}, index, Output(options.output))
    return EXIT_OK


@user.command("remove")
@click.argument("name")
@client_options
@click.pass_obj
def _remove_user(options: Options, name: str) -> int:
    """Remove a user, with all its tokens. The last administrator stays."""
    with options.client() as client:
        shown.show_done({"removed": name}, client.remove_user(name), Output(options.output))
    return EXIT_OK


@click.group("role", cls=Group)
@client_options
def role() -> None:
    """Show or change the roles, each a list of grants.

    A GRANT is 'read|write keys|queues|locks [PREFIX]', in quotes if there are several: it holds for all names that
    begin with PREFIX. Who may write may read, too. The role admin is always there, and may do everything.
    """


@role.command("list")
@client_options
@click.pass_obj
def _list_roles(options: Options) -> int:
    """Show all roles, and what they grant."""
    with options.client() as client:
        shown.show_roles(client.roles(), Output(options.output))
    return EXIT_OK


@role.command("set")
@click.argument("name")
@click.argument("grants", nargs=-1, required=True, metavar="GRANT...")
@client_options
@click.pass_obj
def _set_role(options: Options, name: str, grants: tuple[str, ...]) -> int:
    """Make a role of these grants, or give it these in place of the ones that it has.

    For example: raftdb role set app 'write keys app/' 'read keys shared/' 'write queues app-'
    """
    # One grant alone needs no quotes.
    if grants[0] in _VERBS and len(grants) <= _GRANT_WORDS_MAX:
        grants = (" ".join(grants),)
    with options.client() as client:
        index = client.put_role(name, [encoded(grant) for grant in grants])
    shown.show_done({"role": name, "grants": list(grants)}, index, Output(options.output))
    return EXIT_OK


@role.command("remove")
@click.argument("name")
@client_options
@click.pass_obj
def _remove_role(options: Options, name: str) -> int:
    """Remove a role that no user has."""
    with options.client() as client:
        shown.show_done({"removed": name}, client.remove_role(name), Output(options.output))
    return EXIT_OK


@click.group("token", cls=Group)
@client_options
def token() -> None:
    """Show, make and take back tokens, by which programs are users.

    A user sees to its own tokens, and an administrator to all.
    """


@token.command("create")
@click.argument("owner", metavar="USER")
@click.argument("name")
@click.option(
    "--ttl",
    "ttl_s",
    type=Parsed("lifetime", parse_lifetime),
    metavar="TIME",
    help="How long it holds: 30d, 12h, 15m or 90s (default: until it is taken back).",
)
@client_options
@click.pass_obj
def _create_token(options: Options, owner: str, name: str, ttl_s: int | None) -> int:
    """Make a token of a user, under a NAME by which it can be taken back. Prints its secret, once.

    Where the output is raw, as in a pipe, that is all: raftdb token create app job > token
    """
    with options.client() as client:
        made = client.make_token(owner, name, ttl=ttl_s)
    shown.show_new_token(owner, name, made, ttl_s, Output(options.output))
    return EXIT_OK


@token.command("list")
@click.argument("owner", metavar="[USER]", required=False)
@client_options
@click.pass_obj
def _list_tokens(options: Options, owner: str | None) -> int:
    """Show the tokens of a user, or one's own, without their secrets."""
    with options.client() as client:
        name = owner or client.whoami()
        if name is None:
            raise _wrong(
                "token list", "this cluster has no users, so it has no tokens", hint="raftdb user add"
            )
        tokens, clock_ms = client.tokens(name), client.status().body.get("clock_ms")
        known = clock_ms if isinstance(clock_ms, int) else None
        shown.show_tokens(tokens, known, Output(options.output))
    return EXIT_OK


@token.command("revoke")
@click.argument("owner", metavar="USER")
@click.argument("name")
@client_options
@click.pass_obj
def _revoke_token(options: Options, owner: str, name: str) -> int:
    """Take a token back: it is nobody from then on."""
    with options.client() as client:
        index = client.remove_token(owner, name)
    shown.show_done({"revoked": name, "user": owner}, index, Output(options.output))
    return EXIT_OK


@click.command("whoami", cls=Command)
@client_options
@click.pass_obj
def whoami(options: Options) -> int:
    """Show which user the cluster takes this command line for."""
    with options.client() as client:
        shown.show_who(client.whoami(), Output(options.output))
    return EXIT_OK


def _wrong(what: str, message: str, *, hint: str | None = None) -> CommandError:
    return CommandError(what, message, exit_code=EXIT_USAGE, hint=hint)
