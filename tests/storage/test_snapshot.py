"""Snapshots: exported whole, received in any disorder, refused when a bit is wrong, installed as they were."""

import os
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    DataFolder,
    LmdbStateStore,
    MemoryDisk,
    MemoryStateStore,
    OutOfSpace,
    SnapshotDamaged,
    SnapshotForeign,
    SnapshotId,
    SnapshotReader,
    SnapshotReceiver,
    restore_folder,
)
from storage.env import DATA_FILE
from storage.errors import FolderDamaged, FolderForeign, Misused, SystemFailure
from storage.export import write_container
from storage.folder import INCOMING_FOLDER, STATE_FOLDER
from storage.manifest import DIGEST_BYTES, HEADER_BYTES, decode_header, encode_header, pack_container
from tests.storage.media import scratch_folder
from tests.storage.snapshots import (
    CLUSTER,
    CONFIGURATION_KEY,
    checkpoint,
    contents,
    describe,
    export,
    feed,
    fill,
    fill_log,
    id_of,
    make_snapshot,
    state_of,
)


def piece_of(path: Path, offset: int, count: int) -> bytes:
    return path.read_bytes()[offset : offset + count]


def write_pipe(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]


def send_all(receiver: SnapshotReceiver, content: bytes) -> None:
    receiver.append(content)
    receiver.finish()


def test_an_export_is_the_checkpoint_and_not_what_lies_over_it(tmp_path: Path) -> None:
    """Configuration included: what it says must be as old as the data (hazard B35)."""
    fill(tmp_path / "state", 1)
    state = LmdbStateStore(tmp_path / "state", create=False)
    state.write({CONFIGURATION_KEY: b"not yet durable", b"new": b"1"}, index=11, term=2)
    manifest = state.export(tmp_path / "out", cluster_id=CLUSTER, describe=describe, verify=True)
    state.close()
    assert (manifest.index, manifest.term, manifest.cluster_id) == (10, 2, CLUSTER)
    assert (manifest.configuration_index, manifest.configuration) == (7, b"members of 1")
    reader = SnapshotReader(tmp_path / "out")
    assert reader.manifest == manifest
    assert reader.size_bytes == manifest.size_bytes == (tmp_path / "out").stat().st_size
    reader.verify()
    reader.close()
    reader.close()
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    feed(SnapshotReceiver(tmp_path / "in"), tmp_path / "out")
    assert state_of(tmp_path / "in") == (10, contents(1))


@pytest.mark.parametrize("expected_bytes", [0, 3, 1 << 20])
def test_the_digest_is_of_what_was_copied_whatever_was_expected(tmp_path: Path, expected_bytes: int) -> None:
    data = b"abc" * 100_000
    expected = replace(
        decode_header(make_snapshot(tmp_path, 1).read_bytes()[:HEADER_BYTES]), data_bytes=expected_bytes
    )
    manifest = write_container(tmp_path / "out", expected, copy=lambda sink: write_pipe(sink, data))
    assert manifest.data_bytes == len(data)
    assert (tmp_path / "out").read_bytes() == pack_container(manifest, data)


def test_a_size_that_was_expected_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What LMDB says that it will copy is what it copies, or every export would be read twice."""
    read_again: list[int] = []
    monkeypatch.setattr(
        "storage.export.hash_file", lambda _descriptor, size_bytes: read_again.append(size_bytes)
    )
    source = random.Random(5)
    state = LmdbStateStore(tmp_path / "state", create=True)
    for index in range(1, 40):
        size_bytes = source.choice((0, 10, 3000, 40_000))
        keys = {b"%d" % source.randrange(500) for _ in range(40)}
        state.write({key: source.choice((None, bytes(size_bytes))) for key in keys}, index=index, term=1)
        checkpoint(state)
        for verify in (False, True):
            state.export(tmp_path / "out", cluster_id=CLUSTER, describe=lambda _read: (0, b""), verify=verify)
    state.close()
    assert read_again == []


def test_a_copy_that_is_kept_holds_nothing_that_was_deleted(tmp_path: Path) -> None:
    state = LmdbStateStore(tmp_path / "state", create=True)
    state.write({b"%d" % number: bytes(3000) for number in range(200)} | {b"x": b"secret"}, index=1, term=1)
    checkpoint(state)
    state.write({b"x": b"other"}, index=2, term=1)
    checkpoint(state)
    for verify in (False, True):
        state.export(tmp_path / "out", cluster_id=CLUSTER, describe=lambda _read: (0, b""), verify=verify)
        assert (b"secret" in (tmp_path / "out").read_bytes()) != verify, (
            "control: the other kind has free pages"
        )
        feed(SnapshotReceiver(tmp_path / f"in {verify}"), tmp_path / "out")
    state.close()


def test_only_the_thread_that_flushes_exports(tmp_path: Path) -> None:
    state = LmdbStateStore(tmp_path / "state", create=True)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            state.export(tmp_path / "out", cluster_id=CLUSTER, describe=describe)
        except Misused as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 1
    state.close()


def test_an_empty_state_is_a_snapshot_too(tmp_path: Path) -> None:
    state = LmdbStateStore(tmp_path / "state", create=True)
    state.export(tmp_path / "out", cluster_id=CLUSTER, describe=describe)
    state.close()
    feed(SnapshotReceiver(tmp_path / "in"), tmp_path / "out")
    assert state_of(tmp_path / "in") == (0, {})


def test_an_export_into_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "state", 1, count=20_000)

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("storage.export.SYNC_BYTES", 1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr("storage.export.os.fdatasync", full)
        with pytest.raises(OutOfSpace):
            export(tmp_path / "state", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    fill(tmp_path / "state", 2)


def test_an_export_of_a_damaged_state_is_refused_if_it_is_to_be_verified(tmp_path: Path) -> None:
    fill(tmp_path / "state", 1)
    data = (tmp_path / "state" / DATA_FILE).read_bytes()
    (tmp_path / "state" / DATA_FILE).write_bytes(data.replace(b"value of 1", b"value of 7"))
    state = LmdbStateStore(tmp_path / "state", create=False)
    with pytest.raises(FolderDamaged, match="checksum"):
        state.export(tmp_path / "out", cluster_id=CLUSTER, describe=describe, verify=True)
    # Without, it is the receiver who notices, and the state is not written off for it.
    state.export(tmp_path / "out", cluster_id=CLUSTER, describe=lambda read: (0, b""))
    state.close()
    with pytest.raises(SnapshotDamaged, match="checksum"):
        feed(SnapshotReceiver(tmp_path / "in"), tmp_path / "out")


def test_a_snapshot_of_an_installed_state_is_equal(tmp_path: Path) -> None:
    """The second generation has what the first had: data, index, configuration (hazard B32)."""
    first = make_snapshot(tmp_path, 1)
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")
        feed(folder.receiver, first)
        installed = folder.swap_in_snapshot()
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        state = folder.open_state()
        second = state.export(folder.outgoing("again"), cluster_id=CLUSTER, describe=describe)
        state.close()
        assert second == installed
        feed(SnapshotReceiver(tmp_path / "in"), folder.outgoing("again"))
        assert state_of(tmp_path / "in") == (10, contents(1))
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        assert not folder.outgoing("again").exists()


def test_an_installed_state_replaces_an_older_one_wholly_and_goes_on(tmp_path: Path) -> None:
    """Deleted keys do not come back (hazard B29), though the old file had many more transactions than the new."""
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")
        state = folder.open_state()
        for index in range(1, 30):
            state.write({b"old %d" % index: b"1"}, index=index, term=1)
            checkpoint(state)
        state.close()
        feed(folder.receiver, make_snapshot(tmp_path, 3))
        folder.swap_in_snapshot()
        state = folder.open_state()
        assert dict(state.scan(b"", None, limit=9999)) == contents(3)
        for index in range(31, 40):
            state.write({b"new": b"%d" % index}, index=index, term=4)
            checkpoint(state)
        state.close()
        assert state_of(folder.path / STATE_FOLDER) == (39, contents(3) | {b"new": b"39"})


def test_a_snapshot_of_another_cluster_is_not_installed(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")
        with pytest.raises(Misused):
            folder.swap_in_snapshot()
        feed(folder.receiver, make_snapshot(tmp_path, 1, cluster_id="c2"))
        with pytest.raises(SnapshotForeign):
            folder.swap_in_snapshot()
        assert state_of(folder.path / STATE_FOLDER) == (0, {})


def test_pieces_are_appended_and_end_with_the_snapshot(tmp_path: Path) -> None:
    path = make_snapshot(tmp_path, 1)
    receiver = SnapshotReceiver(tmp_path / "in")
    with pytest.raises(Misused):
        receiver.append(b"abc")
    with pytest.raises(Misused):
        receiver.finish()
    assert receiver.begin(id_of(path)) == 0
    for offset, count in [(0, 70_000), (70_000, 4_000)]:
        assert receiver.append(piece_of(path, offset, count)) == offset + count
    with pytest.raises(Misused, match="74000 are here"):
        receiver.finish()
    with pytest.raises(SnapshotDamaged, match="past the end"):
        receiver.append(bytes(id_of(path).size_bytes))
    assert receiver.begin(id_of(path)) == receiver.received == 74_000
    assert feed(receiver, path).index == 10
    assert receiver.begin(id_of(path)) == id_of(path).size_bytes
    assert receiver.finish().index == 10


def test_pieces_of_two_snapshots_never_mix(tmp_path: Path) -> None:
    """Beginning another one drops what is there (hazard B33)."""
    old, new = make_snapshot(tmp_path, 1), make_snapshot(tmp_path, 2)
    receiver = SnapshotReceiver(tmp_path / "in")
    receiver.begin(id_of(old))
    receiver.append(piece_of(old, 0, 70_000))
    assert receiver.begin(id_of(new)) == 0
    assert receiver.append(piece_of(new, 0, 66_000)) == 66_000
    assert receiver.begin(id_of(old)) == 0
    assert feed(receiver, new).index == 20
    assert state_of(tmp_path / "in") == (20, contents(2))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_interruptions_end_with_the_snapshot(seed: int) -> None:
    """Restarts, and changes of mind about which one is received."""
    chance = random.Random(seed)
    root = scratch_folder()
    try:
        paths = [make_snapshot(root, 1), make_snapshot(root, 2)]
        receiver = SnapshotReceiver(root / "in")
        path = paths[0]
        for _ in range(chance.randrange(60)):
            if chance.random() < 0.2:
                path = chance.choice(paths)
            if chance.random() < 0.1:
                receiver = SnapshotReceiver(root / "in")
            offset = receiver.begin(id_of(path))
            receiver.append(piece_of(path, offset, chance.randrange(1, 60_000)))
        assert feed(receiver, paths[1]).index == 20
        assert state_of(root / "in") == (20, contents(2))
    finally:
        shutil.rmtree(root)


def test_receiving_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = make_snapshot(tmp_path, 1)
    snapshot = id_of(path)
    for place in (
        1,
        HEADER_BYTES - 1,
        HEADER_BYTES,
        HEADER_BYTES + 1,
        snapshot.size_bytes - DIGEST_BYTES,
        snapshot.size_bytes - 1,
    ):
        receiver = SnapshotReceiver(tmp_path / "in")
        receiver.discard()
        receiver.begin(snapshot)
        receiver.append(piece_of(path, 0, place))
        receiver = SnapshotReceiver(tmp_path / "in")
        # What has no data yet is begun again; all else goes on.
        assert receiver.begin(snapshot) == (place if place > HEADER_BYTES else 0)
        assert feed(receiver, path).index == 10
    assert SnapshotReceiver(tmp_path / "in").complete


def test_what_a_power_cut_left_of_a_snapshot_is_fetched_again(tmp_path: Path) -> None:
    """A file may have its length and not its bytes; the digest of the whole knows (hazard B31)."""
    path = make_snapshot(tmp_path, 1)
    snapshot = id_of(path)
    receiver = SnapshotReceiver(tmp_path / "in")
    receiver.begin(snapshot)
    receiver.append(piece_of(path, 0, 90_000))
    with (tmp_path / "in" / DATA_FILE).open("r+b") as file:
        file.write(bytes(20_000))
    receiver = SnapshotReceiver(tmp_path / "in")
    assert receiver.begin(snapshot) == 90_000
    with pytest.raises(SnapshotDamaged, match="digest"):
        feed(receiver, path)
    assert receiver.snapshot is None
    assert feed(receiver, path).index == 10


@pytest.mark.parametrize("name", ["snapshot.cbor", "complete.cbor"])
def test_a_damaged_record_of_what_is_received_only_costs_the_download(tmp_path: Path, name: str) -> None:
    path = make_snapshot(tmp_path, 1)
    feed(SnapshotReceiver(tmp_path / "in"), path)
    (tmp_path / "in" / name).write_bytes(b"nonsense")
    assert feed(SnapshotReceiver(tmp_path / "in"), path).index == 10


def test_a_snapshot_that_cannot_fit_is_refused_at_once(tmp_path: Path) -> None:
    path = make_snapshot(tmp_path, 1)
    receiver = SnapshotReceiver(tmp_path / "in")
    with pytest.raises(OutOfSpace):
        receiver.begin(replace(id_of(path), size_bytes=1 << 60))
    with pytest.raises(SnapshotDamaged):
        receiver.begin(replace(id_of(path), size_bytes=100))
    assert receiver.snapshot is None


@pytest.mark.parametrize("field", ["cluster_id", "index", "term", "digest"])
def test_a_snapshot_that_is_not_what_was_announced_is_refused(tmp_path: Path, field: str) -> None:
    path = make_snapshot(tmp_path, 1)
    other: dict[str, object] = {"cluster_id": "c2", "index": 11, "term": 9, "digest": bytes(DIGEST_BYTES)}
    announced: SnapshotId = replace(id_of(path), **{field: other[field]})  # type: ignore[arg-type]  # one of them
    receiver = SnapshotReceiver(tmp_path / "in")
    receiver.begin(announced)
    with pytest.raises(SnapshotDamaged):
        send_all(receiver, path.read_bytes())
    assert receiver.snapshot is None


@pytest.fixture(scope="module")
def small() -> Iterator[Path]:
    root = scratch_folder()
    yield make_snapshot(root, 1, count=3)
    shutil.rmtree(root)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_in_a_snapshot_is_refused(small: Path, data: st.DataObject) -> None:
    """By the digest; in the header, by the header itself (hazard B91)."""
    content = bytearray(small.read_bytes())
    # Half of the flips where most of the meaning is.
    last = data.draw(st.sampled_from([300, len(content) - 1]))
    place = data.draw(st.integers(0, last))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    root = scratch_folder()
    try:
        damaged = root / "damaged"
        damaged.write_bytes(content)
        with pytest.raises(SnapshotDamaged):
            SnapshotReader(damaged).verify()
        if place < HEADER_BYTES:
            with pytest.raises(SnapshotDamaged):
                decode_header(bytes(content[:HEADER_BYTES]))
        # With the right checksum of each piece, and what was announced being the sound one.
        snapshot = id_of(small)
        receiver = SnapshotReceiver(root / "in")
        receiver.begin(snapshot)
        with pytest.raises(SnapshotDamaged):
            send_all(receiver, bytes(content))
        with pytest.raises(SnapshotDamaged):
            restore_folder(
                damaged, root / "n1", cluster_id="c", node_id="n1", node_uuid="u", fill_log=fill_log
            )
        assert {path.name for path in (root / "n1").glob("*")} <= {"LOCK"}
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("size", [0, 10, HEADER_BYTES, HEADER_BYTES + 10, -1, -DIGEST_BYTES])
def test_a_snapshot_cut_short_is_refused(tmp_path: Path, small: Path, size: int) -> None:
    content = small.read_bytes()
    (tmp_path / "cut").write_bytes(content[:size])
    with pytest.raises(SnapshotDamaged):
        SnapshotReader(tmp_path / "cut")
    with pytest.raises(SystemFailure, match="no such file"):
        SnapshotReader(tmp_path / "absent")


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("format_version", 2, "format version 2"),
        ("lmdb_version", "1.0.0", "LMDB's version is 1.0, here"),
        ("page_bytes", 16384, "page size is 16384"),
        ("byte_order", "big", "byte order is big"),
    ],
)
def test_a_snapshot_from_another_kind_of_machine_is_refused_with_its_first_piece(
    tmp_path: Path, small: Path, field: str, value: object, match: str
) -> None:
    manifest = decode_header(small.read_bytes()[:HEADER_BYTES])
    other = replace(manifest, **{field: value})  # type: ignore[arg-type]  # of the field's type
    container = pack_container(other, bytes(manifest.data_bytes))
    (tmp_path / "other").write_bytes(container)
    with pytest.raises(SnapshotForeign, match=match):
        SnapshotReader(tmp_path / "other")
    snapshot = replace(id_of(small), digest=container[-DIGEST_BYTES:])
    receiver = SnapshotReceiver(tmp_path / "in")
    receiver.begin(snapshot)
    with pytest.raises(SnapshotForeign, match=match):
        receiver.append(container[:HEADER_BYTES])
    assert receiver.snapshot is None


def test_a_manifest_that_cannot_fit_its_header_is_refused(small: Path) -> None:
    manifest = decode_header(small.read_bytes()[:HEADER_BYTES])
    assert decode_header(encode_header(manifest)) == manifest
    with pytest.raises(Misused):
        encode_header(replace(manifest, configuration=bytes(HEADER_BYTES)))


def test_a_sound_container_with_the_state_of_another_index_is_refused(tmp_path: Path, small: Path) -> None:
    manifest = decode_header(small.read_bytes()[:HEADER_BYTES])
    data = small.read_bytes()[HEADER_BYTES:-DIGEST_BYTES]
    for lie, content in ((replace(manifest, index=11), data), (manifest, bytes(len(data)))):
        (tmp_path / "lie").write_bytes(pack_container(lie, content))
        with pytest.raises(SnapshotDamaged):
            feed(SnapshotReceiver(tmp_path / "in"), tmp_path / "lie", piece_bytes=1 << 30)


def restore(snapshot: Path, folder: Path) -> None:
    restore_folder(snapshot, folder, cluster_id="new", node_id="n1", node_uuid="u9", fill_log=fill_log)


def test_a_restored_folder_is_a_new_cluster_s_with_the_old_data(tmp_path: Path, small: Path) -> None:
    (tmp_path / "n1" / "lost+found").mkdir(parents=True)
    (tmp_path / "n1").chmod(0o700)
    restore(small, tmp_path / "n1")
    with DataFolder(tmp_path / "n1", node_id="n1", cluster_id="new") as folder:
        assert folder.identity is not None
        assert (folder.identity.node_uuid, folder.identity.bootstrapped) == ("u9", True)
        state, log = folder.open_state(), folder.open_log()
        found = log.load()
        assert (found.hard_state, found.base_index, found.base_term, found.last_index) == (b"hard", 10, 2, 11)
        assert state.checkpoint == (10, 2)
        # And the second generation is equal (hazard B32).
        again = state.export(tmp_path / "again", cluster_id=CLUSTER, describe=describe)
        assert again == decode_header(small.read_bytes()[:HEADER_BYTES])
        state.close()
        log.close()
    assert state_of(tmp_path / "n1" / STATE_FOLDER) == (10, contents(1, 3))


def test_a_folder_that_is_not_empty_is_not_restored_into(tmp_path: Path, small: Path) -> None:
    (tmp_path / "n1").mkdir(mode=0o700)
    (tmp_path / "n1" / "letter.txt").write_text("dear")
    with pytest.raises(FolderForeign, match=r"letter.txt"):
        restore(small, tmp_path / "n1")
    assert (tmp_path / "n1" / "letter.txt").read_text() == "dear"
    restore(small, tmp_path / "n2")
    before = state_of(tmp_path / "n2" / STATE_FOLDER)
    with pytest.raises(FolderForeign, match="not empty"):
        restore(make_snapshot(tmp_path, 2), tmp_path / "n2")
    assert state_of(tmp_path / "n2" / STATE_FOLDER) == before
    (tmp_path / "n3").mkdir(mode=0o777)
    (tmp_path / "n3").chmod(0o777)
    with pytest.raises(FolderForeign, match="chmod"):
        restore(small, tmp_path / "n3")


def test_an_incoming_folder_without_identity_is_damage(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "n1", node_id="n1") as folder:
        folder.create(cluster_id=CLUSTER, node_id="n1", node_uuid="u1")
    for name in ("log", "state", "identity.cbor"):
        path = tmp_path / "n1" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / "n1" / INCOMING_FOLDER).mkdir()
    with pytest.raises(FolderDamaged, match="identity"):
        DataFolder(tmp_path / "n1", node_id="n1")


def memory_state(generation: int) -> MemoryStateStore:
    state = MemoryStateStore(MemoryDisk())
    state.write(contents(generation), index=10 * generation, term=generation + 1)
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.thaw(frozen)
    return state


def test_the_twin_in_memory_exports_and_installs(tmp_path: Path) -> None:
    source = memory_state(2)
    source.write({CONFIGURATION_KEY: b"not yet durable"}, index=21, term=3)
    manifest, snapshot = source.export(cluster_id=CLUSTER, describe=describe)
    assert (manifest.index, manifest.term, manifest.configuration) == (20, 3, b"members of 2")
    target = memory_state(1)
    assert MemoryStateStore.install(target.disk, snapshot) == manifest
    target.close()
    installed = MemoryStateStore(target.disk)
    assert installed.checkpoint == (20, 3)
    assert dict(installed.scan(b"", None, limit=999)) == contents(2)
    assert installed.export(cluster_id=CLUSTER, describe=describe) == (manifest, snapshot)
    target.disk.crash()
    assert MemoryStateStore(target.disk).applied == (20, 3)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_twin_in_memory_refuses_a_flipped_bit(data: st.DataObject) -> None:
    _manifest, snapshot = memory_state(2).export(cluster_id=CLUSTER, describe=describe)
    place = data.draw(st.integers(0, len(snapshot) - 1))
    damaged = bytearray(snapshot)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    disk = memory_state(1).disk
    before = dict(disk.content)
    with pytest.raises(SnapshotDamaged):
        MemoryStateStore.install(disk, bytes(damaged))
    assert disk.content == before
