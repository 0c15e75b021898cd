"""From an entry of the log to its reply: decode, find the handler, run it.

The machine itself keeps nothing: everything that apply depends on is in the entry and in the key space, and
so in every checkpoint and snapshot.
"""

from raftdb.commands.model import Command
from raftdb.errors import Fatal, LocalProtocolError, RemoteProtocolError, ReplyError
from raftdb.machine import kv
from raftdb.machine.reply import Reply
from raftdb.machine.transaction import KeyValueView, Transaction
from raftdb.wire.commands import decode

_READS = kv.READS
_WRITES = kv.WRITES


class Machine:
    """Applies commands to a transaction and answers reads from a view. Entries of one transaction see each other."""

    __slots__ = ()

    def apply(self, index: int, data: bytes, transaction: Transaction) -> Reply:
        """Apply the command in `data`, committed at `index`, and return its reply, which may be a
        `ReplyError`.

        Raises `Fatal` if `data` is not a command that this node knows: it cannot be skipped (hazards B67,
        B107).
        """
        try:
            command = decode(data)
        except RemoteProtocolError as error:
            raise Fatal(
                f"the entry at index {index} cannot be applied: {error.message}",
                hint="if others run a newer raftdb, start this node with it; otherwise run: raftdb doctor DIR",
            ) from error
        return self.execute(index, command, transaction)

    def execute(self, index: int, command: Command, transaction: Transaction) -> Reply:
        """Run `command` as part of the entry at `index`. A reply that is a `ReplyError` has changed nothing."""
        write = _WRITES.get(type(command))
        try:
            if write is not None:
                return write(transaction, command, index)
            return _READS[type(command)](transaction, command)
        except ReplyError as error:
            # The reply outlives this call: it must not keep the frames of the handler alive.
            return error.with_traceback(None)

    def read(self, command: Command, view: KeyValueView) -> Reply:
        """Answer a `command` that only reads, from `view`, beside the log; the reply may be a `ReplyError`.

        Raises `LocalProtocolError` for a command that writes: it has to go through the log.
        """
        read = _READS.get(type(command))
        if read is None:
            raise LocalProtocolError(f"{type(command).__name__} cannot be read beside the log")
        try:
            return read(view, command)
        except ReplyError as error:
            return error.with_traceback(None)
