"""Tests of two studies on one node in random histories, with real meters and ledgers on a simulated machine.

The two studies together must be charged the node's energy without that of foreign processes, and each ledger must
conserve energy at any time.
"""

import json
import os
import random
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kdtune.energy import ledger, meter, meter_ledger, meter_start, neighbours
from kdtune.energy.attribution import BUCKETS, Account
from kdtune.energy.ledger import Window
from kdtune.energy.meter import Meter
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.processes import Identity, Process
from kdtune.energy.running_account import RunningAccount, account_of_ledger
from kdtune.energy.sensors.node import Counters

from .simulated import J, two_cores
from .test_attribution import assert_energy_is_conserved

FOREIGN = 9


class Machine:
    """Simulated counters and processes, with the interfaces of :class:`NodeSensors` and of ``/proc``."""

    polled: frozenset[str] = frozenset()

    def __init__(self, hardware) -> None:
        self.hardware = hardware
        self.t_ns = 5_000_000_000_123
        self.rapl_uj = {zone: limit // 2 for zone, limit in hardware.rapl_range_uj.items()}
        self.gpu_mj = dict.fromkeys(hardware.gpus, 123_456_789)
        self.cpu_us = {FOREIGN: 700_000_011}
        self.parents = {FOREIGN: 1}
        self.busy_us = 800_000_000

    def read(self) -> Counters:
        return Counters("boot", self.t_ns, 0.0, self.busy_us, dict(self.rapl_uj), dict(self.gpu_mj))

    def as_state(self) -> dict:
        return {}

    def restore(self, state: dict) -> None:
        pass

    def snapshot(self) -> dict[int, Process]:
        return {pid: Process(pid, self.parents[pid], pid, us) for pid, us in self.cpu_us.items()}

    def begin_process(self, parent: int) -> int:
        pid = max(self.cpu_us) + 1
        self.cpu_us[pid], self.parents[pid] = 0, parent
        return pid

    def work(self, pid: int, us: int) -> None:
        self.cpu_us[pid] += us
        self.busy_us += us


class Killed(BaseException):
    """Raised where the meter's process is killed."""


@dataclass
class Study:
    """A study with its processes, its meter (None while it has none) and its ledgers."""

    name: str
    folder: Path
    machine: Machine
    driver: int = 0
    workers: list[int] = field(default_factory=list)
    session: str = ""
    meter: Meter | None = None
    at_work: bool = False
    opened: list[Window] = field(default_factory=list)
    joined: list[MeterRegistry] = field(default_factory=list)
    lives: int = 0

    def path(self, name: str) -> Path:
        return self.folder / self.name / name / "node.jsonl"

    @property
    def state(self) -> Path:
        return self.folder / f"{self.session}.state"

    def join(self) -> MeterRegistry:
        """Join the registry as another process of the session."""
        one = MeterRegistry(self.session, self.folder / "shared")
        one.register()
        self.joined.append(one)
        return one

    def new_meter(self) -> Meter:
        return Meter(self.machine, self.machine.hardware, self.join(), self.state)

    def begin(self) -> None:
        """Start a command: its driver reads the counters, and its meter counts from there."""
        self.lives += 1
        self.session = f"{self.name}-{self.lives}"
        self.driver = self.machine.begin_process(1)
        self.workers = [self.machine.begin_process(self.driver) for _ in range(2)]
        driver = self.join()
        with driver.locked(0):
            since = MeterStart.of(self.machine.read(), [(self.driver, self.driver)])
            driver.announce(since.counters.t_ns, 0, {})
        self.meter = self.new_meter()
        self.meter.begin(self.path(f"session-{self.lives}"), since)
        self.at_work = True

    def end(self) -> None:
        self.meter.switch(None)
        self.gone()

    def gone(self) -> None:
        """End all of the study's processes and release their locks."""
        self.meter, self.at_work, self.opened = None, False, []
        for one in self.joined:
            if one._alive_lock is not None:
                os.close(one._alive_lock)
        self.joined.clear()
        for pid in (self.driver, *self.workers):
            del self.machine.cpu_us[pid]

    def meter_dies(self) -> None:
        os.close(self.joined[-1]._alive_lock)
        self.joined.pop()
        self.meter = None

    def ledgers(self) -> list[Path]:
        return sorted((self.folder / self.name).glob("*/node.jsonl"))


SECONDS = st.one_of(st.just(0), st.integers(1, 3000), st.just(3_600_000)).map(lambda ms: ms * 1_000_000)
CPU_US = st.integers(0, 5_000_000)
WHICH = st.integers(0, 1)


class TwoStudies(RuleBasedStateMachine):
    """Meters open and close windows, change files, are killed and restarted; studies end, are killed and are resumed.

    The sum of the studies is compared with the node's energy only where it can be exact. Between two readings, power is
    assumed to be constant; so the simulated power is constant, or both meters read at the same moments. Histories in
    which a study is killed with its meter are not compared, since it is then charged an estimated second.
    """

    @initialize(data=st.data())
    def set_up(self, data) -> None:
        self.patch = pytest.MonkeyPatch()
        self.place = tempfile.TemporaryDirectory()
        self.even = data.draw(st.booleans(), label="the same power all the time")
        zones = {} if self.even else dict.fromkeys(["package-0", "package-1"][: data.draw(st.integers(1, 2))], 10**15)
        gpus = ("GPU-a", "GPU-b")[: data.draw(st.integers(0, 2))]
        self.machine = machine = Machine(
            two_cores(
                tdp_uw=data.draw(st.integers(0, 300_000_001)),
                ram_uw=data.draw(st.integers(0, 50_000_001)),
                cores=data.draw(st.integers(1, 7)),
                rapl=zones,
                gpus=gpus,
            )
        )
        self.gpu_w = {uuid: data.draw(st.integers(0, 700)) for uuid in gpus}
        self.due = Fraction(0)
        self.somebody_killed = False
        self.read: dict[Path, tuple[bytes, Account]] = {}
        self.studies_die = data.draw(st.booleans())
        self.studies = [Study(name, Path(self.place.name), machine) for name in ("one", "two")]
        self.acting: Identity = (0, 0)
        clock = SimpleNamespace(clock_gettime_ns=lambda which: machine.t_ns, CLOCK_MONOTONIC=0)
        self.patch.setattr(neighbours, "time", clock)
        self.patch.setattr(meter, "snapshot", machine.snapshot)
        self.patch.setattr(meter_start, "snapshot", machine.snapshot)
        self.patch.setattr(meter, "identity_of", self._identity_of)
        for which in (0, 1):
            if data.draw(st.booleans()):
                self._as(which).begin()

    def _identity_of(self, pid: int) -> Identity:
        """Return an identity; for this process, in which both studies run, that of the study that is acting."""
        return self.acting if pid == os.getpid() else (pid, pid)

    def _as(self, which: int) -> Study:
        study = self.studies[which]
        pid = study.driver or max(self.machine.cpu_us) + 1  # the pid that the next driver will get
        self.acting = (pid, pid)
        return study

    @rule(data=st.data(), length_ns=SECONDS)
    def pass_time(self, data, length_ns) -> None:
        machine, hardware = self.machine, self.machine.hardware
        busy_us, mj, rapl = machine.busy_us, dict(machine.gpu_mj), sum(machine.rapl_uj.values())
        at_work = [pid for study in self.studies if study.at_work for pid in (study.driver, *study.workers)]
        spent_us = data.draw(st.dictionaries(st.sampled_from([FOREIGN, *at_work]), CPU_US))
        for pid, us in spent_us.items():
            machine.work(pid, us)
        foreign_us = spent_us.get(FOREIGN, 0)
        machine.t_ns += length_ns
        for uuid in machine.gpu_mj:
            w = self.gpu_w[uuid] if self.even else data.draw(st.integers(0, 700))
            machine.gpu_mj[uuid] += w * length_ns // 1_000_000
        for zone in machine.rapl_uj:
            machine.rapl_uj[zone] += data.draw(st.integers(0, 100 * J))
        if any(study.at_work for study in self.studies):
            passed_us = machine.busy_us - busy_us
            if hardware.rapl_range_uj:
                cpu_uj = Fraction(sum(machine.rapl_uj.values()) - rapl)
            else:
                cpu_uj = Fraction(passed_us * hardware.tdp_uw, hardware.cores * 10**6)
            self.due += cpu_uj * (1 - Fraction(foreign_us, passed_us)) if passed_us else cpu_uj
            self.due += Fraction(length_ns * hardware.ram_uw, 10**9)
            self.due += sum(1000 * (machine.gpu_mj[uuid] - before) for uuid, before in mj.items())
        if not self.even:
            for which in (0, 1):
                self.sample(which)

    @rule(which=WHICH)
    def begin(self, which) -> None:
        if not self.studies[which].at_work:
            self.studies[which].driver = 0
            self._as(which).begin()

    @rule(which=WHICH)
    def sample(self, which) -> None:
        if self.studies[which].meter:
            self._as(which).meter.sample()

    @rule(data=st.data(), which=WHICH)
    def open_a_window(self, data, which) -> None:
        if (study := self._as(which)).meter:
            study.meter.open(self._window(data, study))

    def _window(self, data, study: Study) -> Window:
        shares = st.dictionaries(st.sampled_from(sorted(self.gpu_w)), st.floats(1e-3, 1.0))
        study.opened.append(
            Window(
                id=f"trial/{len(study.opened)}",
                bucket=data.draw(st.sampled_from(["trials", "evaluation"])),
                pid=data.draw(st.sampled_from(study.workers)),
                cpus=data.draw(st.one_of(st.integers(0, 8), st.floats(0.0, 8.0))),
                gpus=data.draw(shares) if self.gpu_w else {},
            )
        )
        return study.opened[-1]

    @rule(data=st.data(), which=WHICH)
    def close_a_window(self, data, which) -> None:
        study = self._as(which)
        if study.meter and study.opened:
            study.meter.close(data.draw(st.sampled_from(study.opened)).id, "done")

    @rule(which=WHICH, name=st.sampled_from(["grid", "random"]))
    def switch(self, which, name) -> None:
        if self.studies[which].meter:
            self._as(which).meter.switch(self.studies[which].path(name))

    @rule(which=WHICH)
    def end(self, which) -> None:
        if self.studies_die and self.studies[which].meter:
            self._as(which).end()

    @rule(data=st.data(), which=WHICH, what=st.sampled_from(["nothing", "sample", "open", "close"]), torn=st.booleans())
    def the_meter_is_killed(self, data, which, what, torn) -> None:
        """Kill the meter, possibly while it writes a record; then restart it and repeat the call, as Ray does."""
        study = self._as(which)
        if not (study.meter and self.even):
            return
        window = self._window(data, study) if what == "open" else None

        def act(of: Meter) -> None:
            if what == "sample":
                of.sample()
            elif window:
                of.open(window)
            elif what == "close" and study.opened:
                of.close(study.opened[0].id, "done")

        def die(path: Path, record: ledger.Record) -> None:
            with path.open("a") as file:
                file.write(json.dumps(record.as_line())[:40] if torn else "")
            raise Killed

        with self.patch.context() as patched, suppress(Killed):
            patched.setattr(meter_ledger, "write", die)
            act(study.meter)
        study.meter_dies()
        for _ in range(data.draw(st.integers(0, 2))):
            self.pass_time(data, data.draw(SECONDS))
            self.sample(1 - which)
        self._as(which).meter = study.new_meter()
        assert study.meter.resume()
        act(study.meter)

    @rule(which=WHICH)
    def the_study_is_killed(self, which) -> None:
        """Kill driver, workers and meter at once; a later command may continue in the same files."""
        if self.studies_die and (study := self._as(which)).meter:
            study.gone()
            self.somebody_killed = True

    @precondition(lambda self: hasattr(self, "studies"))
    @invariant()
    def every_ledger_is_true(self) -> None:
        for study in self.studies:
            charged = [self._charged(path) for path in study.ledgers()]
            if study.meter and study.lives == 1:
                spent = {bucket: sum(one.buckets[bucket] for one in charged) for bucket in BUCKETS}
                assert study.meter.reading().spent == spent

    def _charged(self, path: Path) -> Account:
        """Return the account of a ledger, which is read again only if it was written to."""
        content = path.read_bytes()
        if self.read.get(path, (None, None))[0] != content:
            account = account_of_ledger(ledger.read(path))
            assert_energy_is_conserved(account)
            self.read[path] = content, account
        return self.read[path][1]

    def _account_of(self, path: Path) -> Account:
        records = ledger.read(path)
        account = account_of_ledger(records)
        assert_energy_is_conserved(account)
        assert account_of_ledger(ledger.read(path)) == account
        return account

    def teardown(self) -> None:
        if not hasattr(self, "studies"):
            return
        for which, study in enumerate(self.studies):
            if study.meter:
                self._as(which).end()
            for path in study.ledgers():
                self._reading_again_changes_nothing(path)
        if not self.somebody_killed:
            self._the_studies_and_the_rest_are_the_node()
        self.patch.undo()
        self.place.cleanup()

    def _reading_again_changes_nothing(self, path: Path) -> None:
        account = self._account_of(path)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines + random.Random(len(lines)).choices(lines, k=3)))
        assert self._account_of(path) == account

    def _the_studies_and_the_rest_are_the_node(self) -> None:
        records = [ledger.read(path) for study in self.studies for path in study.ledgers()]
        charged = sum(_charged_with_unused_gpus_uj(one) for one in records)
        # Each split of an integer may be off by one; there is a split for each source and each piece of an interval.
        splits = sum(1 + len(record.neighbours) for one in records for record in one) * (2 + len(self.gpu_w))
        assert abs(charged - self.due) <= 2 * splits


def _charged_with_unused_gpus_uj(records: list[ledger.Record]) -> int:
    """Return the charge of a ledger with the idle energy of GPUs that the study never used, as ``due`` includes it.

    This also checks that this idle energy was moved to ``other`` and that nothing else changed.
    """
    whole = RunningAccount()
    for record in records:
        whole.add(record)
    moved_uj = account_of_ledger(records).buckets["other"] - whole.account.buckets["other"]
    unused = whole.account.unheld_uj.keys() - whole.account.held_gpus if whole.account.held_gpus else set()
    assert moved_uj == sum(whole.account.unheld_uj[uuid] for uuid in unused)
    return account_of_ledger(records).charged_uj() + moved_uj


TwoStudies.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, report_multiple_bugs=False
)
TestTwoStudies = TwoStudies.TestCase
