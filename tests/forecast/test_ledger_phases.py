from dataclasses import replace

import pytest

from kdtune.energy.running_account import account_of_ledger
from kdtune.forecast.ledger_phases import session_charge, strategy_phases
from kdtune.forecast.strategy_estimate import Conditions, StrategyOverhead, TimeAndEnergy, WorkUsage, strategy_charge
from tests.energy.simulated import J, Node, trial, two_cores

# With the hardware of two_cores(), a busy core second is 4 J, and a second of memory is 20 J.


def searched(node: Node) -> Node:
    """Run a search: 5 s of start, three trials of 2 s (two, then one after a pause of 0.5 s), 3 s of evaluation."""
    node.start().work(5, study=3)
    node.open(trial("a/1")).open(trial("b/1")).work(2, {"a/1": 2, "b/1": 1.5}).close("a/1").close("b/1")
    node.work(0.5, study=0.25, other=1)
    node.open(trial("c/1")).work(2, {"c/1": 2}, study=0.5).close("c/1")
    node.work(2.5, study=2).open(trial("evaluation-0/1", bucket="evaluation"))
    return node.work(0.5, {"evaluation-0/1": 0.5}).close("evaluation-0/1").stop()


def test_a_strategy_is_split_into_trainings_and_overhead():
    found = strategy_phases(searched(Node(two_cores())).records, epochs=6)
    assert found.epoch == WorkUsage(pytest.approx(6 / 6), pytest.approx(5.5 / 6), pytest.approx(5.5 * 4 * J / 6))
    assert found.overhead.fixed.wall_s == pytest.approx(8)
    assert found.overhead.fixed.charged_uj == pytest.approx((3 + 2.5) * 4 * J + 8 * 20 * J)
    assert found.overhead.fixed.idle_uj == pytest.approx(8 * 20 * J)
    assert found.overhead.gap_s == pytest.approx(4.5 / 2 - 2)  # two waves of trials
    assert found.overhead.gap_uj == pytest.approx(0.75 * 4 * J / 3)


@pytest.mark.parametrize("hardware", [two_cores(), two_cores(gpus=("GPU-a",))], ids=["modelled", "counted GPU"])
def test_the_phases_add_up_to_the_strategys_charge(hardware):
    node = searched(Node(hardware))
    found = strategy_phases(node.records, epochs=6)
    wall_s, energy = strategy_charge(
        3, found.epoch * 2, 0.0, found.overhead, Conditions(slots=2, cpus=1, cores=2, ram_uw=hardware.ram_uw)
    )
    assert wall_s == pytest.approx(12.5)
    assert energy == pytest.approx((5.5 + 3 + 0.25 + 0.5 + 2 + 0.5) * 4 * J + 12.5 * 20 * J)


def test_a_gpu_counts_as_trials_while_they_hold_it_and_else_as_idle():
    node = Node(two_cores(gpus=("GPU-a",))).start().work(1, gpu_j={"GPU-a": 50})
    node.open(trial("a/1", gpus={"GPU-a": 1.0})).work(2, {"a/1": 1}, gpu_j={"GPU-a": 300}).close("a/1")
    found = strategy_phases(node.work(1, gpu_j={"GPU-a": 70}).stop().records, epochs=1)
    assert found.epoch.active_uj == (4 + 300) * J
    assert found.overhead == StrategyOverhead(TimeAndEnergy(2.0, (120 + 40) * J, (120 + 40) * J))


def test_gpus_that_the_strategy_never_held_are_left_out_as_its_account_leaves_them_out():
    node = Node(two_cores(gpus=("GPU-a", "GPU-b"))).start().work(1, gpu_j={"GPU-a": 50, "GPU-b": 51})
    node.open(trial("a/1", gpus={"GPU-a": 1.0})).work(2, {"a/1": 1}, gpu_j={"GPU-a": 300, "GPU-b": 102}).close("a/1")
    records = node.work(1, gpu_j={"GPU-a": 70, "GPU-b": 51}).stop().records
    found = strategy_phases(records, epochs=1)
    assert found.overhead == StrategyOverhead(TimeAndEnergy(2.0, (120 + 40) * J, (120 + 40) * J))
    _, energy = strategy_charge(1, found.epoch, 0.0, found.overhead, Conditions(1, 1, 2, node.hardware.ram_uw))
    assert energy == pytest.approx(account_of_ledger(records).charged_uj())


def test_a_ledger_without_an_ended_trial_or_with_two_starts_gives_no_phases():
    assert strategy_phases([], epochs=1) is None
    assert strategy_phases(Node(two_cores()).start().work(1).stop().records, epochs=1) is None
    cut_off = Node(two_cores()).start().open(trial("a/1")).work(1, {"a/1": 1}).sample()
    assert strategy_phases(cut_off.records, epochs=1) is None
    again = cut_off.start().open(trial("a/2")).work(1, {"a/2": 1}).close("a/2").stop()
    assert strategy_phases(again.records, epochs=1) is None


def test_a_sessions_charge_is_the_sum_of_its_parts_without_other():
    node = Node(two_cores()).start().work(2, study=1, other=1).stop().work(100, other=50)
    assert session_charge(node.start().work(1, study=1).stop().records) == TimeAndEnergy(
        3.0, (2 * 4 + 3 * 20) * J, 3 * 20 * J
    )


def test_a_ledger_with_a_gap_is_not_used():
    """The meter was killed with its study, so the energy until the next meter is not fully known."""
    node = Node(two_cores()).start().work(1, study=1).sample().work(60, study=1)
    assert session_charge(node.start().work(1).stop().records) is None
    assert session_charge([replace(record, hardware=None) for record in node.records]) is None
