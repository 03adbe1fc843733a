import json

import pytest
import torch

from kdtune.artifacts import logit_store
from kdtune.artifacts.workbench import Workbench
from kdtune.errors import KdtuneError
from kdtune.forecast import numerics_probe, open_settings
from kdtune.forecast.open_settings import settled
from kdtune.specs import load_study
from kdtune.specs.study import PLAIN, Numerics

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def bench_of(*overrides):
    return Workbench(load_study("digits-hkd", overrides=overrides), CPU, 1)


def resolved(*overrides, trainings=39):
    bench, _ = settled(bench_of(*overrides), trainings)
    return bench.study


def probed(monkeypatch, seconds):
    """Lets a probe find these seconds; returns a list with what it was to try, one a probe."""
    asked = []

    def probe(bench, is_long):
        asked.append((bench.study.teacher_logits, numerics_probe._allowed_numerics(bench.study.numerics)))
        return seconds

    monkeypatch.setattr(numerics_probe, "_probe", probe)
    return asked


# Replay or live


def test_logits_that_are_asked_for_more_than_once_are_replayed():
    assert resolved().teacher_logits == "replay"


def test_logits_that_are_asked_for_once_are_not_kept():
    assert resolved("training.augment=['flip']", trainings=1).teacher_logits == "live"
    assert resolved("training.augment=[]", trainings=1).teacher_logits == "replay"  # the same in every epoch


@pytest.mark.parametrize("mode", ["live", "replay"])
def test_what_a_study_says_stays(mode):
    assert resolved(f"teacher_logits={mode}", trainings=1).teacher_logits == mode


def test_a_small_disk_means_live_and_the_user_is_told_the_size(monkeypatch):
    monkeypatch.setattr(open_settings, "room_bytes", lambda: 1000)
    bench, remarks = settled(bench_of(), 39)
    assert bench.study.teacher_logits == "live"
    assert "more than half of the free space on the cache's disk" in remarks[0]


def test_replay_is_refused_where_the_disk_cannot_hold_it(monkeypatch):
    monkeypatch.setattr(logit_store, "room_bytes", lambda: 1000)
    with pytest.raises(KdtuneError, match="there is room for"):
        settled(bench_of("teacher_logits=replay"), 39)


# Classes without images


def test_classes_without_a_training_or_validation_image_are_told():
    # Twelve images of ten classes, of which four are held out.
    bench, remarks = settled(bench_of("data.train_limit=12", "validation=4"), 39)
    train, held = (len(part.labels.unique()) for part in (bench.splits.train, bench.splits.validation))
    assert train < 10 and held == 4
    assert remarks[:2] == (
        f"{10 - train} of 10 classes have no training image: no network learns them",
        "6 of 10 classes have no validation image: they do not influence the choice between trials",
    )


def test_where_every_class_is_in_either_part_there_is_nothing_to_tell():
    assert settled(bench_of(), 39)[1] == ()
    assert settled(bench_of("data.train_limit=40", "validation=20"), 39)[1] == ()


def test_a_class_that_the_data_set_does_not_have_is_not_lost(monkeypatch):
    bench = bench_of()
    bench.num_classes = 200  # as in a subset of three of Tiny ImageNet's classes
    assert settled(bench, 39)[1] == ()


# How to compute


def test_small_networks_are_computed_plainly_and_nothing_is_tried(monkeypatch):
    asked = probed(monkeypatch, {})
    assert resolved().numerics == PLAIN and not asked


def test_what_a_study_says_of_its_numerics_stays():
    assert resolved("numerics.precision=bfloat16").numerics == PLAIN.model_copy(update={"precision": "bfloat16"})


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(numerics_probe, "SMALL_MACS", 0)


FAST = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")


@pytest.mark.parametrize(("fast_s", "chosen"), [(0.5, FAST), (0.95, PLAIN), (1.2, PLAIN)])
def test_another_way_than_the_plain_one_has_to_be_faster_by_a_margin(large, monkeypatch, fast_s, chosen):
    probed(monkeypatch, {PLAIN: [1.0, 1.02, 7.0], FAST: [2.0, fast_s, fast_s]})
    assert resolved().numerics == chosen


def test_it_is_found_out_once_for_a_machine_and_a_kind_of_step(large, monkeypatch, cache):
    asked = probed(monkeypatch, {PLAIN: [1.0, 1.0, 1.0], FAST: [0.5, 0.5, 0.6]})
    assert [resolved().numerics, resolved().numerics] == [FAST, FAST]
    assert [mode for mode, _ in asked] == ["replay"]
    (kept,) = (cache / "numerics").glob("*.json")
    assert json.loads(kept.read_text())["step_s"]["float32 contiguous"] == [1.0, 1.0, 1.0]
    resolved("teacher_logits=live")
    assert [mode for mode, _ in asked] == ["replay", "live"]


def test_what_was_found_out_on_a_busy_machine_is_found_out_again(large, monkeypatch):
    asked = probed(monkeypatch, {PLAIN: [1.0, 1.3, 1.4], FAST: [0.5, 0.5, 0.5]})
    assert [resolved().numerics, resolved().numerics] == [FAST, FAST]
    assert len(asked) == 2


def test_only_what_a_study_allows_is_tried_and_kept_apart(large, monkeypatch):
    given = FAST.model_copy(update={"memory_layout": "contiguous"})
    asked = probed(monkeypatch, {given: [1.0] * 3, FAST: [0.95] * 3})
    # Beside the plainest way that is allowed, and not beside one that is not.
    assert resolved("numerics.precision=bfloat16").numerics == given
    ((_, ways),) = asked
    assert ways == [given, FAST]
    resolved()
    assert [len(ways) for _, ways in asked] == [2, 4]


def test_a_disk_that_is_too_small_for_replay_has_steps_with_a_live_teacher_tried(large, monkeypatch):
    asked = probed(monkeypatch, {PLAIN: [1.0] * 3})
    monkeypatch.setattr(open_settings, "room_bytes", lambda: 1000)
    assert resolved().teacher_logits == "live"
    assert [mode for mode, _ in asked] == ["replay", "live"]


def test_what_trainings_of_one_worker_come_to_decides_whether_compiling_is_tried(large, monkeypatch):
    found = []
    monkeypatch.setattr(numerics_probe, "_probe", lambda bench, is_long: found.append(is_long) or {PLAIN: [1.0] * 3})
    images, epochs, trainings, repeats, workers = 360, 100, 39, 3, 4
    monkeypatch.setattr(numerics_probe, "LONG_IMAGES", images * epochs * trainings * repeats // workers)
    for workers in (4, 5):
        settled(bench_of("training.epochs=100"), 39, workers)
    settled(bench_of("training.epochs=100", "training.batch_size=64"), 39, 4)  # whatever the batch
    assert found == [True, False, True]


def test_a_damaged_record_is_found_out_again(large, monkeypatch, cache):
    asked = probed(monkeypatch, {PLAIN: [1.0] * 3, FAST: [0.5] * 3})
    resolved()
    (kept,) = (cache / "numerics").glob("*.json")
    kept.write_text(kept.read_text()[:20])
    assert resolved().numerics == FAST and len(asked) == 2


@pytest.mark.parametrize("mode", ["live", "replay"])
def test_every_way_is_timed_on_the_real_networks(large, mode):
    bench = bench_of(f"teacher_logits={mode}")
    seconds = numerics_probe._probe(bench, True)  # compiling is for GPUs
    assert len(seconds) == 4 and PLAIN in seconds
    for found in seconds.values():
        assert numerics_probe.ROUNDS <= len(found) <= numerics_probe.MAX_ROUNDS and all(0 < one < 10 for one in found)
    assert "teacher" not in vars(bench)  # an untrained one takes as long


def without(monkeypatch, *precisions):
    """As on a machine that cannot compute in these."""
    from kdtune.training.numerics import Arithmetic

    compute = Arithmetic.logits

    def refuse(self, model, images):
        if self.numerics.precision in precisions:
            raise RuntimeError(f"out of memory in {self.numerics.precision}\nand a trace")
        return compute(self, model, images)

    monkeypatch.setattr(Arithmetic, "logits", refuse)


def test_a_way_that_cannot_be_computed_here_is_left_out(large, monkeypatch):
    without(monkeypatch, "bfloat16")
    assert {way.precision for way in numerics_probe._probe(bench_of(), False)} == {"float32"}


@pytest.mark.parametrize(
    "error", [AssertionError(), ImportError("no Triton\nand a trace")], ids=["assertion", "import"]
)
def test_whatever_the_compiler_fails_with_only_that_way_is_left_out(large, monkeypatch, error):
    from kdtune.training.numerics import Arithmetic

    compute = Arithmetic.logits

    def fail(self, model, images):
        if self.numerics.precision == "bfloat16":
            raise error
        return compute(self, model, images)

    monkeypatch.setattr(Arithmetic, "logits", fail)
    assert {way.precision for way in numerics_probe._probe(bench_of(), False)} == {"float32"}


def test_where_nothing_can_be_computed_every_reason_and_a_remedy_are_told(large, monkeypatch):
    without(monkeypatch, "float32", "bfloat16")
    with pytest.raises(KdtuneError) as caught:
        resolved()
    message = str(caught.value)
    assert "float32 contiguous: out of memory in float32; " in message and "bfloat16 channels_last: out of" in message
    assert "--set training.batch_size=N" in message


# What is frozen


def test_a_study_is_settled_as_the_strategies_that_ran_before():
    open_study = load_study("digits-hkd")
    ran = open_study.model_copy(update={"numerics": FAST, "teacher_logits": "replay"})
    assert open_study.settled_as(ran) == ran
    other = load_study("digits-hkd", overrides=["numerics.precision=float32", "teacher_logits=live"])
    assert other.settled_as(ran).numerics == FAST.model_copy(update={"precision": "float32"})
    assert other.settled_as(ran).teacher_logits == "live"


def test_an_open_study_reads_as_if_there_were_nothing_to_leave_open():
    table = load_study("digits-hkd").model_dump()
    assert "numerics" not in table and "teacher_logits" not in table
