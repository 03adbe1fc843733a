"""Every figure here is worked out by hand."""

from dataclasses import replace

import pytest

from kdtune.energy.flops import Workload
from kdtune.forecast.distillation_cost import energy_multiple
from kdtune.forecast.strategy_estimate import Conditions, Timings, Usage
from tests.energy.simulated import J, W

#: 100 images to learn from and 50 to evaluate.
WORKLOAD = Workload(teacher_macs=10, student_macs=3, train_images=100, val_images=50, test_images=20)

#: One core of two at a time, memory of 20 W.
CONDITIONS = Conditions(slots=1, cpus=1.0, cores=2, ram_uw=20 * W)


def busy(seconds):
    """A core of 4 W that works all the time."""
    return Usage(seconds, seconds, seconds * 4 * J)


#: An epoch with the teacher takes 1.1 s, one without it 0.6 s.
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


def multiple(timings=TIMINGS, asked=(), epochs=3, trainings=2, conditions=CONDITIONS):
    return energy_multiple(timings, WORKLOAD, epochs, trainings, asked, conditions)


def test_modelled_energy_is_time_whatever_the_power():
    assert multiple() == pytest.approx(1.1 / 0.6)
    assert multiple(conditions=replace(CONDITIONS, slots=2, ram_uw=0)) == pytest.approx(1.1 / 0.6)


def test_what_the_teacher_took_for_all_trainings_is_charged_whole():
    # One epoch of its answers, 0.3 s, for two trainings of three epochs; then three epochs of them for each of two.
    assert multiple(asked=[(1, 100)]) == pytest.approx((6 * 1.1 + 0.3) / (6 * 0.6))
    assert multiple(asked=[(3, 100), (3, 100)]) == pytest.approx((6 * 1.1 + 6 * 0.3) / (6 * 0.6))
    assert multiple(asked=[(3, 100), (3, 100)], conditions=replace(CONDITIONS, slots=2)) == multiple(
        asked=[(3, 100), (3, 100)]
    )


def test_counted_energy_is_the_works_own_what_is_drawn_anyway_and_the_memory_of_the_cores_that_are_held():
    counted = {**TIMINGS.per_image, "distilling": Usage(0.010, 0.001, 0.010 * 50 * J)}
    timings = replace(TIMINGS, per_image=counted, idle_uw=5 * W)
    # Beside the work's own: 5 W at rest, and 10 W of memory for one core of two; 0.1 s an epoch are evaluation.
    distilling, alone = 1.0 * (50 + 5 + 10) + 0.1 * (4 + 5 + 10), 0.6 * (4 + 5 + 10)
    assert multiple(timings) == pytest.approx(distilling / alone)
    # Three trainings of which two run side by side: what is drawn anyway is drawn twice as long as one takes.
    shared = replace(CONDITIONS, slots=2)
    distilling = 3 * (1.0 * (50 + 10) + 0.1 * (4 + 10)) + 2 * 1.1 * 5
    assert multiple(timings, trainings=3, conditions=shared) == pytest.approx(
        distilling / (3 * 0.6 * (4 + 10) + 2 * 0.6 * 5)
    )


def test_what_a_gpu_draws_that_no_training_uses_is_left_out():
    counted = {**TIMINGS.per_image, "distilling": Usage(0.010, 0.001, 0.010 * 50 * J)}
    one_gpu = replace(TIMINGS, per_image=counted, idle_uw=5 * W)
    four = replace(one_gpu, idle_uw=(5 + 3 * 7) * W, spare_gpu_uw=7 * W)
    assert multiple(four, trainings=1, conditions=replace(CONDITIONS, gpus=4, trials_per_gpu=1)) == pytest.approx(
        multiple(one_gpu, trainings=1)
    )


@pytest.mark.parametrize("unknown", ["distilling", "labels"])
def test_where_a_counter_did_not_move_time_stands_in_for_energy(unknown):
    counted = {**TIMINGS.per_image, "distilling": Usage(0.010, 0.001, 0.010 * 50 * J)}
    counted[unknown] = replace(counted[unknown], active_uj=None)
    timings = replace(TIMINGS, per_image=counted, idle_uw=5 * W)
    assert multiple(timings, asked=[(1, 100)]) == pytest.approx((6 * 1.1 + 0.3) / (6 * 0.6))
