import json
from dataclasses import replace

import pytest
import torch

from kdtune.artifacts import logit_store
from kdtune.artifacts.training_context import TrainingContext
from kdtune.errors import KdtuneError
from kdtune.forecast import numerics_probe, open_settings
from kdtune.forecast.open_settings import resolve_open_settings
from kdtune.specs import load_study
from kdtune.specs.numerics import PLAIN, Numerics

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def context_of(*overrides):
    return TrainingContext(load_study("digits-hkd", overrides=overrides), CPU, 1)


def resolved(*overrides, trainings=39):
    context, _ = resolve_open_settings(context_of(*overrides), trainings)
    return context.study


def probed(monkeypatch, seconds):
    """Make probes return the given seconds; return a list that receives the mode and the numerics of each probe."""
    probes = []

    def probe(context, is_long):
        probes.append((context.study.teacher_logits, numerics_probe._allowed_numerics(context.study.numerics)))
        return seconds

    monkeypatch.setattr(numerics_probe, "_probe", probe)
    return probes


# Logit mode: replay or live


def test_logits_that_are_needed_more_than_once_are_replayed():
    assert resolved().teacher_logits == "replay"


def test_logits_that_are_needed_once_are_not_stored():
    assert resolved("training.augment=['flip']", trainings=1).teacher_logits == "live"
    assert resolved("training.augment=[]", trainings=1).teacher_logits == "replay"  # logits are the same in every epoch


@pytest.mark.parametrize("mode", ["live", "replay"])
def test_a_logit_mode_that_the_study_sets_is_kept(mode):
    assert resolved(f"teacher_logits={mode}", trainings=1).teacher_logits == mode


def test_with_too_little_disk_space_the_mode_is_live_with_a_remark(monkeypatch):
    monkeypatch.setattr(open_settings, "room_bytes", lambda: 1000)
    context, remarks = resolve_open_settings(context_of(), 39)
    assert context.study.teacher_logits == "live"
    assert "more than half of the free space on the cache's disk" in remarks[0]


def test_replay_is_refused_if_the_disk_has_no_room(monkeypatch):
    monkeypatch.setattr(logit_store, "room_bytes", lambda: 1000)
    with pytest.raises(KdtuneError, match="there is room for"):
        resolve_open_settings(context_of("teacher_logits=replay"), 39)


# Classes without images


def test_there_is_a_remark_about_classes_without_training_or_validation_images():
    # There are twelve images of ten classes; four of the images are held out for validation.
    context, remarks = resolve_open_settings(context_of("data.train_limit=12", "validation=4"), 39)
    train, held = (len(part.labels.unique()) for part in (context.splits.train, context.splits.validation))
    assert train < 10 and held == 4
    assert remarks[:2] == (
        f"{10 - train} of 10 classes have no training image: no network learns them",
        "6 of 10 classes have no validation image: they do not influence the choice between trials",
    )


def test_there_is_no_remark_if_every_class_is_in_both_parts():
    assert resolve_open_settings(context_of(), 39)[1] == ()
    assert resolve_open_settings(context_of("data.train_limit=40", "validation=20"), 39)[1] == ()


def test_there_is_no_remark_about_classes_that_the_data_set_lacks(monkeypatch):
    context = context_of()
    context.task = replace(context.task, classes=200)  # as in a subset of Tiny ImageNet with three of its classes
    assert resolve_open_settings(context, 39)[1] == ()


# Numerics


def test_small_networks_get_plain_numerics_without_a_probe(monkeypatch):
    probes = probed(monkeypatch, {})
    assert resolved().numerics == PLAIN and not probes


def test_numerics_that_the_study_sets_are_kept():
    assert resolved("numerics.precision=bfloat16").numerics == PLAIN.model_copy(update={"precision": "bfloat16"})


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(numerics_probe, "SMALL_MACS", 0)


FAST = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")


@pytest.mark.parametrize(("fast_s", "chosen"), [(0.5, FAST), (0.95, PLAIN), (1.2, PLAIN)])
def test_other_numerics_must_be_faster_than_plain_ones_by_a_margin(large, monkeypatch, fast_s, chosen):
    probed(monkeypatch, {PLAIN: [1.0, 1.02, 7.0], FAST: [2.0, fast_s, fast_s]})
    assert resolved().numerics == chosen


def test_the_probe_runs_once_for_a_machine_and_a_logit_mode(large, monkeypatch, cache):
    probes = probed(monkeypatch, {PLAIN: [1.0, 1.0, 1.0], FAST: [0.5, 0.5, 0.6]})
    assert [resolved().numerics, resolved().numerics] == [FAST, FAST]
    assert [mode for mode, _ in probes] == ["replay"]
    (kept,) = (cache / "numerics").glob("*.json")
    assert json.loads(kept.read_text())["step_s"]["float32 contiguous"] == [1.0, 1.0, 1.0]
    resolved("teacher_logits=live")
    assert [mode for mode, _ in probes] == ["replay", "live"]


def test_a_probe_on_a_busy_machine_is_repeated_by_the_next_command(large, monkeypatch):
    probes = probed(monkeypatch, {PLAIN: [1.0, 1.3, 1.4], FAST: [0.5, 0.5, 0.5]})
    assert [resolved().numerics, resolved().numerics] == [FAST, FAST]
    assert len(probes) == 2


def test_only_allowed_numerics_are_tried_and_their_results_are_cached_separately(large, monkeypatch):
    given = FAST.model_copy(update={"memory_layout": "contiguous"})
    probes = probed(monkeypatch, {given: [1.0] * 3, FAST: [0.95] * 3})
    # The fastest numerics are compared with the plainest ones that the study allows.
    assert resolved("numerics.precision=bfloat16").numerics == given
    ((_, ways),) = probes
    assert ways == [given, FAST]
    resolved()
    assert [len(ways) for _, ways in probes] == [2, 4]


def test_with_too_little_disk_space_steps_with_a_live_teacher_are_probed(large, monkeypatch):
    probes = probed(monkeypatch, {PLAIN: [1.0] * 3})
    monkeypatch.setattr(open_settings, "room_bytes", lambda: 1000)
    assert resolved().teacher_logits == "live"
    assert [mode for mode, _ in probes] == ["replay", "live"]


def test_compiling_is_tried_if_the_trainings_of_a_worker_are_long_enough(large, monkeypatch):
    found = []
    monkeypatch.setattr(numerics_probe, "_probe", lambda context, is_long: found.append(is_long) or {PLAIN: [1.0] * 3})
    images, epochs, trainings, repeats, workers = 360, 100, 39, 3, 4
    monkeypatch.setattr(numerics_probe, "LONG_IMAGES", images * epochs * trainings * repeats // workers)
    for workers in (4, 5):
        resolve_open_settings(context_of("training.epochs=100"), 39, workers)
    resolve_open_settings(
        context_of("training.epochs=100", "training.batch_size=64"), 39, 4
    )  # the batch size does not matter
    assert found == [True, False, True]


def test_a_damaged_probe_result_is_replaced(large, monkeypatch, cache):
    probes = probed(monkeypatch, {PLAIN: [1.0] * 3, FAST: [0.5] * 3})
    resolved()
    (kept,) = (cache / "numerics").glob("*.json")
    kept.write_text(kept.read_text()[:20])
    assert resolved().numerics == FAST and len(probes) == 2


@pytest.mark.parametrize("mode", ["live", "replay"])
def test_all_numerics_are_timed_with_the_real_networks(large, mode):
    context = context_of(f"teacher_logits={mode}")
    seconds = numerics_probe._probe(context, True)  # compiling is only tried on GPUs
    assert len(seconds) == 4 and PLAIN in seconds
    for found in seconds.values():
        assert numerics_probe.ROUNDS <= len(found) <= numerics_probe.MAX_ROUNDS and all(0 < one < 10 for one in found)
    assert "teacher" not in vars(context)  # an untrained teacher is used


def without(monkeypatch, *precisions):
    """Make computations with some precisions fail, as on a machine that does not support them."""
    from kdtune.training.numerics import Arithmetic

    compute = Arithmetic.logits

    def refuse(self, model, images):
        if self.numerics.precision in precisions:
            raise RuntimeError(f"out of memory in {self.numerics.precision}\nand a trace")
        return compute(self, model, images)

    monkeypatch.setattr(Arithmetic, "logits", refuse)


def test_numerics_that_this_machine_cannot_compute_are_left_out(large, monkeypatch):
    without(monkeypatch, "bfloat16")
    assert {way.precision for way in numerics_probe._probe(context_of(), False)} == {"float32"}


@pytest.mark.parametrize(
    "error", [AssertionError(), ImportError("no Triton\nand a trace")], ids=["assertion", "import"]
)
def test_any_failure_of_the_compiler_only_excludes_the_numerics_concerned(large, monkeypatch, error):
    from kdtune.training.numerics import Arithmetic

    compute = Arithmetic.logits

    def fail(self, model, images):
        if self.numerics.precision == "bfloat16":
            raise error
        return compute(self, model, images)

    monkeypatch.setattr(Arithmetic, "logits", fail)
    assert {way.precision for way in numerics_probe._probe(context_of(), False)} == {"float32"}


def test_if_no_numerics_work_the_error_has_all_reasons_and_a_remedy(large, monkeypatch):
    without(monkeypatch, "float32", "bfloat16")
    with pytest.raises(KdtuneError) as caught:
        resolved()
    message = str(caught.value)
    assert "float32 contiguous: out of memory in float32; " in message and "bfloat16 channels_last: out of" in message
    assert "--set training.batch_size=N" in message


# Frozen settings


def test_open_settings_are_taken_from_strategies_that_ran_before():
    open_study = load_study("digits-hkd")
    ran = open_study.model_copy(update={"numerics": FAST, "teacher_logits": "replay"})
    assert open_study.settled_as(ran) == ran
    other = load_study("digits-hkd", overrides=["numerics.precision=float32", "teacher_logits=live"])
    assert other.settled_as(ran).numerics == FAST.model_copy(update={"precision": "float32"})
    assert other.settled_as(ran).teacher_logits == "live"


def test_open_settings_are_not_written_to_study_files():
    table = load_study("digits-hkd").model_dump()
    assert "numerics" not in table and "teacher_logits" not in table
