from dataclasses import replace

import pytest

from kdtune.energy.neighbours import Neighbours
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.window_account import account_of

from .simulated import J, Node, trial, two_cores


def evaluation(name, **given):
    return trial(name, bucket="evaluation", **given)


@pytest.fixture
def node():
    """Return a node with windows a (3 s) and b (1 s), each after a pause; 4 J per core second, 20 W of memory."""
    node = Node(two_cores(gpus=("GPU-a",))).start().work(5, study=1, gpu_j={"GPU-a": 7})
    node.open(evaluation("a", gpus={"GPU-a": 1.0})).work(2, {"a": 2}, other=1, gpu_j={"GPU-a": 60}).sample()
    node.work(1, {"a": 1}, gpu_j={"GPU-a": 40}).close("a").work(2, gpu_j={"GPU-a": 9})
    node.open(evaluation("b")).work(1, {"b": 0.5}, gpu_j={"GPU-a": 3}).close("b")
    return node.work(4, study=2).stop()


def test_the_account_of_a_window_covers_the_node_while_the_window_was_open(node):
    account = account_of(node.records, "a")
    # The window is charged 3 core seconds, half of the memory (one core of two), and the GPU that it held.
    assert account.buckets["evaluation"] == account.windows["a"] == (12 + 30 + 100) * J
    assert (account.buckets["idle"], account.buckets["other"]) == (30 * J, 4 * J)
    assert account.node_uj == sum(account.buckets.values()) == 176 * J
    assert account.duration_ns == 3_000_000_000
    assert account.sources["evaluation"] == {"cpu_modelled": 12 * J, "ram_modelled": 30 * J, "gpu_counter": 100 * J}
    # A GPU that the window did not hold is idle during the window.
    assert account_of(node.records, "b").buckets["idle"] == (10 + 3) * J


def test_windows_are_parts_of_the_whole_ledger(node):
    whole = account_of_ledger(node.records)
    parts = [account_of(node.records, name) for name in ("a", "b")]
    assert sum(part.buckets["evaluation"] for part in parts) == whole.buckets["evaluation"]
    assert sum(part.node_uj for part in parts) < whole.node_uj
    assert all(part.flags == {} for part in parts)


def test_records_of_another_meter_in_the_same_file_change_nothing(node):
    alone = account_of(node.records, "a")
    sample = next(record for record in node.records if record.kind == "sample")
    other = replace(sample, meter="another", windows={}, study_us=1)
    place = node.records.index(sample)
    assert account_of([*node.records[:place], other, *node.records[place:]], "a") == alone


def test_neighbours_before_the_window_are_not_flagged():
    node = Node(two_cores()).start().others_have(Neighbours(5_000_500_000_000, 1)).work(1)
    node.others_have(Neighbours(node.t_ns - 1, 0)).open(evaluation("a")).work(1, {"a": 1}).close("a").stop()
    assert "node_shared" in account_of_ledger(node.records).flags
    assert account_of(node.records, "a").flags == {}


@pytest.mark.parametrize("name", ["never opened", "never closed"])
def test_a_window_that_was_not_opened_or_not_closed_is_refused(name):
    node = Node(two_cores()).start().open(evaluation("never closed")).work(1, {"never closed": 1}).stop()
    with pytest.raises(ValueError, match=name):
        account_of(node.records, name)
