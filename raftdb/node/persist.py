"""The core's records as bytes on disk, and a node's memory rebuilt from them.

`bootstrap` writes what a first member starts from, `recover` reads what any start finds. Both are used by the real
node and by the simulator, on real and on simulated disks.
"""

from raftdb.core.log import Log
from raftdb.core.membership import Configuration, ConfigurationHistory
from raftdb.core.model import Entry, EntryId, EntryKind, HardState, Index, NodeId
from raftdb.core.raft import Raft
from raftdb.core.state import RandomRange, Settings
from raftdb.core.update import Persist
from raftdb.errors import Fatal
from raftdb.wire import cbor
from raftdb.wire.configuration import decode_configuration, encode_configuration
from storage.contract import LogBatch, LogStore

BOOTSTRAP_TERM = 1
"""Term of the first entry, the configuration that all first members share; no leader is ever elected in it."""
HARD_STATE_BYTES_MAX = 4096


def encode_hard_state(hard_state: HardState) -> bytes:
    """Term and vote as one record, so that no crash can part them (hazard B03)."""
    return cbor.encode([hard_state.term, hard_state.voted_for])


def decode_hard_state(data: bytes) -> HardState:
    """Term and vote as they were written; anything else is damage, and stops the node."""
    value = cbor.decode(data, bytes_max=HARD_STATE_BYTES_MAX, items_max=8)
    match value:
        case [int(term), str() | None as voted_for] if type(term) is int and term >= 0:
            return HardState(term, voted_for)
    raise Fatal(f"the stored term and vote are not readable: {value!r}", exit_code=4)


def batch_of(persist: Persist) -> LogBatch:
    """What one `Persist` asks of the log store."""
    hard_state = None if persist.hard_state is None else encode_hard_state(persist.hard_state)
    return LogBatch(hard_state, persist.truncate_from, persist.entries)


def entry_of(record: tuple[int, int, int, bytes]) -> Entry:
    """A stored record as an entry."""
    index, term, kind, data = record
    return Entry(index, term, EntryKind(kind), data)


def configuration_of(data: bytes) -> Configuration:
    """The members that a CONFIGURATION entry names."""
    return Configuration(decode_configuration(data))


def bootstrap(log_store: LogStore, configuration: Configuration) -> None:
    """Write the beginning of a new cluster's log: equal on every first member, so that nobody has to lead yet."""
    if log_store.recover().hard_state is not None:
        return  # a crash came after this was written and before the folder was marked complete
    data = encode_configuration(configuration.members)
    first = Entry(1, BOOTSTRAP_TERM, EntryKind.CONFIGURATION, data)
    log_store.write([LogBatch(encode_hard_state(HardState(BOOTSTRAP_TERM, None)), None, (first,))])


def recover(
    node: NodeId, log_store: LogStore, *, settings: Settings, randrange: RandomRange, checkpoint_index: Index
) -> Raft:
    """The node as its disk remembers it: term, vote, log and configuration; the rest starts anew.

    Entries up to `checkpoint_index` are in the state already, and so committed.
    """
    recovered = log_store.recover(collect_kinds=frozenset({EntryKind.CONFIGURATION}))
    if recovered.hard_state is None:
        raise Fatal(
            "the log holds no term and vote",
            exit_code=4,
            hint="the folder was wiped or only half written: remove the node and add it under a new id",
        )
    configurations = [(record[0], configuration_of(record[3])) for record in recovered.collected]
    log = Log(
        base=EntryId(recovered.base_index, recovered.base_term),
        last_index=recovered.last_index,
        term_starts=recovered.term_starts,
        cache_bytes_max=settings.cache_bytes_max,
    )
    return Raft(
        node,
        settings=settings,
        randrange=randrange,
        hard_state=decode_hard_state(recovered.hard_state),
        log=log,
        configurations=ConfigurationHistory(configuration_of, configurations),
        commit_index=max(checkpoint_index, recovered.base_index),
    )
