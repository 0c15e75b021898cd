"""What an operator asks of a running cluster; the sub-commands and the commands with a dot share it.

* `nodes` shows the nodes, the members and the log.
* `members` changes who takes part, and waits until a new node votes.
* `backup` copies the cluster's state into a file, and makes the leader's own copy durable.

A change of members may take long. So its progress is told for as long as there is some, and whoever waits in vain is
told the reason and the way back.
"""
