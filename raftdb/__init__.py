"""raftdb: a replicated, durable key-value database on Raft, started with one command.

The folders below are layers and imports run one way only: server > frontend > node | transport | client >
machine > wire > core | commands > errors. This module stays empty but for the version: a one-shot command
imports it and must be quick. `storage` (LMDB) and `cli` (the shell) are packages of the same distribution
beside it.
"""

__version__ = "0.1.0"
