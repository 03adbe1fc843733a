"""Tests of flags that can only be found by comparing the ledgers of several nodes."""

from dataclasses import replace

import pytest

from kdtune.energy.ledger import Window
from kdtune.energy.several_nodes import account_of_nodes

from .simulated import J, Node, trial, two_cores


def node(name, boot, nodes=()):
    """Return the records of a machine with one trial; ``nodes`` are the names of all machines that its study meters."""
    made = Node(two_cores(), boot).start().open(trial(f"{name}/1")).work(5, {f"{name}/1": 5}).close(f"{name}/1").stop()
    made.records[0] = replace(made.records[0], nodes=tuple(nodes))
    return made.records


def test_a_machine_without_a_ledger_is_flagged():
    both = ["driver", "worker"]
    driver = node("driver", "boot-1", both)
    assert account_of_nodes({"driver": driver}).flags == {"node_unread": 1}
    assert account_of_nodes({"driver": driver, "worker": node("worker", "boot-2", both)}).flags == {}


def test_machines_that_only_an_earlier_command_metered_are_not_flagged():
    first, second = node("driver", "boot-1", ["driver", "worker"]), node("driver", "boot-2")
    assert account_of_nodes({"driver": [*first, *second], "worker": node("worker", "boot-3")}).flags == {}


@pytest.mark.parametrize(("boots", "flags"), [(("same", "same"), {"machine_counted_twice": 1}), (("one", "two"), {})])
def test_a_machine_that_two_meters_counted_at_once_is_flagged(boots, flags):
    account = account_of_nodes({name: node(name, boot) for name, boot in zip(("pod-1", "pod-2"), boots, strict=True)})
    assert account.flags == flags
    assert account.buckets["trials"] >= 2 * 5 * 4 * J


def test_a_machine_that_was_renamed_is_counted_once():
    early, late = Node(two_cores()), Node(two_cores())
    early.start().work(5).stop()
    late.work(10).start().work(5).stop()
    assert account_of_nodes({"old": early.records, "new": late.records}).flags == {}


def on_gpus(boot, gpu, *, shares=(), joules=90):
    """Return the records of a machine with one GPU, which trials hold with these shares for ten seconds."""
    node = Node(two_cores(gpus=(gpu,)), boot).start()
    for number, share in enumerate(shares):
        node.open(Window(f"{gpu}-{number}/1", "trials", 100 + number, 1.0, {gpu: share}))
    node.work(10, gpu_j={gpu: joules})
    return node.stop().records


def test_the_idle_power_of_gpus_on_machines_without_a_trial_is_not_charged():
    one, other = on_gpus("boot-1", "GPU-1", shares=[1.0]), on_gpus("boot-2", "GPU-2")
    account = account_of_nodes({"one": one, "other": other})
    assert account.sources["trials"]["gpu_counter"] == 90 * J
    assert account.sources["other"]["gpu_counter"] == 90 * J
    assert "gpu_counter" not in {source for source, energy in account.sources["idle"].items() if energy}
    # As long as no trial held a GPU, it is not known which GPUs the study uses.
    alone = account_of_nodes({"other": other})
    assert alone.sources["idle"]["gpu_counter"] == 90 * J
    for found in (account, alone):
        assert sum(found.buckets.values()) == found.node_uj


def test_a_gpu_that_trials_share_is_divided_by_their_shares_and_marked():
    account = account_of_nodes({"one": on_gpus("boot-1", "GPU-1", shares=[0.25, 0.5])})
    # The trials used the same CPU time and memory.
    assert account.windows["GPU-1-1/1"] - account.windows["GPU-1-0/1"] == 30 * J
    assert account.sources["trials"]["gpu_counter"] == 90 * J
    assert account.flags["gpu_shared"] == 1
    assert "gpu_shared" not in account_of_nodes({"one": on_gpus("boot-1", "GPU-1", shares=[1.0])}).flags
