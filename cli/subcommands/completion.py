"""`raftdb completion`: the script by which a shell completes the command line of raftdb."""

import click
from click.shell_completion import get_completion_class

from cli.console.failures import EXIT_OK
from cli.console.output import Output
from cli.subcommands.options import COMPLETION_VARIABLE, Command
from raftdb.errors import required

SHELLS = ("bash", "zsh", "fish")


_HELP = """Print the script that lets a shell complete raftdb's command line.

\b
bash, in ~/.bashrc:                    source <(raftdb completion bash)
zsh, in ~/.zshrc, after compinit:      source <(raftdb completion zsh)
fish, in ~/.config/fish/config.fish:   raftdb completion fish | source
"""


@click.command("completion", cls=Command, help=_HELP)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script for one shell."""
    kind = required(get_completion_class(shell), f"a completion for {shell}")
    script = kind(context.find_root().command, {}, "raftdb", COMPLETION_VARIABLE).source()
    Output().raw(script.strip().encode())
    return EXIT_OK
