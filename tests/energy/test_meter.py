import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import pytest

from kdtune.energy import ledger
from kdtune.energy.ledger import Record, Window, read_folder
from kdtune.energy.meter import Meter
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.nested_workers import NestedWorkers
from kdtune.energy.processes import identity_of
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.sensors.node import Counters, Hardware, NodeSensors
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.energy.shared_counters import append_stop

from .burners import BURN, BURN_ON, command, cpu_us, foreign_burner, python, wait_for_cpu

#: Error of a difference of CPU times in microseconds: /proc counts user and system time in hundredths of a second.
TICKS_US = 40_000

#: Part of the CPU time of processes that the node's busy time contains at least: the kernel counts both separately.
BUSY = 0.55

TDP_UW = 8_000_000
CORES = os.cpu_count() or 1


@pytest.fixture(scope="module")
def sensors() -> NodeSensors:
    return NodeSensors()


def node(ram_uw: int = 20_000_000) -> Hardware:
    """Return hardware of this machine with modelled energy, so that expected values do not depend on its sensors."""
    return Hardware("here", "a CPU", CORES, "modelled", TDP_UW, ram_uw)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger" / "here.jsonl"


@pytest.fixture
def meter(sensors, path) -> Meter:
    meter = Meter(sensors, node())
    meter.begin(path, from_now(sensors))
    return meter


@pytest.fixture
def cpu_meter(sensors, path) -> Meter:
    """Return a meter that counts CPU energy only."""
    meter = Meter(sensors, node(ram_uw=0))
    meter.begin(path, from_now(sensors))
    return meter


def from_now(sensors: NodeSensors, *pids: int) -> MeterStart:
    """Return the snapshot that a driver passes to its meter, with this process as root unless pids are given."""
    return MeterStart.of(sensors.read(), [identity_of(pid) for pid in pids or (os.getpid(),)])


def trial(name: str, pid: int | None = None, cpus: float = 1.0) -> Window:
    return Window(name, "trials", pid or os.getpid(), cpus)


def go_on(process: subprocess.Popen) -> None:
    """Let a process go on that waits for a line on its standard input."""
    process.stdin.write("\n")
    process.stdin.flush()


def cpu_uj(cpu_s: float) -> float:
    return cpu_s * TDP_UW / CORES


@contextmanager
def window_of(meter: Meter, name: str, pid: int) -> Iterator[SimpleNamespace]:
    """Open a window, which is closed at the end, when the yielded object gets bounds of the process's CPU time in it.

    So a process that is paused or delayed changes the bounds, and not whether the measured time is within them.
    """
    spent, before_us = SimpleNamespace(), cpu_us(pid)
    meter.open(trial(name, pid))
    opened_us = cpu_us(pid)
    yield spent
    spent.least_us = cpu_us(pid) - opened_us
    meter.close(name, "done")
    spent.most_us = cpu_us(pid) - before_us


def closed(records: list[Record]) -> dict[str, int]:
    """Return the CPU time of each window when it was closed, in microseconds."""
    return {r.window.id: r.windows[r.window.id] for r in records if r.kind == "close" and r.window}


def by_hand_uj(records: list[Record], what: str) -> float:
    """Return the CPU energy of a window, ``orchestration`` or ``other``, from the CPU times in the records.

    The charge of an interval is that of its CPU time, unless the node was busy for less than its processes: they are
    read one after the other, so that a pause between the readings counts in two intervals.
    """
    total = 0.0
    for a, b in pairwise(records):
        spent = {name: us - a.windows.get(name, 0) for name, us in b.windows.items()}
        in_windows, busy_us = sum(spent.values()), b.counters.busy_us - a.counters.busy_us
        study_us = max(in_windows, b.study_us - a.study_us)
        parts = {**spent, "orchestration": study_us - in_windows, "other": max(0, busy_us - study_us)}
        total += cpu_uj(busy_us / 1e6) * parts.get(what, 0) / max(1, busy_us, study_us)
    return total


def used_uj(hardware: Hardware, first: Record, last: Record) -> int:
    """Return the node's energy between two records, computed from the counters in another way than kdtune does."""
    a, b = first.counters, last.counters
    per_us = Fraction(hardware.tdp_uw, hardware.cores * 10**6)
    ram = Fraction(hardware.ram_uw, 10**9)
    return int(b.busy_us * per_us) - int(a.busy_us * per_us) + int(b.t_ns * ram) - int(a.t_ns * ram)


# --- charges ---------------------------------------------------------------------------------------------------


def test_overlapping_windows_are_charged_their_own_cpu_time_each(cpu_meter, path):
    with python(BURN_ON) as one, python(BURN_ON) as other, window_of(cpu_meter, "long", one.pid) as long:
        wait_for_cpu(one.pid, 100_000)
        with window_of(cpu_meter, "short", other.pid) as short:
            wait_for_cpu(other.pid, 200_000)
        wait_for_cpu(one.pid, 100_000)
    records = ledger.read(path)
    account, spent_us = account_of_ledger(records), closed(records)
    for name, bounds in (("long", long), ("short", short)):
        assert 200_000 <= bounds.least_us <= spent_us[name] <= bounds.most_us
        assert account.windows[name] == pytest.approx(by_hand_uj(records, name), abs=len(records))


def test_the_ledger_contains_every_microjoule_of_the_sensors(meter, path):
    with python(BURN_ON) as one, python(BURN_ON) as two:
        meter.open(trial("one", one.pid))
        meter.sample()
        meter.open(trial("two", two.pid))
        wait_for_cpu(two.pid, 100_000)
        meter.close("one", "done")
        meter.sample()
        meter.close("two", "done")
    meter.switch(None)
    records = ledger.read(path)
    account = account_of_ledger(records)
    assert account.node_uj == used_uj(node(), records[0], records[-1]) > 0
    assert sum(account.buckets.values()) == account.node_uj
    assert sum(account.windows.values()) == account.buckets["trials"]
    assert account.duration_ns == records[-1].counters.t_ns - records[0].counters.t_ns


def test_a_child_of_a_windows_process_is_charged_to_the_window(cpu_meter, path):
    spawn = """
        import subprocess, sys, time
        sys.stdin.readline()
        subprocess.run([sys.executable, "-I", "-S", "-c", sys.argv[1], "0.25"])
        print("done", flush=True)
        time.sleep(600)
        """
    with python(spawn, BURN, stdin=subprocess.PIPE) as child, window_of(cpu_meter, "a", child.pid) as spent:
        go_on(child)
        child.stdout.readline()
    records = ledger.read(path)
    assert 250_000 - TICKS_US <= spent.least_us <= closed(records)["a"] <= spent.most_us
    assert cpu_meter.window_uj("a") == pytest.approx(by_hand_uj(records, "a"), abs=len(records))


def test_the_studys_processes_outside_windows_go_to_orchestration(sensors, path):
    before_us = cpu_us(os.getpid())
    cpu_meter = Meter(sensors, node(ram_uw=0))
    cpu_meter.begin(path, from_now(sensors))
    with python(BURN, "0.3") as child:
        child.wait()
    cpu_meter.sample()
    most_us = cpu_us(os.getpid()) - before_us
    records = ledger.read(path)
    account = account_of_ledger(records)
    assert account.windows == {}
    assert 300_000 - TICKS_US <= records[-1].study_us - records[0].study_us <= most_us
    assert account.buckets["orchestration"] == pytest.approx(by_hand_uj(records, "orchestration"), abs=len(records))


def test_cpu_time_before_a_window_opened_is_not_charged_to_it(cpu_meter, path):
    with python(BURN_ON) as child:
        wait_for_cpu(child.pid, 200_000)
        with window_of(cpu_meter, "a", child.pid) as spent:
            os.kill(child.pid, signal.SIGSTOP)
    assert account_of_ledger(ledger.read(path)).windows.get("a", 0) <= cpu_uj(spent.most_us / 1e6) + 2


def test_a_busy_process_outside_the_study_goes_to_other(sensors, path):
    with foreign_burner() as stranger:
        before_us = cpu_us(os.getpid())
        meter = Meter(sensors, node(ram_uw=0))
        meter.begin(path, from_now(sensors))
        wait_for_cpu(stranger, 300_000)
        meter.sample()
        mine_us = cpu_us(os.getpid()) - before_us
    records = ledger.read(path)
    account = account_of_ledger(records)
    assert account.buckets["other"] >= BUSY * cpu_uj(0.3)
    assert account.buckets["other"] == pytest.approx(by_hand_uj(records, "other"), abs=len(records))
    assert account.charged_uj() <= cpu_uj(mine_us / 1e6) + len(records)


@pytest.mark.parametrize("whose", ["a window's", "unknown"])
def test_a_worker_that_a_trial_started_is_charged_to_its_window_or_flagged(whose, sensors, path):
    with foreign_burner() as worker:
        identity = identity_of(worker)
        in_window = whose == "a window's"
        nested = NestedWorkers({identity: "a"}) if in_window else NestedWorkers(unknown=[identity])
        meter = Meter(
            sensors,
            node(ram_uw=0),
            find_nested=lambda processes, windows: nested if windows else NestedWorkers(),
        )
        meter.begin(path, from_now(sensors))
        wait_for_cpu(worker, 200_000)
        before_us = cpu_us(worker), cpu_us(os.getpid())
        meter.open(trial("a"))
        wait_for_cpu(worker, 300_000)
        meter.close("a", "done")
        # The window belongs to this process, whose polls of the worker use CPU time too.
        worker_us, own_us = cpu_us(worker) - before_us[0], cpu_us(os.getpid()) - before_us[1]
    records = ledger.read(path)
    account = account_of_ledger(records)
    assert sum(account.buckets.values()) == account.node_uj
    if whose == "unknown":
        assert 300_000 <= records[-1].unknown_us <= worker_us and records[-1].windows["a"] <= own_us
        # Workers that used little in a long time are taken to wait, so the machine must not have paused for long.
        took_us = (records[-1].counters.t_ns - records[-2].counters.t_ns) / 1e3
        assert ("worker_unknown" in account.flags) == (records[-1].unknown_us > 0.1 * took_us)
        return
    # CPU time that the worker used before it belonged to the trial is not included.
    assert 300_000 <= records[-1].windows["a"] <= worker_us + own_us
    assert "worker_unknown" not in account.flags


def test_the_roots_of_the_start_belong_to_the_study(sensors, path):
    with foreign_burner() as stranger:
        meter = Meter(sensors, node(ram_uw=0))
        meter.begin(path, from_now(sensors, stranger))
        wait_for_cpu(stranger, 300_000)
        meter.sample()
    assert account_of_ledger(ledger.read(path)).buckets["orchestration"] >= BUSY * cpu_uj(0.3)


def test_the_process_of_a_window_belongs_to_the_study_after_the_window(sensors, path):
    with foreign_burner() as stranger:
        meter = Meter(sensors, node(ram_uw=0))
        meter.begin(path, from_now(sensors))
        meter.open(trial("a", stranger))
        meter.close("a", "done")
        before = account_of_ledger(ledger.read(path)).buckets["orchestration"]
        wait_for_cpu(stranger, 300_000)
        meter.sample()
    assert account_of_ledger(ledger.read(path)).buckets["orchestration"] - before >= BUSY * cpu_uj(0.3)


# --- windows ---------------------------------------------------------------------------------------------------


def test_a_window_whose_process_was_killed_is_closed_with_the_reason_and_keeps_its_energy(meter, path):
    with python(BURN_ON) as child:
        meter.open(trial("a", child.pid))
        wait_for_cpu(child.pid, 150_000)
        meter.sample()
        spent_uj = meter.window_uj("a")
        child.kill()
        child.wait()
        meter.sample()
    closing = ledger.read(path)[-1]
    assert (closing.kind, closing.window.id, closing.reason) == ("close", "a", "its process died")
    at_close_uj = account_of_ledger(ledger.read(path)).windows["a"]
    assert at_close_uj >= spent_uj > cpu_uj(0.1)
    time.sleep(0.05)
    meter.sample()
    assert account_of_ledger(ledger.read(path)).windows["a"] == at_close_uj


def test_a_window_is_not_closed_while_its_process_lives(meter, path):
    with python("import time; time.sleep(600)") as child:
        meter.open(trial("a", child.pid))
        meter.sample()
        meter.sample()
    assert not [r for r in ledger.read(path) if r.kind == "close"]


def test_opening_a_window_again_changes_nothing(meter, path):
    meter.open(trial("a"))
    meter.open(trial("a", cpus=2.0))
    meter.sample()
    assert [r.window for r in ledger.read(path) if r.kind == "open"] == [trial("a")]


def test_only_the_first_closing_of_a_window_counts(meter, path):
    meter.open(trial("a"))
    meter.close("a", "done")
    meter.close("a", "cleanup")
    meter.close("never opened", "done")
    assert [r.reason for r in ledger.read(path) if r.kind == "close"] == ["done"]


def test_a_window_cannot_open_for_a_process_that_ended(meter, path):
    with python("") as child:
        child.wait()
        with pytest.raises(ProcessLookupError):
            meter.open(trial("a", child.pid))
    meter.sample()
    assert [r.kind for r in ledger.read(path)] == ["start", "sample"]


def test_a_reused_worker_has_a_window_for_each_trial(cpu_meter, path):
    with python(BURN_ON) as worker:
        with window_of(cpu_meter, "a/1", worker.pid):
            wait_for_cpu(worker.pid, 100_000)
        with window_of(cpu_meter, "b/1", worker.pid) as second:
            wait_for_cpu(worker.pid, 100_000)
    records = ledger.read(path)
    assert [r.windows.keys() for r in records if r.kind == "close"] == [{"a/1"}, {"b/1"}]
    assert 100_000 <= second.least_us <= closed(records)["b/1"] <= second.most_us


def test_a_window_closes_when_another_one_opens_for_its_process(meter, path):
    with python("import time; time.sleep(600)") as worker:
        meter.open(trial("paused/1", worker.pid))
        meter.open(trial("elsewhere/1"))
        meter.open(trial("next/1", worker.pid))
    reasons = [(r.window.id, r.reason) for r in ledger.read(path) if r.kind == "close"]
    assert reasons == [("paused/1", "its process was taken over")]


# --- files -----------------------------------------------------------------------------------------------------


def test_the_live_reading_equals_the_account_of_the_file(meter, path):
    meter.open(trial("a"))
    meter.sample()
    reading = meter.reading()
    account = account_of_ledger(ledger.read(path))
    assert (reading.windows, reading.buckets) == (account.windows, account.buckets)
    for dedicated in (True, False):
        assert reading.charged_uj(dedicated=dedicated) == account.charged_uj(dedicated=dedicated)
    assert reading.windows["a"] == meter.window_uj("a") > 0
    assert reading.spent == account.buckets
    meter.close("a", "done")
    account = account_of_ledger(ledger.read(path))
    assert meter.reading().windows == {} and account.windows == {"a": meter.window_uj("a")}


def test_the_spent_energy_is_summed_over_files(meter, path, tmp_path):
    second = tmp_path / "second" / "here.jsonl"
    time.sleep(0.05)
    meter.switch(second)
    time.sleep(0.05)
    meter.sample()
    accounts = [account_of_ledger(ledger.read(file)) for file in (path, second)]
    assert meter.reading().spent == {b: sum(account.buckets[b] for account in accounts) for b in accounts[0].buckets}


def test_switching_files_loses_nothing(meter, path, tmp_path):
    files = [path, tmp_path / "second" / "here.jsonl", tmp_path / "third" / "here.jsonl"]
    with python(BURN_ON) as child:
        for following in files[1:]:
            meter.open(trial("a", child.pid))
            wait_for_cpu(child.pid, 50_000)
            meter.switch(following)
    meter.sample()
    parts = [ledger.read(file) for file in files]
    for before, after in zip(parts, parts[1:], strict=False):
        assert (before[-1].kind, after[0].kind) == ("stop", "start")
        assert before[-1].counters == after[0].counters
    assert sum(account_of_ledger(part).node_uj for part in parts) == used_uj(node(), parts[0][0], parts[-1][-1]) > 0


def test_switching_there_and_back_charges_each_moment_once(meter, path, tmp_path):
    between = tmp_path / "between.jsonl"
    for file in (between, path, between, path):
        time.sleep(0.03)
        meter.switch(file)
    meter.sample()
    ours = ledger.read(path)
    total = account_of_ledger(ours).node_uj + account_of_ledger(ledger.read(between)).node_uj
    assert total == used_uj(node(), ours[0], ours[-1])
    assert account_of_ledger(ours).gap_uj == 0


def test_switching_closes_the_windows_of_the_file_that_ends(meter, path, tmp_path):
    meter.open(trial("a"))
    meter.switch(tmp_path / "next.jsonl")
    assert [r.reason for r in ledger.read(path) if r.kind == "close"] == ["ledger closed"]
    meter.open(trial("a"))
    assert [r.kind for r in ledger.read(tmp_path / "next.jsonl")] == ["start", "open"]


def test_nothing_is_written_before_begin_and_after_the_end(sensors, tmp_path):
    path = tmp_path / "here.jsonl"
    meter = Meter(sensors, node())
    meter.sample()
    meter.open(trial("early"))
    assert not path.exists()
    meter.begin(path)
    meter.switch(None)
    ended = path.read_bytes()
    meter.sample()
    meter.open(trial("late"))
    meter.close("late", "done")
    assert path.read_bytes() == ended


def test_a_ledger_that_is_ended_by_another_process_loses_nothing(meter, sensors, path):
    meter.sample()
    last = ledger.read(path)[-1]
    with python(BURN, "0.2") as child:
        child.wait()
    append_stop(path, sensors, 200_000, last, MeterRegistry("alone"))
    records = ledger.read(path)
    assert records[-1].kind == "stop"
    assert records[-1].meter != last.meter
    assert account_of_ledger(records).node_uj == used_uj(node(), records[0], records[-1])
    assert account_of_ledger(records).buckets["orchestration"] >= BUSY * cpu_uj(0.2)


def test_polled_energy_of_different_readers_is_not_compared(tmp_path):
    path = tmp_path / "here.jsonl"
    counters = Counters("boot", 1, 0.0, 2, gpu_mj={"GPU-old": 7, "GPU-new": 8})
    sensors = SimpleNamespace(polled={"GPU-old"}, read=lambda: counters)
    append_stop(path, sensors, 5, Record("sample", "meter", 3, counters, 10), MeterRegistry("alone"))
    [stop] = ledger.read(path)
    assert stop.counters.gpu_mj == {"GPU-new": 8}
    assert stop.study_us == 15


# --- where counting begins -------------------------------------------------------------------------------------


def burn_here(cpu_s: float) -> None:
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass


def test_counting_from_earlier_counters_includes_the_time_between(sensors, path):
    before_us = cpu_us(os.getpid())
    since = from_now(sensors)
    burn_here(0.25)
    meter = Meter(sensors, node(ram_uw=0))
    meter.begin(path, since)
    meter.sample()
    most_us = cpu_us(os.getpid()) - before_us
    records = ledger.read(path)
    assert records[0].counters == since.counters
    assert 250_000 - TICKS_US <= records[1].study_us - records[0].study_us <= most_us
    assert account_of_ledger(records).buckets["orchestration"] >= BUSY * cpu_uj(0.25)


def test_children_that_end_before_the_meter_begins_do_not_reduce_the_studys_time(sensors, path):
    """On a reused Ray, workers of an earlier experiment end like this, without a process that waits for them."""
    runs_a_child = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as Ray's daemon does, so that the child's time is not inherited
        child = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE)
        child.stdout.readline()
        print("here", flush=True)
        sys.stdin.readline()
        child.kill()
        child.stdout.read()
        print("ended", flush=True)
        end = time.process_time() + float(sys.argv[1])
        while time.process_time() < end: pass
        print("done", flush=True)
        time.sleep(600)
        """
    burn_and_wait = BURN + "print(1, flush=True); time.sleep(600)"
    with python(runs_a_child, "0.4", *command(burn_and_wait, "0.4"), stdin=subprocess.PIPE) as driver:
        driver.stdout.readline()
        since = from_now(sensors, driver.pid)
        go_on(driver)
        for _ in range(2):
            driver.stdout.readline()
        meter = Meter(sensors, node(ram_uw=0))
        meter.begin(path, since)
        meter.sample()
    first, second = ledger.read(path)
    assert second.study_us - first.study_us >= BUSY * 400_000
    assert account_of_ledger(ledger.read(path)).buckets["orchestration"] >= BUSY * cpu_uj(0.4)


def test_counting_from_now_excludes_earlier_cpu_time(sensors, path):
    burn_here(max(0.0, 0.5 - time.process_time()))
    meter = Meter(sensors, node())
    before_us = cpu_us(os.getpid())
    meter.begin(path)
    meter.sample()
    first, second = ledger.read(path)
    assert second.study_us - first.study_us <= cpu_us(os.getpid()) - before_us


def test_a_root_that_descends_from_another_root_is_counted_once(sensors, path):
    with python(BURN_ON) as child:
        wait_for_cpu(child.pid, 300_000)

        def used_us():
            return cpu_us(os.getpid()) + cpu_us(child.pid)

        before_us = used_us()
        meter = Meter(sensors, node())
        meter.begin(path, from_now(sensors, os.getpid(), child.pid))
        meter.sample()
        after_us = used_us()
    first, second = ledger.read(path)
    assert 0 <= second.study_us - first.study_us <= after_us - before_us


# --- several at once -------------------------------------------------------------------------------------------


def test_many_threads_keep_the_file_valid(meter, path):
    def work(thread: int) -> None:
        for number in range(4):
            name = f"{thread}-{number}/1"
            meter.open(trial(name, cpus=0.25))
            meter.sample()
            meter.close(name, "done")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.switch(None)

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["t_ns"] for line in lines] == sorted(line["t_ns"] for line in lines)
    assert sorted(line["window"]["id"] for line in lines if line["kind"] == "open") == sorted(
        line["window"]["id"] for line in lines if line["kind"] == "close"
    )
    assert sum(line["kind"] == "open" for line in lines) == 16
    account = account_of_ledger(ledger.read(path))
    assert sum(account.buckets.values()) == account.node_uj
    assert sum(account.windows.values()) == account.buckets["trials"]


# --- a meter that is killed and restarted ------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path):
    return tmp_path / "meter.state"


def lasting_meter(sensors, path, state) -> Meter:
    meter = Meter(sensors, node(), state=state)
    meter.begin(path, from_now(sensors))
    return meter


def successor(sensors, state) -> Meter:
    meter = Meter(sensors, node(), state=state)
    assert meter.resume()
    return meter


def test_a_meters_successor_bridges_the_time_without_one(sensors, path, state):
    with python(BURN_ON) as child:
        lasting_meter(sensors, path, state).open(trial("a", child.pid))
        wait_for_cpu(child.pid, 300_000)  # no meter takes samples during this time
        meter = successor(sensors, state)
        meter.close("a", "done")
        spent_us = cpu_us(child.pid)
    records = ledger.read(path)
    account = account_of_ledger(records)
    assert [record.kind for record in records] == ["start", "open", "resume", "close"]
    assert account.flags == {"meter_restarted": 1, "unended": 1}
    assert account.gap_uj == 0
    assert account.node_uj == used_uj(node(), records[0], records[-1])
    assert records[-1].windows["a"] <= spent_us
    assert account.windows["a"] >= BUSY * cpu_uj(0.3)
    assert account.windows == {"a": meter.window_uj("a")}


def test_a_child_that_ended_without_a_meter_is_still_charged_to_its_window(sensors, path, state):
    runs_a_child = """
        import subprocess, sys, time
        sys.stdin.readline()
        subprocess.run(sys.argv[1:])
        print(1, flush=True)
        time.sleep(600)
        """
    with python(runs_a_child, *command(BURN, "0.3"), stdin=subprocess.PIPE) as child:
        lasting_meter(sensors, path, state).open(trial("a", child.pid))
        go_on(child)
        child.stdout.readline()
        successor(sensors, state).close("a", "done")
    assert ledger.read(path)[-1].windows["a"] >= BUSY * 300_000


@pytest.mark.parametrize("last", ["open", "close", "sample", "stop"])
def test_a_record_that_was_being_written_when_the_meter_was_killed_is_not_lost(last, sensors, path, state, tmp_path):
    meter = lasting_meter(sensors, path, state)
    if last != "open":
        meter.open(trial("a"))
    {
        "open": lambda: meter.open(trial("a")),
        "close": lambda: meter.close("a", "done"),
        "sample": meter.sample,
        "stop": lambda: meter._commit(meter._record("stop"), {}),
    }[last]()
    whole = path.read_bytes()
    path.write_bytes(whole[: whole[:-1].rfind(b"\n") + 20])  # only part of the last line was written
    meter = successor(sensors, state)
    if last == "stop":  # the meter was switching to another file
        meter.switch(tmp_path / "next.jsonl")
        [begun] = ledger.read(tmp_path / "next.jsonl")
        assert begun.counters == ledger.read(path)[-1].counters
    else:
        assert [r.kind for r in ledger.read(path)][-2:] == [last, "resume"]
        meter.close("a", "done")
        assert account_of_ledger(ledger.read(path)).node_uj == used_uj(node(), *[ledger.read(path)[i] for i in (0, -1)])


def test_a_successor_knows_the_studys_processes_from_the_first_record(sensors, path, state):
    with foreign_burner() as stranger:
        began = Meter(sensors, node(ram_uw=0), state=state)
        began.begin(path, from_now(sensors, stranger))
        wait_for_cpu(stranger, 300_000)
        successor(sensors, state).sample()
    assert account_of_ledger(ledger.read(path)).buckets["orchestration"] >= BUSY * cpu_uj(0.3)


def test_the_spent_energy_counts_once_if_a_successor_returns_to_a_file(sensors, path, state, tmp_path):
    meter = lasting_meter(sensors, path, state)
    time.sleep(0.1)
    meter.switch(tmp_path / "strategy.jsonl")
    meter.switch(path)
    after = successor(sensors, state)
    in_files = [account_of_ledger(ledger.read(file)) for file in (path, tmp_path / "strategy.jsonl")]
    assert sum(after.reading().spent.values()) == sum(account.node_uj for account in in_files)


def test_the_spent_energy_survives_a_kill_between_two_files(sensors, path, state, tmp_path):
    meter = lasting_meter(sensors, path, state)
    time.sleep(0.1)
    meter._commit(meter._record("stop"), {})  # the meter is killed before it begins the next file
    after = successor(sensors, state)
    after.switch(tmp_path / "next.jsonl")
    in_files = [account_of_ledger(ledger.read(file)) for file in (path, tmp_path / "next.jsonl")]
    assert sum(after.reading().spent.values()) == sum(account.node_uj for account in in_files) > 0


BEGINS_AND_WAITS = """
import os, sys, time
sys.path[:] = sys.argv[3:]
from pathlib import Path
from kdtune.energy.meter import Meter
from kdtune.energy.processes import identity_of
from kdtune.energy.sensors.node import NodeSensors
from kdtune.energy.meter_start import MeterStart
sensors = NodeSensors()
meter = Meter(sensors, sensors.hardware(), state=Path(sys.argv[2]))
meter.begin(Path(sys.argv[1]), MeterStart.of(sensors.read(), [identity_of(os.getpid())]))
print("here", flush=True)
time.sleep(600)
"""


def test_a_meter_has_no_successor_if_its_driver_is_dead(sensors, path, state):
    with python(BEGINS_AND_WAITS, str(path), str(state), *sys.path) as driver:
        assert driver.stdout.readline() == "here\n"
        assert Meter(sensors, node(), state=state).resume()
        driver.kill()
        driver.wait()
        assert not Meter(sensors, node(), state=state).resume()
    assert not state.exists()
    assert [record.kind for record in ledger.read(path)] == ["start", "resume"]


def test_a_meter_that_ended_normally_has_no_successor(sensors, path, state):
    lasting_meter(sensors, path, state).switch(None)
    assert not state.exists()
    assert not Meter(sensors, node(), state=state).resume()


def test_a_repeated_begin_changes_nothing(sensors, path, state):
    lasting_meter(sensors, path, state)
    meter = successor(sensors, state)
    meter.begin(path)  # Ray repeats a call that did not return
    assert [record.kind for record in ledger.read(path)] == ["start", "resume"]


def test_a_record_that_cannot_be_written_changes_nothing(meter, path, monkeypatch):
    meter.open(trial("a"))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("kdtune.energy.meter_ledger.write", full)
        for act in (meter.sample, lambda: meter.close("a", "done"), lambda: meter.open(trial("b"))):
            with pytest.raises(OSError, match="No space"):
                act()
    meter.close("a", "done")
    account = account_of_ledger(ledger.read(path))
    assert account.windows == {"a": meter.window_uj("a")}
    assert meter.reading().spent == account.buckets


@pytest.mark.parametrize("is_copied", [False, True], ids=["written in place", "written elsewhere and copied"])
def test_a_gap_ends_where_the_next_command_began(sensors, path, tmp_path, is_copied):
    first = Meter(sensors, node())
    first.begin(path)
    first.sample()  # then the meter is killed with its study
    time.sleep(0.1)
    second = Meter(sensors, node())
    second.begin(tmp_path / "session" / "here.jsonl")
    time.sleep(0.2)
    written = tmp_path / "elsewhere.jsonl" if is_copied else path
    second.switch(written)
    second.switch(None)
    if is_copied:
        path.write_bytes(path.read_bytes() + written.read_bytes())
    records = ledger.read(path)
    account = account_of_ledger(records)
    between = used_uj(node(), records[1], replace(records[2], counters=records[2].began))
    assert account.flags == {"gap": 1}
    lump = account.node_uj - used_uj(node(), records[0], records[1]) - used_uj(node(), records[2], records[3])
    assert lump + account.gap_uj == between
    assert records[2].began == ledger.read(tmp_path / "session" / "here.jsonl")[0].counters
    assert between < used_uj(node(), records[1], records[2])


# --- two studies on one node -------------------------------------------------------------------------------------


def test_two_studies_share_idle_energy(sensors, tmp_path):
    still = Hardware("here", "a CPU", CORES, "modelled", 0, 20_000_000)  # memory only, which depends on time alone
    meters = [Meter(sensors, still, MeterRegistry(name, tmp_path / "shared")) for name in ("one", "two")]
    paths = [tmp_path / name / "here.jsonl" for name in ("one", "two")]
    for meter, path in zip(meters, paths, strict=True):
        meter._registry.register()
        meter.begin(path)
        time.sleep(0.05)
    meters[0].open(trial("a"))
    time.sleep(0.1)
    meters[1].sample()
    time.sleep(0.1)
    meters[0].close("a", "done")
    time.sleep(0.1)
    meters[0].switch(None)
    time.sleep(0.1)
    meters[1].switch(None)

    ledgers = [ledger.read(path) for path in paths]
    accounts = [account_of_ledger(records) for records in ledgers]
    assert all("node_shared" in account.flags for account in accounts)
    start, end = ledgers[0][0], ledgers[1][-1]
    whole = used_uj(still, start, end)
    missing = whole - sum(account.charged_uj() for account in accounts)
    # Both ledgers use the same moments, so each joule is charged once, except for a microjoule per record by rounding.
    assert abs(missing) <= sum(map(len, ledgers))
    a_second = still.ram_uw / 1e0
    both_idle = accounts[0].buckets["idle"] + accounts[1].buckets["idle"]
    assert both_idle + accounts[0].windows["a"] == pytest.approx(whole, abs=20)
    assert accounts[0].windows["a"] >= 0.2 * a_second / CORES * 0.99


def test_a_window_that_could_not_be_recorded_is_withdrawn_from_the_neighbours(sensors, path, tmp_path, monkeypatch):
    meter = Meter(sensors, node(), MeterRegistry("one", tmp_path / "shared"))
    other = MeterRegistry("two", tmp_path / "shared")
    for registry in (meter._registry, other):
        registry.register()
    meter.begin(path)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr("kdtune.energy.meter_ledger.write", full)
        meter.open(trial("a"))
    meter.sample()
    with other.locked(0) as states:
        assert [state.cpus_milli for state in states][-2:] == [1000, 0]


def test_a_machine_that_joins_is_named_in_the_ledger_that_is_being_written(sensors, tmp_path):
    meter = Meter(sensors, sensors.hardware())
    meter.begin(tmp_path / "here.jsonl")
    meter.set_nodes(["here", "joined"])
    meter.switch(None)
    assert "node_unread" in account_of_nodes(read_folder(tmp_path)).flags
    assert meter.window_uj("never opened") is None
