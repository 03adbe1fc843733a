"""Epochs that have a single image left over, and trainings on one image a step."""

from functools import partial

import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import DATASETS, models_of
from kdtune.errors import SpecError, UsageError
from kdtune.forecast.step_timing import time_work
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.numerics import Numerics
from kdtune.tasks.classification.task import Classification
from kdtune.training.batch_norm_checks import check_batches, check_step
from kdtune.training.distiller import Distiller
from tests.energy.simulated import two_cores
from tests.recipes import recipe_of
from tests.studies import small_study

CLASSIFIERS = models_of("classification")

CPU = torch.device("cpu")
SMALL_MAPS = ["mobilenet_v2_half", "resnet18", "shufflenet_v2", "vgg8", "vgg13"]
POINTS = [{"tau": 4}, {"temperature": "stochastic"}, {"temperature": "stochastic", "draw": "sample"}, {"loss": "ce"}]


def one_left_over(**changes):
    """33 images in batches of 16."""
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 0.05}
    given = {"data": {"train_limit": 53}, "validation": 20, "training": training, "teacher_training": training}
    return load_study(small_study(**{**given, **changes}))


@pytest.mark.parametrize("name", SMALL_MAPS)
def test_a_network_with_1x1_maps_trains_where_a_single_image_is_left_over(name):
    context = TrainingContext(one_left_over(student=name), CPU, threads=1)
    training = context.training(recipe_of(context.study, {"loss": "ce"}), 0, None)
    assert training.batch_sizes == [16, 17]
    training.train_epoch()


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_every_kind_of_training_takes_the_same_steps_and_resumes_to_the_bit(distiller, point):
    undisturbed = distiller(point, batch_size=5)  # of 56 images
    assert len(list(undisturbed.steps())) == 11
    undisturbed = distiller(point, batch_size=5)
    expected = [undisturbed.train_epoch() for _ in range(3)]
    interrupted = distiller(point, batch_size=5)
    interrupted.train_epoch()
    resumed = distiller(point, batch_size=5)
    resumed.load_state_dict(interrupted.state_dict())
    assert [resumed.train_epoch() for _ in range(2)] == expected[1:]


def test_replayed_and_live_answers_agree_for_the_batch_that_is_one_larger(monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    losses = {}
    for mode in ("live", "replay"):
        context = TrainingContext(one_left_over(teacher_logits=mode), CPU, threads=1)
        losses[mode] = [float(loss) for loss in context.distiller(recipe_of(context.study, {"tau": 4}), 0).steps()]
    assert losses["live"] == pytest.approx(losses["replay"], abs=1e-2)


def test_timing_covers_every_network_and_batch_size():
    context = TrainingContext(one_left_over(student="shufflenet_v2", teacher="vgg8"), CPU, threads=1)
    timings = time_work(context, ["distilling", "labels", "teacher"], Stopwatch(two_cores()), [], None)
    assert all(usage.wall_s > 0 for usage in timings.per_image.values())


def test_a_batch_that_is_one_larger_needs_no_code_of_its_own():
    compiled = Numerics(precision="float32", memory_layout="contiguous", compile="on")
    for validation, compiles in ((20, True), (36, False), (37, True)):  # 16 + 17, 17 and 16 images
        study = one_left_over(validation=validation, numerics=compiled.model_dump())
        assert TrainingContext(study, CPU, threads=1).compiles is compiles


def test_a_teacher_trained_with_the_last_image_by_itself_is_another_one():
    folds, even = (TrainingContext(one_left_over(validation=held), CPU, threads=1) for held in (20, 21))
    as_before = {"threads": 1, "device": CPU, "fingerprint": folds.arrays.fingerprint}
    from kdtune.artifacts.teacher import teacher_folder

    assert folds.teacher_folder != teacher_folder(folds.study, **as_before)
    assert even.teacher_folder == teacher_folder(even.study, **as_before)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_exactly_the_networks_that_fail_on_one_image_are_refused(name):
    shape, classes = DATASETS["digits"].facts["shape"], DATASETS["digits"].facts["classes"]
    task = partial(Classification, classes)
    check_step(Component(name=name), 80, 2, shape, task)
    if name not in SMALL_MAPS:
        check_step(Component(name=name), 80, 1, shape, task)  # so it does on images that are larger
        return
    with pytest.raises(UsageError, match=f"^{name} cannot .* images of 1x8x8 .* give 2 or more$"):
        check_step(Component(name=name), 80, 1, shape, task)
    check_step(Component(name=name), 80, 1, DATASETS["cifar10"].facts["shape"], task)


def test_a_single_image_to_train_on_is_refused_with_another_remedy():
    with pytest.raises(UsageError, match="hold out fewer, or use more$"):
        check_step(Component(name="vgg8"), 1, 32, DATASETS["digits"].facts["shape"], partial(Classification, 10))


def test_a_study_is_refused_with_every_training_that_would_fail():
    single = {"epochs": 1, "batch_size": 1, "learning_rate": 0.05}
    study = one_left_over(student="shufflenet_v2", teacher="vgg8", training=single, teacher_training=single)
    with pytest.raises(SpecError) as error:
        check_batches(study, 53, trains_teacher=True)
    assert [fault.key for fault in error.value.faults] == ["training.batch_size", "teacher_training.batch_size"]
    with pytest.raises(SpecError) as error:
        check_batches(study, 53, trains_teacher=False)
    assert len(error.value.faults) == 1
    check_batches(one_left_over(student="shufflenet_v2", teacher="vgg8"), 53, trains_teacher=True)


def test_a_training_in_somebody_elses_pipeline_is_refused_too():
    context = TrainingContext(
        one_left_over(student="vgg8", training={**small_study()["training"], "batch_size": 1}), CPU, 1
    )
    with pytest.raises(UsageError, match="vgg8 cannot be trained on one image"):
        context.distiller(recipe_of(context.study, {"loss": "ce"}), 0)


def test_largest_draw_has_a_tau_for_every_image(distiller):
    training = distiller({"temperature": "stochastic", "draw": "sample"}, batch_size=55)
    assert isinstance(training, Distiller) and training.batch_sizes == [56]
    assert 2 <= training.train_epoch().tau <= 20
