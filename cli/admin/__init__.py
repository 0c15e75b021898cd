"""An operator's requests to a running cluster, which the sub-commands and the dot-commands share.

* `nodes` asks each node for its status.
* `members` shows and changes the members, and waits until a new node is a voter.
* `log` reads the leader's log in pages.
* `backup` copies the cluster's state into a file, or to standard output.

Nothing here reads a command line or a prompt: callers do that, and pass a client and an output.
"""
