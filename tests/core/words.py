"""Messages and entries as English, for the stories of scenario files."""

from collections.abc import Callable
from typing import Any

from raftdb.core.block import entries_of
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import Entry, EntryKind

DATA_SHOWN_BYTES_MAX = 32
"""Longer data of an entry is cut to its beginning."""
DATA_BEGINNING_BYTES = 8


def describe_entry(entry: Entry) -> str:
    """One entry as `index@term content`."""
    content = {
        EntryKind.NOOP: "no-op",
        EntryKind.CONFIGURATION: "configuration",
    }.get(entry.kind) or _describe_data(entry.data)
    return f"{entry.index}@{entry.term} {content}"


def describe_message(message: Message) -> str:
    """One message as `n1 -> n2 what`, with the details that matter."""
    return f"{message.source} -> {message.target} {_BODIES[type(message)](message)}"


def _describe_data(data: bytes) -> str:
    """The data itself if it is short, else its beginning and its size."""
    if len(data) <= DATA_SHOWN_BYTES_MAX:
        return data.decode("utf-8", "backslashreplace")
    return f"{data[:DATA_BEGINNING_BYTES].decode('utf-8', 'backslashreplace')}... ({len(data)} bytes)"


def _answer(granted: bool) -> str:
    return "yes" if granted else "no"


def _append_entries(message: AppendEntries) -> str:
    entries = ", ".join(map(describe_entry, entries_of(message.blocks))) or "nothing"
    return (
        f"append_entries term={message.term} after={message.previous_index}@{message.previous_term} "
        f"commit={message.commit_index} [{entries}]"
    )


def _append_entries_reply(message: AppendEntriesReply) -> str:
    if message.success:
        return f"append_entries ok term={message.term} match={message.match_index}"
    return (
        f"append_entries rejected term={message.term} after={message.previous_index} "
        f"hint={message.hint_index}@{message.hint_term}"
    )


def _request_vote(message: RequestVote) -> str:
    transfer = " transfer" if message.transfer else ""
    return f"request_vote term={message.term} last={message.last_index}@{message.last_term}{transfer}"


_BODIES: dict[type[Message], Callable[[Any], str]] = {
    RequestPreVote: lambda m: f"request_pre_vote term={m.term} last={m.last_index}@{m.last_term}",
    RequestPreVoteReply: lambda m: f"pre_vote {_answer(m.granted)} term={m.term}",
    RequestVote: _request_vote,
    RequestVoteReply: lambda m: f"vote {_answer(m.granted)} term={m.term}",
    AppendEntries: _append_entries,
    AppendEntriesReply: _append_entries_reply,
    Heartbeat: lambda m: f"heartbeat term={m.term} round={m.round} commit={m.commit_index}",
    InstallSnapshot: lambda m: f"install_snapshot term={m.term} last={m.last_index}@{m.last_term}",
    ReadIndex: lambda m: f"read_index term={m.term} number={m.number}",
    ReadIndexReply: lambda m: f"read_index ok term={m.term} number={m.number} index={m.read_index}",
    TimeoutNow: lambda m: f"timeout_now term={m.term} last={m.last_index}@{m.last_term}",
    HeartbeatReply: lambda m: f"heartbeat ok term={m.term} round={m.round}",
}
