"""Tests of the arithmetic of estimates; every expected figure is computed by hand."""

from dataclasses import replace

import pytest

from kdtune.energy.flops import Workload
from kdtune.forecast.strategy_estimate import (
    Conditions,
    StrategyOverhead,
    TimeAndEnergy,
    Timings,
    WorkUsage,
    modelled_cpu_uj,
    setup_overhead,
    strategy_charge,
    sum_or_none,
)
from tests.energy.simulated import W, two_cores

WORKLOAD = Workload(teacher_macs=10, student_macs=3, train_images=100, val_images=50, test_images=20)

#: An image takes 2 ms with the teacher, 1 ms without it and 0.5 ms in an evaluation; for the teacher 4 ms and 1 ms.
TIMINGS = Timings(
    per_image={
        "distilling": WorkUsage(0.002, 0.001, 40.0),
        "labels": WorkUsage(0.001, 0.001, 20.0),
        "evaluation": WorkUsage(0.0005, 0.0005, 2.0),
        "teacher": WorkUsage(0.004, 0.004, 100.0),
        "teacher_evaluation": WorkUsage(0.001, 0.001, 10.0),
    },
    batches={},
    idle_uw=0.0,
    setup=None,
)

ONE_AT_A_TIME = Conditions(slots=1, cpus=1, cores=2, ram_uw=20 * W)

NOTHING = StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0))


def test_a_sum_is_unknown_if_a_part_is():
    assert sum_or_none(1.0, 2.0) == 3.0
    assert sum_or_none(1.0, None) is None
    assert WorkUsage(1, 1, 5.0) + WorkUsage(1, 1, None) == WorkUsage(2, 2, None)
    assert WorkUsage(1, 2, None) * 3 == WorkUsage(3, 6, None)


def test_a_modelled_cpu_takes_its_share_of_the_design_power():
    assert modelled_cpu_uj(two_cores(), cpu_s=3.0) == 3 * 4 * W  # 8 W on two cores


def test_an_epoch_consists_of_training_and_validation_images():
    assert TIMINGS.student_epoch(WORKLOAD, with_teacher=True) == WorkUsage(
        pytest.approx(100 * 0.002 + 50 * 0.0005), pytest.approx(100 * 0.001 + 50 * 0.0005), 100 * 40 + 50 * 2
    )
    assert TIMINGS.student_epoch(WORKLOAD, with_teacher=False).active_uj == 100 * 20 + 50 * 2


def test_the_teacher_is_evaluated_on_the_test_images_once():
    training = TIMINGS.teacher_training(WORKLOAD, epochs=3)
    assert training.wall_s == pytest.approx(3 * (100 * 0.004 + 50 * 0.001) + 20 * 0.001)
    assert training.active_uj == 3 * (100 * 100 + 50 * 10) + 20 * 10


def test_consecutive_trials_take_their_sum_with_memory_for_all_that_time():
    wall_s, energy = strategy_charge(3, WorkUsage(2.0, 2.0, 8 * W), 0.0, NOTHING, ONE_AT_A_TIME)
    assert wall_s == 6.0
    assert energy == 3 * 8 * W + 6.0 * 20 * W


def test_five_trials_two_at_a_time_take_three_times_a_trial():
    wall_s, energy = strategy_charge(5, WorkUsage(2.0, 2.0, 8 * W), 0.0, NOTHING, replace(ONE_AT_A_TIME, slots=2))
    assert wall_s == 6.0
    assert energy == 5 * 8 * W + 6.0 * 20 * W


def test_idle_power_is_charged_all_the_time():
    _, energy = strategy_charge(3, WorkUsage(2.0, 2.0, 8 * W), 10 * W, NOTHING, ONE_AT_A_TIME)
    assert energy == 3 * 8 * W + 6.0 * (20 + 10) * W


def test_overhead_is_added_for_start_pauses_and_end():
    overhead = StrategyOverhead(TimeAndEnergy(7.0, 100 * W, 60 * W), gap_s=0.5, gap_uj=1 * W)
    wall_s, energy = strategy_charge(3, WorkUsage(2.0, 2.0, 8 * W), 0.0, overhead, ONE_AT_A_TIME)
    assert wall_s == 7.0 + 3 * 2.5
    assert energy == 100 * W + 3 * (8 + 1) * W + 7.5 * 20 * W


def test_on_a_shared_node_idle_energy_is_excluded_and_memory_is_that_of_held_cores():
    overhead = StrategyOverhead(TimeAndEnergy(7.0, 100 * W, 60 * W))
    shared = replace(ONE_AT_A_TIME, dedicated=False)
    _, energy = strategy_charge(3, WorkUsage(2.0, 2.0, 8 * W), 0.0, overhead, shared)
    assert energy == (100 - 60) * W + 3 * 8 * W + 6.0 * 20 * W / 2  # one core of two


@pytest.mark.parametrize("unknown", ["trial", "idle", "start"])
def test_if_energy_is_unknown_time_is_still_returned(unknown):
    trial = WorkUsage(2.0, 2.0, None if unknown == "trial" else 1.0)
    fixed = TimeAndEnergy(1.0, None, None) if unknown == "start" else TimeAndEnergy(1.0, 1.0, 1.0)
    idle_uw = None if unknown == "idle" else 0.0
    assert strategy_charge(3, trial, idle_uw, StrategyOverhead(fixed), ONE_AT_A_TIME) == (7.0, None)


def test_workers_that_start_at_the_same_time_take_the_time_of_one():
    overhead = setup_overhead(WorkUsage(2.0, 1.5, 6 * W), workers=2, idle_uw=5 * W, ram_uw=20 * W)
    assert overhead == StrategyOverhead(TimeAndEnergy(2.0, 2 * 6 * W + 2.0 * 25 * W, 2.0 * 25 * W))


def test_charges_add_up():
    assert TimeAndEnergy(1.0, 5.0, 2.0) + TimeAndEnergy(2.0, 1.0, None) == TimeAndEnergy(3.0, 6.0, None)
    assert TimeAndEnergy(1.0, 5.0, 2.0).energy_uj(dedicated=True) == 5.0
    assert TimeAndEnergy(1.0, 5.0, 2.0).energy_uj(dedicated=False) == 3.0
    assert TimeAndEnergy(1.0, 5.0, None).energy_uj(dedicated=False) is None
