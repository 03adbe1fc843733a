"""Tests that the attribution conserves energy in all histories of a node, and charges what is computed by hand."""

from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtune.energy.attribution import BUCKETS, Account
from kdtune.energy.interval_shares import split_integer
from kdtune.energy.ledger import Record, read, write
from kdtune.energy.neighbours import Neighbours
from kdtune.energy.running_account import RunningAccount, account_of_ledger
from kdtune.energy.sensors.node import Hardware
from kdtune.energy.several_nodes import account_of_nodes

from .simulated import J, Node, W, trial, two_cores

NOTHING = dict.fromkeys(BUCKETS, 0)

# --- conservation of energy in random histories ----------------------------------------------------------------

# Strategies with constant arguments are made once, and each history is put to several properties: drawing one takes
# most of the time of these tests.
SECONDS = st.one_of(st.just(0.0), st.floats(0.0, 5.0), st.sampled_from([1e-6, 1.0, 3600.0]))
CPU_S = st.one_of(st.just(0.0), st.floats(0.0, 5.0), st.just(1e-6))
GPU_J = st.floats(0.0, 500.0)
RAPL_J = {True: st.floats(0.0, 600.0), False: st.floats(0.0, 1.0)}
STUDY_US = st.integers(-3_000_000, 3_000_000)
BUSY_US = st.integers(-20_000, 20_000)
CORES = st.one_of(st.integers(0, 8), st.floats(0.0, 8.0))
BUCKET = st.sampled_from(["trials", "evaluation", "orchestration"])
GENTLE = ["sample", "sample", "open", "open", "close", "pause"]
ACTION = {
    True: st.sampled_from([*GENTLE, "kill", "kill meter", "reboot", "gpu reset"]),
    False: st.sampled_from(GENTLE),
}

#: Moments of a period, as shares of it, at which other studies come and go.
MOMENTS = st.lists(st.floats(0.0, 1.0), max_size=2)

#: Numbers of other studies, and of those among them that began before.
OTHERS = st.sampled_from([(others, before) for others in range(4) for before in range(others + 1)])
OTHERS_CPUS_MILLI = st.integers(0, 9000)


@cache
def shares_of(gpus: tuple[str, ...], share: st.SearchStrategy) -> st.SearchStrategy:
    return st.dictionaries(st.sampled_from(gpus), share)


OTHERS_SHARE, OWN_SHARE = st.integers(1, 1000), st.floats(1e-4, 1.0)


@st.composite
def hardwares(draw: st.DrawFn, rapl_uj: int | None = None) -> Hardware:
    """Draw a node's hardware: up to two RAPL zones or the model by design power, and up to three GPUs."""
    limits = st.integers(10, 500 * J) if rapl_uj is None else st.just(rapl_uj)
    zones = draw(st.dictionaries(st.sampled_from(["package-0", "package-1"]), limits, max_size=2))
    return two_cores(
        tdp_uw=draw(st.integers(0, 300_000_001)),
        ram_uw=draw(st.integers(0, 50_000_001)),
        cores=draw(st.integers(1, 7)),
        rapl=zones,
        gpus=("GPU-a", "GPU-b", "GPU-c")[: draw(st.integers(0, 3))],
    )


class Story:
    """A random history of a node, drawn by hypothesis.

    A rough history also contains counters that are reset, wrap or cannot be read, study time that decreases, killed
    meters, and other studies.
    """

    def __init__(self, draw: st.DrawFn, hardware: Hardware, *, rough: bool) -> None:
        self.draw = draw
        self.node = Node(hardware)
        self.rough = rough
        self.opened = 0
        self.gpus = tuple(sorted(self.node.gpu_mj))
        self.node.rapl_uj = {z: draw(st.integers(0, limit - 1)) for z, limit in hardware.rapl_range_uj.items()}

    def pass_time(self) -> None:
        draw, node = self.draw, self.node
        since_ns = node.t_ns
        node.work(
            draw(SECONDS),
            {name: draw(CPU_S) for name in node.windows},
            study=draw(CPU_S),
            other=draw(CPU_S),
            gpu_j={uuid: draw(GPU_J) for uuid in node.gpu_mj},
            rapl_j={zone: draw(RAPL_J[self.rough]) for zone in node.rapl_uj},
        )
        if self.rough:
            self.others_come_and_go(since_ns)
            # The counters of the processes and of the node are not read at the same moment or in the same unit.
            node.study_us += draw(STUDY_US)
            node.busy_us += draw(BUSY_US)

    def others_come_and_go(self, since_ns: int) -> None:
        """Change what other studies hold up to two times, with values that need not be consistent."""
        for share in sorted(self.draw(MOMENTS)):
            t_ns = since_ns + int(share * (self.node.t_ns - since_ns))
            others, before = self.draw(OTHERS)
            cpus_milli = self.draw(OTHERS_CPUS_MILLI) if others else 0
            gpus_milli = self.draw(shares_of(self.gpus, OTHERS_SHARE)) if others and self.gpus else {}
            self.node.others_have(Neighbours(t_ns, others, before, cpus_milli, gpus_milli))

    def kill_driver_and_meter(self) -> None:
        """Kill driver and meter, and resume with a later command, whose session's ledger covers the time before."""
        self.pass_time()
        began = self.node.counters() if self.draw(st.booleans()) else None
        self.pass_time()
        self.node.start(began)

    def act(self) -> None:
        node = self.node
        match self.draw(ACTION[self.rough]):
            case "open" if len(node.windows) < 4:
                self.opened += 1
                window = trial(
                    f"trial/{self.opened}",
                    cpus=self.draw(CORES),
                    gpus=self.draw(shares_of(self.gpus, OWN_SHARE)) if self.gpus else {},
                    bucket=self.draw(BUCKET),
                )
                node.open(window)
            case "close" if node.windows:
                node.close(self.draw(st.sampled_from(sorted(node.windows))))
            case "pause":
                node.stop()
                self.pass_time()
                node.start()
            case "kill":
                self.kill_driver_and_meter()
            case "kill meter":
                self.pass_time()
                node.resume()
            case "reboot":
                node.reboot().start()
            case "gpu reset" if node.gpu_mj:
                node.gpu_mj[self.draw(st.sampled_from(sorted(node.gpu_mj)))] = 0
                node.sample()
            case _:
                node.sample()


@st.composite
def ledgers(draw: st.DrawFn, *, rough: bool) -> list[Record]:
    # In a smooth history, counters must wrap at most once in total: the zones use at most 1 J per step.
    story = Story(draw, draw(hardwares() if rough else hardwares(rapl_uj=100 * J)), rough=rough)
    story.node.start()
    for _ in range(draw(st.integers(0, 12))):
        story.pass_time()
        story.act()
    story.pass_time()
    story.node.stop()
    return story.node.records


def without_some_samples(draw: st.DrawFn, records: list[Record]) -> list[Record]:
    return [r for r in records if r.kind != "sample" or draw(st.booleans())]


def without_some_readings(draw: st.DrawFn, records: list[Record]) -> list[Record]:
    kept = []
    for record in records:
        c = record.counters
        unread = draw(st.sets(st.sampled_from(sorted(c.rapl_uj | c.gpu_mj) or ["none"]), max_size=2))
        c = replace(
            c,
            rapl_uj={zone: uj for zone, uj in c.rapl_uj.items() if zone not in unread},
            gpu_mj={uuid: mj for uuid, mj in c.gpu_mj.items() if uuid not in unread},
        )
        kept.append(replace(record, counters=c))
    return kept


def assert_energy_is_conserved(account: Account) -> None:
    assert set(account.buckets) == set(BUCKETS)
    figures = [*account.buckets.values(), *account.windows.values()]
    figures += [account.node_uj, account.gap_uj, account.duration_ns, account.gpu_ns]
    assert all(type(figure) is int and figure >= 0 for figure in figures)
    assert sum(account.buckets.values()) == account.node_uj
    assert {bucket: sum(sources.values()) for bucket, sources in account.sources.items()} == account.buckets
    assert sum(account.windows.values()) == account.buckets["trials"] + account.buckets["evaluation"]


@given(st.data())
def test_energy_is_conserved_after_every_record_and_in_every_interval_whatever_happens(data):
    records = data.draw(ledgers(rough=True))
    if data.draw(st.booleans()):
        records = without_some_samples(data.draw, records)
    if data.draw(st.booleans()):
        records = without_some_readings(data.draw, records)
    ledger, used_uj = RunningAccount(), 0
    for record in records:
        buckets = dict(ledger.account.buckets)
        ledger.add(record)
        assert_energy_is_conserved(ledger.account)
        more = {bucket: uj - buckets[bucket] for bucket, uj in ledger.account.buckets.items()}
        assert min(more.values()) >= 0
        assert sum(more.values()) == ledger.account.node_uj - used_uj
        used_uj = ledger.account.node_uj
    assert_energy_is_conserved(account_of_ledger(records))


@settings(max_examples=40)
@given(st.data())
def test_repeated_lines_in_any_order_give_the_same_account(tmp_path_factory, data):
    records = data.draw(ledgers(rough=True))
    path = tmp_path_factory.mktemp("ledger") / "node.jsonl"
    for record in records:
        write(path, record)
    account = account_of_ledger(read(path))
    assert account == account_of_ledger(records)
    assert account_of_ledger(read(path)) == account
    lines = path.read_text().splitlines(keepends=True)
    for line in data.draw(st.lists(st.sampled_from(lines), max_size=5)):
        lines.insert(data.draw(st.integers(lines.index(line), len(lines))), line)
    path.write_text("".join(lines))
    assert account_of_ledger(read(path)) == account


@given(st.data())
def test_the_nodes_energy_is_the_difference_of_its_counters_however_many_samples_there_are(data):
    records = data.draw(ledgers(rough=False))
    fewer = without_some_samples(data.draw, records)
    used = 0
    for start in (r for r in records if r.kind == "start"):
        hardware, a = start.hardware, start.counters
        b = next(r.counters for r in records if r.kind == "stop" and r.meter == start.meter)
        used += hardware.ram_uw * b.t_ns // 10**9 - hardware.ram_uw * a.t_ns // 10**9
        used += sum(1000 * (b.gpu_mj[uuid] - a.gpu_mj[uuid]) for uuid in hardware.gpus)
        if hardware.rapl_range_uj:
            used += sum((b.rapl_uj[zone] - a.rapl_uj[zone]) % limit for zone, limit in hardware.rapl_range_uj.items())
        else:
            per_core = Fraction(hardware.tdp_uw, hardware.cores * 10**6)
            used += int(b.busy_us * per_core) - int(a.busy_us * per_core)
    account, of_fewer = account_of_ledger(records), account_of_ledger(fewer)
    assert account.node_uj == of_fewer.node_uj == used
    assert account.duration_ns == of_fewer.duration_ns


@settings(max_examples=30)
@given(ledgers(rough=True), ledgers(rough=True))
def test_the_energy_of_several_nodes_together_is_conserved(first, second):
    second = [replace(r, window=r.window and replace(r.window, id="b" + r.window.id)) for r in second]
    second = [replace(r, windows={"b" + name: us for name, us in r.windows.items()}) for r in second]
    account = account_of_nodes({"a": first, "b": second})
    assert_energy_is_conserved(account)
    assert account.node_uj == account_of_ledger(first).node_uj + account_of_ledger(second).node_uj
    assert account.gap_uj == account_of_ledger(first).gap_uj + account_of_ledger(second).gap_uj


# --- splitting -------------------------------------------------------------------------------------------------

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 10**12), min_size=1, max_size=6)


@given(st.integers(0, 10**18), WEIGHTS.filter(lambda weights: any(weights.values())))
def test_a_split_is_exact_and_each_share_is_off_by_less_than_one(total, weights):
    shares = split_integer(total, weights)
    whole = sum(weights.values())
    assert sum(shares.values()) == total
    assert shares.keys() == weights.keys()
    for key, weight in weights.items():
        assert abs(shares[key] - Fraction(total * weight, whole)) < 1


@given(st.integers(0, 10**18), WEIGHTS.filter(lambda weights: any(weights.values())))
def test_a_weight_of_zero_gets_nothing(total, weights):
    shares = split_integer(total, weights)
    assert all(shares[key] == 0 for key, weight in weights.items() if weight == 0)


def test_an_indivisible_remainder_goes_to_the_first():
    assert split_integer(7, {"a": 1, "b": 1}) == {"a": 4, "b": 3}


def test_zero_can_be_split_between_weights_of_zero():
    assert split_integer(0, {"a": 0, "b": 0}) == {"a": 0, "b": 0}


def test_a_positive_total_cannot_be_split_between_weights_of_zero():
    with pytest.raises(ValueError, match="5"):
        split_integer(5, {"a": 0})


# --- computed by hand: two cores of 8 W together, 20 W of memory -----------------------------------------------


def concurrent() -> Account:
    node = Node(two_cores()).start().open(trial("a")).open(trial("b"))
    node.work(10, {"a": 10, "b": 10}).close("a").close("b").stop()
    return account_of_ledger(node.records)


def consecutive() -> Account:
    node = Node(two_cores()).start()
    node.open(trial("a")).work(10, {"a": 10}).close("a")
    node.open(trial("b")).work(10, {"b": 10}).close("b").stop()
    return account_of_ledger(node.records)


def test_two_concurrent_trials_are_charged_the_whole_node():
    account = concurrent()
    # Each trial is charged half of 10 s x 8 W of CPU and 10 s x 20 W of memory.
    assert account.windows == {"a": 140 * J, "b": 140 * J}
    assert account.buckets["idle"] == 0
    assert account.node_uj == 280 * J


def test_a_trial_costs_the_same_alone_as_beside_another_one():
    account = consecutive()
    assert account.buckets["trials"] == concurrent().buckets["trials"] == 280 * J
    # Consecutive trials cost more by the second core's share of memory, which is idle for 20 s.
    assert account.buckets["idle"] == 200 * J


def test_half_load_twice_costs_as_much_as_full_load_once():
    slow = Node(two_cores(ram_uw=0)).start().open(trial("a")).work(20, {"a": 10}).close("a").stop()
    fast = Node(two_cores(ram_uw=0)).start().open(trial("a")).work(10, {"a": 10}).close("a").stop()
    assert account_of_ledger(slow.records).windows["a"] == account_of_ledger(fast.records).windows["a"] == 40 * J


def test_a_gpu_that_a_window_holds_is_charged_to_it_alone():
    node = Node(two_cores(gpus=("GPU-a", "GPU-b"), tdp_uw=0, ram_uw=0)).start()
    node.open(trial("a", gpus={"GPU-a": 1.0})).open(trial("b", gpus={"GPU-b": 1.0}))
    node.work(1, {"a": 1, "b": 1}, gpu_j={"GPU-a": 300, "GPU-b": 50}).stop()
    assert account_of_ledger(node.records).windows == {"a": 300 * J, "b": 50 * J}


def test_a_gpu_that_a_worker_holds_while_it_is_prepared_is_orchestration():
    node = Node(two_cores(gpus=("GPU-a", "GPU-b"), tdp_uw=10 * W)).start()
    node.open(trial("preparing", cpus=0.0, gpus={"GPU-a": 1.0}, bucket="orchestration"))
    node.work(1, {"preparing": 1}, gpu_j={"GPU-a": 90, "GPU-b": 60}).close("preparing")
    node.open(trial("a", gpus={"GPU-a": 1.0})).work(1, {"a": 1}, gpu_j={"GPU-a": 300, "GPU-b": 60}).stop()
    account = account_of_ledger(node.records)
    assert account.sources["orchestration"]["gpu_counter"] == 90 * J
    assert account.sources["trials"]["gpu_counter"] == 300 * J
    assert account.sources["other"]["gpu_counter"] == 120 * J  # no window ever holds GPU-b
    assert account.sources["orchestration"].get("ram_modelled", 0) == 0  # memory is split by cores, and it has none
    assert account.windows == {"a": account.buckets["trials"]}  # preparing a worker belongs to no trial of a trial log
    assert sum(account.buckets.values()) == account.node_uj


def test_a_gpu_that_no_window_holds_is_idle():
    node = Node(two_cores(gpus=("GPU-a",), tdp_uw=0, ram_uw=0)).start().open(trial("a", gpus={"GPU-a": 1}))
    node.work(1, {"a": 1}, gpu_j={"GPU-a": 300}).close("a").work(1, gpu_j={"GPU-a": 60}).stop()
    account = account_of_ledger(node.records)
    assert account.buckets == {**NOTHING, "trials": 300 * J, "idle": 60 * J}


def test_a_gpu_that_the_study_never_holds_is_other():
    node = Node(two_cores(gpus=("GPU-a", "GPU-b", "GPU-c"), tdp_uw=0, ram_uw=0)).start()
    node.work(1, gpu_j={"GPU-a": 40, "GPU-b": 50, "GPU-c": 60})
    node.open(trial("a", gpus={"GPU-a": 1})).work(1, {"a": 1}, gpu_j={"GPU-a": 300, "GPU-b": 50, "GPU-c": 60})
    node.close("a").work(1, gpu_j={"GPU-a": 40, "GPU-b": 50, "GPU-c": 60}).sample()
    account = account_of_ledger(node.records)
    assert account.buckets == {**NOTHING, "trials": 300 * J, "idle": 80 * J, "other": 330 * J}
    assert account.sources["other"]["gpu_counter"] == 330 * J and account.sources["idle"]["gpu_counter"] == 80 * J
    # Once a window holds GPU-b, its earlier energy is idle: the study could have used it.
    node.open(trial("b", gpus={"GPU-b": 0.5})).work(1, {"b": 1}, gpu_j={"GPU-a": 40, "GPU-b": 200}).stop()
    account = account_of_ledger(node.records)
    assert account.buckets == {**NOTHING, "trials": 500 * J, "idle": 270 * J, "other": 180 * J}
    assert sum(account.buckets.values()) == account.node_uj


def test_a_ledger_without_any_window_with_a_gpu_keeps_all_gpus():
    node = Node(two_cores(gpus=("GPU-a", "GPU-b"), tdp_uw=0, ram_uw=0)).start()
    node.work(1, gpu_j={"GPU-a": 40, "GPU-b": 50}).stop()
    assert account_of_ledger(node.records).buckets == {**NOTHING, "idle": 90 * J}


def test_windows_share_a_gpu_as_ray_allocated_it():
    node = Node(two_cores(gpus=("GPU-a",), tdp_uw=0, ram_uw=0)).start()
    node.open(trial("a", gpus={"GPU-a": 0.5})).open(trial("b", gpus={"GPU-a": 0.25}))
    node.work(8, {"a": 1, "b": 1}, gpu_j={"GPU-a": 90}).stop()
    account = account_of_ledger(node.records)
    assert account.windows == {"a": 60 * J, "b": 30 * J}
    assert account.gpu_ns == 6_000_000_000


def test_a_gpu_that_the_hardware_does_not_list_is_not_counted():
    node = Node(two_cores(gpus=("GPU-a",), tdp_uw=0, ram_uw=0))
    node.gpu_mj["GPU-x"] = 5
    node.start().work(1, gpu_j={"GPU-x": 1000}).stop()
    assert account_of_ledger(node.records).node_uj == 0


def test_a_gpu_whose_counter_is_reset_adds_no_negative_energy():
    node = Node(two_cores(gpus=("GPU-a",), tdp_uw=0, ram_uw=0)).start().work(1, gpu_j={"GPU-a": 10}).sample()
    node.gpu_mj["GPU-a"] = 0
    node.work(1).sample().work(1, gpu_j={"GPU-a": 7}).stop()
    assert account_of_ledger(node.records).node_uj == 17 * J


def test_cpu_time_of_foreign_processes_is_other():
    node = Node(two_cores(ram_uw=0)).start().open(trial("a")).work(10, {"a": 10}, other=5).stop()
    account = account_of_ledger(node.records)
    assert account.windows == {"a": 40 * J}
    assert account.buckets["other"] == 20 * J
    assert account.charged_uj() == 40 * J


def test_the_studys_own_processes_outside_windows_are_orchestration():
    node = Node(two_cores(ram_uw=0)).start().open(trial("a")).work(10, {"a": 4}, study=3, other=2).stop()
    assert account_of_ledger(node.records).buckets == {
        "trials": 16 * J,
        "evaluation": 0,
        "orchestration": 12 * J,
        "idle": 0,
        "other": 8 * J,
    }


def test_memory_is_split_by_the_allocated_cores():
    node = Node(two_cores(cores=4)).start().open(trial("a", cpus=1)).open(trial("b", cpus=2)).work(10).stop()
    account = account_of_ledger(node.records)
    assert account.windows == {"a": 50 * J, "b": 100 * J}
    assert account.buckets["idle"] == 50 * J


def test_an_overcommitted_node_has_no_idle_memory():
    node = Node(two_cores()).start().open(trial("a", cpus=2)).open(trial("b", cpus=2)).work(10).stop()
    account = account_of_ledger(node.records)
    assert account.windows == {"a": 100 * J, "b": 100 * J}
    assert account.buckets["idle"] == 0


def test_an_evaluation_has_a_bucket_of_its_own():
    node = Node(two_cores(ram_uw=0)).start().open(trial("e", bucket="evaluation")).work(1, {"e": 1}).stop()
    account = account_of_ledger(node.records)
    assert (account.buckets["evaluation"], account.buckets["trials"]) == (4 * J, 0)


def test_a_closed_window_is_not_charged_any_more():
    node = Node(two_cores()).start().open(trial("a")).work(1, {"a": 1}).close("a")
    before = account_of_ledger(node.records).windows["a"]
    node.work(100, study=100).stop()
    assert account_of_ledger(node.records).windows["a"] == before == 14 * J


def test_a_node_with_rapl_is_charged_what_rapl_counted():
    node = Node(two_cores(ram_uw=0, rapl={"package-0": 1000 * J, "package-1": 1000 * J})).start().open(trial("a"))
    node.work(10, {"a": 3}, other=1, rapl_j={"package-0": 30, "package-1": 10}).stop()
    account = account_of_ledger(node.records)
    assert account.node_uj == 40 * J
    assert account.windows == {"a": 30 * J}


def test_a_rapl_counter_that_wrapped_is_corrected():
    node = Node(two_cores(ram_uw=0, rapl={"package-0": 100 * J})).start()
    before = node.rapl_uj["package-0"]
    node.work(10, study=1, rapl_j={"package-0": 70}).stop()
    assert node.rapl_uj["package-0"] < before
    assert account_of_ledger(node.records).node_uj == 70 * J


def test_a_rapl_zone_that_could_not_be_read_once_loses_nothing():
    node = Node(two_cores(ram_uw=0, rapl={"package-0": 100 * J})).start().work(1, study=1, rapl_j={"package-0": 5})
    node.sample().work(1, study=1, rapl_j={"package-0": 7}).stop()
    start, unread, stop = node.records
    unread = replace(unread, counters=replace(unread.counters, rapl_uj={}))
    assert account_of_ledger([start, unread, stop]).node_uj == 12 * J


def test_a_cpu_that_did_nothing_is_idle():
    node = Node(two_cores(ram_uw=0, rapl={"package-0": 100 * J})).start().work(10, rapl_j={"package-0": 20}).stop()
    assert account_of_ledger(node.records).buckets["idle"] == 20 * J


def test_dedicated_charges_all_but_other_and_shared_excludes_idle_too():
    node = Node(two_cores()).start().open(trial("a")).work(10, {"a": 5}, study=2, other=1).stop()
    account = account_of_ledger(node.records)
    # CPU: 20 + 8 + 4 J; memory: 100 J with the trial, 100 J idle.
    assert account.charged_uj() == 228 * J
    assert account.charged_uj(dedicated=False) == 128 * J


def test_the_worst_source_gives_the_quality():
    modelled, counted = Node(two_cores()).start().work(1).stop(), Node(two_cores(rapl={"p": J})).start().work(1).stop()
    assert account_of_ledger(counted.records).quality == "counter"
    assert account_of_nodes({"a": counted.records, "b": modelled.records}).quality == "modelled"


def test_there_is_no_quality_before_anything_was_measured():
    assert account_of_ledger(Node(two_cores()).start().records).quality is None


def test_cpu_time_that_steps_back_and_on_again_counts_once():
    node = Node(two_cores(ram_uw=0)).start().work(4, other=1).sample()
    node.busy_us -= 3_000_000
    node.work(1).sample()
    node.busy_us += 3_000_000
    account = account_of_ledger(node.work(1, other=1).stop().records)
    assert (account.node_uj, account.flags) == (8 * J, {})


def test_a_reset_of_cpu_time_is_flagged():
    node = Node(two_cores(ram_uw=0)).start().work(4, other=1).sample()
    node.busy_us = 0
    account = account_of_ledger(node.work(1).sample().work(1, other=1).stop().records)
    assert (account.node_uj, account.flags) == (8 * J, {"cpu_time_reset": 1})


# --- meters that stop and meters that are killed ---------------------------------------------------------------


def busy_node() -> Node:
    """Return a node that has used 28 W (8 W of CPU, 20 W of memory) for 4 s."""
    return Node(two_cores()).start().open(trial("a", cpus=2)).work(4, {"a": 8}).sample()


def test_after_a_killed_meter_one_second_is_charged_and_the_rest_is_a_gap():
    node = busy_node()
    node.work(100, other=100).start().work(1).stop()
    account = account_of_ledger(node.records)
    # The gap: 100 s x 20 W and 100 busy seconds x 4 W = 2400 J, of which one second at 28 W is charged.
    assert account.buckets["orchestration"] == 28 * J
    assert account.gap_uj == (2400 - 28) * J
    assert account.node_uj == (112 + 28 + 20) * J
    assert_energy_is_conserved(account)


def test_the_charged_second_has_the_studys_own_power():
    node = Node(two_cores(tdp_uw=200_000_000)).start().work(2, study=0.1, other=3.9).sample()
    account = account_of_ledger(node.work(100, other=100).start().work(1).stop().records)
    # In the meter's last second, the study used 0.05 of the two busy cores' 200 W, and 20 W of memory.
    assert account.buckets["orchestration"] == (10 + 25) * J
    assert account.gap_uj == (100 * (20 + 100) - 25) * J
    assert_energy_is_conserved(account)


def test_a_gap_shorter_than_a_sampling_period_is_charged_whole():
    node = busy_node().work(0.5).start().work(1).stop()
    account = account_of_ledger(node.records)
    assert account.buckets["orchestration"] == 10 * J
    assert account.gap_uj == 0


def test_windows_of_a_killed_meter_are_not_charged_by_the_next_one():
    node = busy_node().work(100, other=100).start().work(50, study=50).stop()
    assert account_of_ledger(node.records).windows == {"a": 112 * J}


def test_nothing_is_charged_or_reported_between_a_stop_and_a_start():
    node = busy_node().stop().work(1000, study=900, other=900).start().work(1).stop()
    account = account_of_ledger(node.records)
    assert account.node_uj == (112 + 20) * J
    assert account.gap_uj == 0
    assert account.duration_ns == 5_000_000_000


def test_a_zone_that_is_unread_at_the_start_adds_no_earlier_energy():
    node = Node(two_cores(ram_uw=0, rapl={"package-0": 5000 * J})).start().work(1, study=1, rapl_j={"package-0": 5})
    node.stop().work(100, other=100, rapl_j={"package-0": 900}).start().work(1, study=1, rapl_j={"package-0": 5})
    node.sample().work(1, study=1, rapl_j={"package-0": 5}).stop()
    unread = replace(node.records[2], counters=replace(node.records[2].counters, rapl_uj={}))
    assert account_of_ledger([*node.records[:2], unread, *node.records[3:]]).node_uj <= 15 * J


def test_after_a_reboot_only_one_second_is_charged():
    node = busy_node().reboot().start().work(2, study=1).stop()
    account = account_of_ledger(node.records)
    assert account.node_uj == (112 + 28 + 40 + 4) * J
    assert account.buckets["orchestration"] == (28 + 4) * J
    assert account.gap_uj == 0


def test_nothing_is_charged_between_a_stop_and_a_start_after_a_reboot():
    node = busy_node().stop().reboot().start().work(2).stop()
    assert account_of_ledger(node.records).node_uj == (112 + 40) * J


def test_the_next_meters_hardware_applies_from_its_start():
    node = busy_node().stop()
    node.hardware = two_cores(ram_uw=50_000_000)
    node.start().work(2).stop()
    assert account_of_ledger(node.records).node_uj == (112 + 100) * J
