"""Tests of the energy multiple of a distillation; every expected figure is computed by hand."""

from dataclasses import replace

import pytest

from kdtune.energy.flops import Workload
from kdtune.forecast.distillation_cost import energy_multiple
from kdtune.forecast.strategy_estimate import Conditions, Timings, WorkUsage
from tests.energy.simulated import J, W

#: 100 images for training and 50 for validation.
WORKLOAD = Workload(teacher_macs=10, student_macs=3, train_images=100, val_images=50, test_images=20)

#: One trial at a time, on one of two cores, with memory of 20 W.
CONDITIONS = Conditions(slots=1, cpus=1.0, cores=2, ram_uw=20 * W)


def busy(seconds):
    """Return the usage of a core of 4 W that is busy all the time."""
    return WorkUsage(seconds, seconds, seconds * 4 * J)


#: An epoch takes 1.1 s with the teacher and 0.6 s without it.
TIMINGS = Timings(
    per_image={
        "distilling": busy(0.010),
        "labels": busy(0.005),
        "evaluation": busy(0.002),
        "teacher_logits": busy(0.003),
    },
    batches={},
    idle_uw=0.0,
    setup=None,
)


def multiple(timings=TIMINGS, stores=(), epochs=3, trainings=2, conditions=CONDITIONS):
    return energy_multiple(timings, WORKLOAD, epochs, trainings, stores, conditions)


def test_a_ratio_of_modelled_energies_is_one_of_times():
    assert multiple() == pytest.approx(1.1 / 0.6)
    assert multiple(conditions=replace(CONDITIONS, slots=2, ram_uw=0)) == pytest.approx(1.1 / 0.6)


def test_the_whole_energy_of_the_teachers_logits_is_charged():
    # First one epoch of logits (0.3 s) for two trainings of three epochs, then three epochs of logits for each of them.
    assert multiple(stores=[(1, 100)]) == pytest.approx((6 * 1.1 + 0.3) / (6 * 0.6))
    assert multiple(stores=[(3, 100), (3, 100)]) == pytest.approx((6 * 1.1 + 6 * 0.3) / (6 * 0.6))
    assert multiple(stores=[(3, 100), (3, 100)], conditions=replace(CONDITIONS, slots=2)) == multiple(
        stores=[(3, 100), (3, 100)]
    )


def test_counted_energy_includes_idle_power_and_the_memory_of_held_cores():
    counted = {**TIMINGS.per_image, "distilling": WorkUsage(0.010, 0.001, 0.010 * 50 * J)}
    timings = replace(TIMINGS, per_image=counted, idle_uw=5 * W)
    # In addition to the work's own power: 5 W of idle power, and 10 W of memory for one of two cores. In each epoch,
    # 0.1 s is evaluation.
    distilling, alone = 1.0 * (50 + 5 + 10) + 0.1 * (4 + 5 + 10), 0.6 * (4 + 5 + 10)
    assert multiple(timings) == pytest.approx(distilling / alone)
    # Three trainings, of which two run at the same time, take twice as long as one; so long is idle power charged.
    shared = replace(CONDITIONS, slots=2)
    distilling = 3 * (1.0 * (50 + 10) + 0.1 * (4 + 10)) + 2 * 1.1 * 5
    assert multiple(timings, trainings=3, conditions=shared) == pytest.approx(
        distilling / (3 * 0.6 * (4 + 10) + 2 * 0.6 * 5)
    )


def test_what_a_gpu_draws_that_no_training_uses_is_left_out():
    counted = {**TIMINGS.per_image, "distilling": WorkUsage(0.010, 0.001, 0.010 * 50 * J)}
    one_gpu = replace(TIMINGS, per_image=counted, idle_uw=5 * W)
    four = replace(one_gpu, idle_uw=(5 + 3 * 7) * W, spare_gpu_uw=7 * W)
    assert multiple(four, trainings=1, conditions=replace(CONDITIONS, gpus=4, trials_per_gpu=1)) == pytest.approx(
        multiple(one_gpu, trainings=1)
    )


@pytest.mark.parametrize("unknown", ["distilling", "labels"])
def test_times_are_compared_if_a_counter_did_not_move(unknown):
    counted = {**TIMINGS.per_image, "distilling": WorkUsage(0.010, 0.001, 0.010 * 50 * J)}
    counted[unknown] = replace(counted[unknown], active_uj=None)
    timings = replace(TIMINGS, per_image=counted, idle_uw=5 * W)
    assert multiple(timings, stores=[(1, 100)]) == pytest.approx((6 * 1.1 + 0.3) / (6 * 0.6))
