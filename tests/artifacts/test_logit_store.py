import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.artifacts import logit_store
from kdtune.artifacts.logit_store import HALF, SINGLE, LogitShape, LogitStore
from kdtune.errors import KdtuneError, MachineError
from tests.damage import altered, damaged

SHAPE = LogitShape(epochs=3, images=5, classes=4)


def logits(epoch=0):
    return np.random.default_rng(epoch).normal(0, 5, (SHAPE.images, SHAPE.classes)).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    made = LogitStore(tmp_path / "store", SHAPE)
    made.create()
    return made


def fill(store, *epochs):
    for epoch in epochs:
        store.fill(epoch, iter(np.array_split(logits(epoch), 2)))


def test_stored_logits_are_read_with_half_precision(store):
    fill(store, 0, 2)
    for epoch in (0, 2):
        np.testing.assert_allclose(store.rows(epoch).astype(np.float32), logits(epoch), rtol=2**-11, atol=1e-7)


def test_epochs_may_be_filled_in_any_order_and_the_rest_is_missing(store):
    assert store.missing_epochs() == [0, 1, 2]
    fill(store, 1)
    assert store.missing_epochs() == [0, 2]


def test_creating_a_store_again_keeps_its_content(store):
    fill(store, 1)
    LogitStore(store.folder, SHAPE).create()
    assert store.missing_epochs() == [0, 2]


def test_a_store_of_one_epoch_serves_every_epoch(tmp_path):
    store = LogitStore(tmp_path, LogitShape(1, SHAPE.images, SHAPE.classes))
    store.create()
    fill(store, 0)
    assert np.array_equal(store.rows(7), store.rows(0))


def test_an_epoch_that_was_not_filled_cannot_be_read(store):
    with pytest.raises(KdtuneError, match="epoch 2 are missing or damaged; the next command computes them again"):
        store.rows(1)


@pytest.mark.parametrize("where", [0.3, 0.6, 0.95])
def test_a_flipped_bit_is_noticed(store, where):
    fill(store, 0, 1, 2)
    path = store.folder / "logits.npy"
    raw = bytearray(path.read_bytes())
    at = 128 + int(where * (len(raw) - 128))
    raw[at] ^= 4
    path.write_bytes(raw)
    with pytest.raises(KdtuneError, match="damaged"):
        for epoch in range(3):
            store.rows(epoch)


def test_a_damaged_epoch_is_computed_again(store):
    fill(store, 0, 1, 2)
    path = store.folder / "logits.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 4
    path.write_bytes(raw)
    with pytest.raises(MachineError, match="epoch 3 are missing or damaged"):
        store.rows(2)
    assert store.missing_epochs() == [2]
    fill(store, 2)
    assert store.missing_epochs() == []
    store.rows(2)


def test_an_epoch_with_an_unreadable_record_is_computed_again(store):
    fill(store, 0, 1)
    notes = store.folder / "filled.jsonl"
    notes.write_text("garbage\n" + "".join(notes.read_text().splitlines(keepends=True)[1:]))
    assert store.missing_epochs() == [0, 2]
    fill(store, 0)
    assert store.missing_epochs() == [2]


@settings(max_examples=25, deadline=None)
@given(kept=st.integers(0, 247))
def test_a_truncated_file_is_filled_again(tmp_path_factory, kept):
    store = LogitStore(tmp_path_factory.mktemp("cut"), SHAPE)
    store.create()
    fill(store, 0, 1, 2)
    path = store.folder / "logits.npy"
    path.write_bytes(path.read_bytes()[:kept])
    assert store.missing_epochs() == [0, 1, 2]
    store.create()
    fill(store, *store.missing_epochs())
    assert np.array_equal(store.rows(2), logits(2).astype(np.float16))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_any_damage_an_epoch_is_unchanged_missing_or_refused(store, data):
    fill(store, *store.missing_epochs())
    both = {path: path.read_bytes() for path in (store.folder / "logits.npy", store.folder / "filled.jsonl")}
    path, raw = data.draw(st.sampled_from(sorted(both.items())))
    try:
        path.write_bytes(data.draw(data.draw(st.sampled_from([damaged, altered]))(raw)))
        for epoch in {*range(3)} - {*store.missing_epochs()}:
            with suppress(KdtuneError):
                assert np.array_equal(store.rows(epoch), logits(epoch).astype(np.float16))
    finally:
        for path, raw in both.items():  # damaged epochs are recorded there
            path.write_bytes(raw)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(store, value):
    wrong = logits()
    wrong[2, 1] = value
    with pytest.raises(KdtuneError, match="the teacher's logits are not finite numbers"):
        store.fill(0, iter([wrong]))
    assert store.missing_epochs() == [0, 1, 2] and store.dtype == HALF


def large(epoch=0):
    """Return logits of which one is too large for float16."""
    values = logits(epoch)
    values[3, 2] = -7e4
    return values


def test_a_logit_beyond_float16_converts_the_store_to_float32(store):
    fill(store, 0)
    assert store.fill(1, iter([large(1)])) is False
    assert store.missing_epochs() == [0, 1, 2]
    assert store.dtype == SINGLE and store.bytes == 2 * SHAPE.bytes_as(HALF)
    assert all(store.fill(epoch, iter(np.array_split(large(epoch), 2))) for epoch in range(3))
    assert store.missing_epochs() == []
    for epoch in range(3):
        assert np.array_equal(store.rows(epoch), large(epoch))  # to the last bit
    LogitStore(store.folder, SHAPE).create()
    assert store.missing_epochs() == []


def test_the_largest_float16_keeps_the_store_in_float16(store):
    values = logits()
    values[0, 0] = 65504
    assert store.fill(0, iter([values])) is True
    assert store.dtype == HALF and store.rows(0)[0, 0] == 65504


def test_epochs_filled_during_the_conversion_are_missing_again(store):
    def batches():
        yield logits()[:3]
        assert not LogitStore(store.folder, SHAPE).fill(2, iter([large(2)]))
        yield logits()[3:]

    assert store.fill(0, batches()) is False
    assert store.missing_epochs() == [0, 1, 2]
    assert store.fill(0, iter([logits()])) and np.array_equal(store.rows(0), logits())


def test_a_disk_too_small_for_float32_is_reported_without_loss(store, monkeypatch):
    fill(store, 0)
    monkeypatch.setattr(logit_store, "room_bytes", lambda: SHAPE.bytes_as(HALF) - 1)
    with pytest.raises(KdtuneError, match="there is room for .*; make room"):
        store.fill(1, iter([large()]))
    assert store.missing_epochs() == [1, 2] and store.dtype == HALF


def test_a_full_disk_is_reported_with_both_sizes_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(logit_store, "room_bytes", lambda: 10**9)
    store = LogitStore(tmp_path / "large", LogitShape(200, 45_000, 100))
    with pytest.raises(KdtuneError, match=r"take 1\.8 GB, and there is room for 1 GB; make room"):
        store.create()
    assert not (store.folder / "logits.npy").exists()


def test_the_whole_file_is_allocated_first(store):
    state = (store.folder / "logits.npy").stat()
    assert state.st_blocks * 512 >= store.bytes


def test_a_killed_process_leaves_complete_epochs_only(tmp_path):
    program = textwrap.dedent(
        f"""
        import sys, time
        import numpy as np
        from kdtune.artifacts.logit_store import LogitStore, LogitShape
        from pathlib import Path
        store = LogitStore(Path({str(tmp_path)!r}), LogitShape(50, 2000, 10))
        store.create()
        def batches(epoch):
            for _ in range(20):
                yield np.full((100, 10), epoch, np.float32)
                if epoch == 3:
                    print("in the middle", flush=True)
                    time.sleep(60)
        for epoch in range(50):
            store.fill(epoch, batches(epoch))
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in the middle\n"
        os.kill(process.pid, signal.SIGKILL)
    store = LogitStore(tmp_path, LogitShape(50, 2000, 10))
    assert store.missing_epochs() == list(range(3, 50))
    assert all((store.rows(epoch) == epoch).all() for epoch in range(3))
