"""What an operator asks of a running cluster; the sub-commands and the commands with a dot share it.

* `nodes` asks each node what it says of itself.
* `members` shows and changes who takes part, and waits until a new node votes.
* `log` reads the leader's log in pages.
* `backup` copies the cluster's state into a file, or to standard output.

Nothing here reads a command line or a prompt: who calls has done that, and hands over a client and an output.
"""
