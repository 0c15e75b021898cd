"""Queues: messages that are put, handed out in order, and gone when they are done; nothing is ever dropped.

A message waits (visible, or delayed), is in flight (handed out, and not acknowledged yet), or is dead (it has failed
too often). Handing out hides a message for a while; if it is not acknowledged in that time, it has failed, and is
handed out again. So each is handed out at least once; and exactly once does it count if the acknowledgement and the
result are one transaction.

* `records`: what is stored of a queue and of a message. `names`: the names and words in commands.
* `line`: the order of what may be handed out. `groups`: of a group only the first stands there. `members`: which is the
  first of those that have a name in common.
* `messages`: messages change their state there, and nowhere else.
* `ends`: what the sweeper has to do for queues. `events`: what happens to messages by the clock alone.
* `repetitions`: messages that are put once though they are sent several times.
* The commands: `putting`, `taking`, `deliveries`, `looking` and `info`, `managing`, `redriving`. `service` puts them
  together.

Costs
-----
Each of these costs as much as a few keys, whatever the length of the queue. A queue is one record, which every command
on it reads, and a change writes; a message is written once with its value, and a short record of it at each change of
its state. Nothing is found by a scan from the beginning of a range whose front has gone (`line`).

Considered and rejected: an index of all deadlines of all messages for the sweeper. It is one change more for every
delivery and every acknowledgement, and nearly all of its entries are lifted before they are due. Instead a queue has
one alarm, which may come too early. And a new place in the line for a message that becomes the head of its group: it
would then wait behind all that was put meanwhile, though it was there before.
"""
