"""The table of dot-commands: commands of the shell about the cluster, or about the shell itself. Pure.

They are not commands of the database, and nodes do not know them. `cli.run.dot_commands` has their functions.
"""

from cli.line.words import ShellCommand

CLUSTER_AND_SHELL = "cluster and shell"


def _row(syntax: str, summary: str, *, local: bool = False) -> ShellCommand:
    return ShellCommand(syntax, summary, CLUSTER_AND_SHELL, local=local)


DOT_WORDS: dict[str, ShellCommand] = {
    word.name: word
    for word in (
        _row(".help [COMMAND]", "All commands, or one of them with examples."),
        _row(".nodes", "Every node: its role, term and position in the log."),
        _row(".leader", "Which node leads."),
        _row(".status", "The status of the first node that answers."),
        _row(".members", "The members as the leader knows them."),
        _row(
            ".add [NEW] [HOST:PORT] [learner] [force]",
            "Add a node: a learner first, a voter once it has caught up. 'up' starts it if no HOST:PORT is given.",
        ),
        _row(".remove NODE [force]", "Remove a member for good."),
        _row(".promote NODE [force]", "Make a learner a voter."),
        _row(".transfer [NODE]", "Let this node lead, or the voter with the most entries."),
        _row(".log [FROM] [LIMIT]", "The leader's log: the newest entries, or those from an index."),
        _row(".snapshot", "Make the leader's state durable and compact its log now."),
        _row(".backup FILE", "A consistent backup of the cluster, into a new file."),
        _row(".open", "The address of the dashboard, for a browser."),
        _row(".follow [PREFIX]", "The changes of the keys that begin so, as they are made, until Ctrl-C."),
        _row(".watch SECONDS COMMAND...", "Repeat a command every few seconds, until Ctrl-C."),
        _row(".expand COMMAND...", "Run a command, with the content of FILE for each argument @FILE."),
        _row(".read FILE", "Run the commands of a file, up to the first error."),
        _row(".mode [table|json|raw]", "Show or change the form of results."),
        _row(
            ".network [NODE ...] [delay|loss|duplicate|corrupt|reorder|rate|limit|none ...]",
            "Show the network between the nodes, or make it worse: all links, or one (n1 n2), or one way (n1 > n2).",
        ),
        _row(
            ".cut NODE [clients] [NODE ...]",
            "Let nothing pass: n1 (alone), n1 n2, n1,n2 | n3, n1 > n2 (one way), n1 clients (from them, too).",
        ),
        _row(".heal", "End all cuts."),
        _row(".kill NODE", "End a node at once, as a crash would.", local=True),
        _row(".restart NODE", "Start a node again.", local=True),
        _row(".pause NODE", "Pause a node, so that it answers no one.", local=True),
        _row(".resume NODE", "Let a paused node go on.", local=True),
        _row(".login [USER]", "Be this user, by a password that is asked for, or without USER by a token."),
        _row(".logout", "Be nobody any more."),
        _row(".quit", "Leave the shell (also Ctrl-D); stops a cluster that 'up' started."),
    )
}
"""The table by name, in the order of help."""
