"""The queue of messages for one link, which is bounded in bytes and taken out a frame at a time. No I/O."""

from collections import deque

from raftdb.core.messages import AppendEntries, Message
from raftdb.transport.limits import LinkLimits
from raftdb.wire.peer import message_bytes_max


class SendQueue:
    """A first-in, first-out queue. A new message that would bring it above `queue_bytes_max` is dropped and counted.
    `bytes` is the estimated size of its messages, `dropped` how many were dropped since it was made (hazard B92)."""

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._messages: deque[tuple[int, Message]] = deque()
        self.bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Queue `message`. Returns False if it was dropped; an empty queue takes any message."""
        size = message_bytes_max(message)
        if self._messages and self.bytes + size > self._limits.queue_bytes_max:
            self.dropped += 1
            return False
        self._messages.append((size, message))
        self.bytes += size
        return True

    def take_frame(self) -> list[Message]:
        """Remove and return the messages of the next frame: at least one, and as many as the frame's limits allow."""
        limits = self._limits
        frame: list[Message] = []
        frame_bytes = frame_entries = 0
        while self._messages and len(frame) < limits.frame_messages_max:
            size, message = self._messages[0]
            entries = message.entry_count if type(message) is AppendEntries else 0
            if frame and (
                frame_bytes + size > limits.frame_bytes_target
                or frame_entries + entries > limits.frame_entries_max
            ):
                break
            self._messages.popleft()
            self.bytes -= size
            frame_bytes += size
            frame_entries += entries
            frame.append(message)
        return frame

    def clear(self) -> None:
        """Drop and count everything."""
        self.dropped += len(self._messages)
        self._messages.clear()
        self.bytes = 0
