"""Tests of readings that fail, come late or are impossible: they are flagged, and no energy is invented."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kdtune.energy.running_account import account_of_ledger
from tests.energy.simulated import J, Node, two_cores

ZONE, GPU = "zone", "GPU-a"
RANGE = 262_144 * J


def rapl_node():
    return Node(two_cores(rapl={ZONE: RANGE})).start()


def gpu_node(quality="counter"):
    hardware = replace(two_cores(gpus=(GPU,)), gpu_quality={GPU: quality})
    return Node(hardware).start()


def without(node, *, gpu=False, rapl=False):
    """Remove the readings of a sensor from the last record, as if it could not be read."""
    last = node.records[-1]
    counters = replace(
        last.counters, gpu_mj={} if gpu else last.counters.gpu_mj, rapl_uj={} if rapl else last.counters.rapl_uj
    )
    node.records[-1] = replace(last, counters=counters)
    return node


def test_a_gpu_that_fails_after_its_first_reading_is_flagged():
    node = gpu_node().work(1, gpu_j={GPU: 300}).sample()
    for _ in range(5):
        without(node.work(1, gpu_j={GPU: 300}).sample(), gpu=True)
    account = account_of_ledger(without(node.work(1).stop(), gpu=True).records)
    assert account.sources["idle"]["gpu_counter"] == 300 * J
    assert account.flags["gpu_unread"] == 6


def test_a_gpu_that_is_read_again_loses_nothing_and_is_flagged():
    node = gpu_node().work(1, gpu_j={GPU: 300}).sample()
    without(node.work(1, gpu_j={GPU: 200}).sample(), gpu=True)
    account = account_of_ledger(node.work(1, gpu_j={GPU: 100}).stop().records)
    assert account.sources["idle"]["gpu_counter"] == 600 * J
    assert account.flags == {"gpu_unread": 1}


def test_rapl_that_becomes_unreadable_is_flagged():
    node = rapl_node().work(1, rapl_j={ZONE: 50}).sample()
    without(node.work(1, rapl_j={ZONE: 50}).sample(), rapl=True)
    account = account_of_ledger(without(node.work(1).stop(), rapl=True).records)
    assert account.node_uj == 50 * J + 3 * 20 * J
    assert account.flags == {"rapl_unread": 2}


def test_a_reset_of_a_rapl_counter_is_flagged_and_not_taken_for_a_wrap():
    node = rapl_node()
    node.rapl_uj[ZONE] = 200_000 * J
    node.work(1).sample()
    node.rapl_uj[ZONE] = J  # if this were a wrap, the zone would have used 62 kJ in a second
    account = account_of_ledger(node.work(1).sample().work(1, rapl_j={ZONE: 40}).stop().records)
    assert account.flags["rapl_reset"] >= 1
    assert account.sources["idle"]["cpu_counter"] + account.sources["other"].get("cpu_counter", 0) == 40 * J


def test_a_wrap_after_readings_that_failed_is_still_a_wrap():
    node = Node(two_cores(rapl={ZONE: RANGE}))
    node.rapl_uj[ZONE] = RANGE - 100 * J
    node.start()
    for _ in range(20):
        without(node.work(1, rapl_j={ZONE: 400}).sample(), rapl=True)
    account = account_of_ledger(node.work(1, rapl_j={ZONE: 400}).stop().records)
    assert sum(by.get("cpu_counter", 0) for by in account.sources.values()) == 21 * 400 * J
    assert "rapl_reset" not in account.flags


def test_a_poll_is_late_by_the_time_since_the_last_successful_one():
    node = gpu_node("polled").work(1, gpu_j={GPU: 100}).sample()
    for _ in range(9):
        without(node.work(1).sample(), gpu=True)
    account = account_of_ledger(node.work(1, gpu_j={GPU: 1000}).stop().records)
    assert account.flags == {"gpu_unread": 9, "poll_late": 1}


@given(readable=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_failed_readings_do_not_change_the_total_energy(readable):
    """A failed reading moves energy to another time and does not change its amount."""
    node = Node(two_cores(rapl={ZONE: RANGE}, gpus=(GPU,))).start()
    for rapl, gpu in readable:
        without(node.work(1, rapl_j={ZONE: 30}, gpu_j={GPU: 70}).sample(), gpu=not gpu, rapl=not rapl)
    seconds = len(readable) + 1
    account = account_of_ledger(node.work(1, rapl_j={ZONE: 30}, gpu_j={GPU: 70}).stop().records)
    assert account.node_uj == seconds * (30 + 70 + 20) * J
    assert sum(account.buckets.values()) == account.node_uj
    failed = [not rapl for rapl, _ in readable], [not gpu for _, gpu in readable]
    assert account.flags.get("rapl_unread", 0) == sum(failed[0])
    assert account.flags.get("gpu_unread", 0) == sum(failed[1])
