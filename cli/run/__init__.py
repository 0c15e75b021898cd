"""Carrying out commands, for scripts and for the prompt.

* `interpreter` runs one command. `dot_commands` has those about the cluster and the shell; `executor` runs those of
  the database.
* `context` is the protocol of the interpreter that the others import, so that imports go one way.
* `transactions` decides what a line does while a transaction is open, and `answers` shows results.
* `script` reads commands from a file or a pipe, `repeat` repeats one, and `expansion` reads arguments from files.

An open transaction is kept by the client, or queued here, and sent as one request, so nodes know only finished ones.
"""
