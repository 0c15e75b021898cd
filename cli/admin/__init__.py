"""What an operator asks of a running cluster; the sub-commands and the commands with a dot share it.

* `nodes` asks each node what it says of itself.
* `members` shows and changes who takes part, and waits until a new node votes.
* `log` reads the leader's log in pages.
* `backup` copies the cluster's state into a file, or to standard output.

A change of members may take long. So its progress is told for as long as there is some, and whoever waits in vain is
told the reason and the way back.
"""
