"""Carrying out what was typed, for scripts and the prompt alike.

* `interpreter` runs one command. `dot_commands` are those about the cluster and the shell; `executor` runs those of
  the database.
* `context` is what all that is carried out may know of the interpreter: a protocol, so that nothing goes in circles.
* `transactions` says what a line means while a transaction is open, and `answers` how a result is shown.
* `script`, `repeat` and `expansion` take lines and values from a file, from a clock, and from stdin.

A transaction is kept by the client, or queued here, and sent as one request: the nodes know of none that is open.
"""
