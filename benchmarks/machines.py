"""Cost of a study to its driver, by number of machines: 1,000 trials, one at a time on each machine.

The machines are simulated: a second passes without waiting, and their meters answer in this process, with ledger lines
and readings as large as real ones. The driver's part of kdtune is real: plan, trial log, reports, copies of the ledgers
on the disk, readings. Ray, Ray Tune and the network are not included.
"""

import os
import pickle
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psutil
import ray

from benchmarks.record import save
from kdtune.energy.carbon import PAPER
from kdtune.energy.interval_shares import BUCKETS
from kdtune.energy.meter import Meter
from kdtune.energy.reading import Reading
from kdtune.energy.sensors.node import NodeSensors
from kdtune.execution.ray import node_meters
from kdtune.execution.ray.node_meters import NodeMeters
from kdtune.execution.run_context import RunContext
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.budget import Budget, BudgetWatch
from kdtune.planning.trial_plan import Next, Plan, make_strategies
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import Watcher
from kdtune.specs import load_study

TRIALS = 1000
MACHINES = (8, 64, 256)

#: Length of each trial; it reports twice a second.
TRIAL_S, REPORTS_PER_S = 10, 2
REPORT = {"train_loss": 0.5, "val_loss": 0.5, "val_accuracy": 0.5, "tau": 4.0, "learning_rate": 0.05, "energy_uj": None}


class Machine:
    """A machine other than the driver's, whose meter writes a ledger line each second."""

    def __init__(self, line: bytes) -> None:
        self.windows: dict[str, int] = {}
        self.trial: Trial | None = None
        self.since_s = self.seconds = self.sent_bytes = 0
        self._line = line

    def __getattr__(self, method: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *given: (self, method, given))

    def answer(self, method: str, given: tuple[Any, ...]) -> Any:
        """Return what the machine's meter returns for a request."""
        answer: Any = None  # of the other methods
        if method == "ledger_lines":
            answer = self._line * (self.seconds - given[1] // len(self._line))
        elif method == "reading":
            energy_uj = dict.fromkeys(BUCKETS, 10**9 + self.seconds)
            answer = Reading(dict(self.windows), energy_uj, energy_uj, 1)
        self.sent_bytes += len(pickle.dumps(answer))
        return answer


def run() -> None:
    """Measure CPU time and memory of the driver, and the traffic of the meters."""
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:  # each with a memory of its own
        results = {"trials": TRIALS, "by_machines": list(pool.map(_measured, MACHINES))}
    save("machines", "python -m benchmarks machines", results)


def _measured(machines: int) -> dict[str, float]:
    """Run the study on so many machines."""
    with tempfile.TemporaryDirectory() as folder:
        line = _ledger_line(Path(folder, "real.jsonl"))
        there = {f"node-{number}": Machine(line) for number in range(machines)}
        both = {**there, os.uname().nodename: Machine(b"")}
        with (
            patch.object(node_meters, "start_meters", lambda _, known=(), **__: {**both} if not known else {}),
            patch.object(ray, "get", lambda call: call[0].answer(*call[1:])),
            patch.object(ray, "wait", lambda calls, **_: (calls, [])),
        ):
            before, before_s = psutil.Process().memory_info().rss, time.process_time()
            seconds = _study(Path(folder), there)
            cpu_s, grown = time.process_time() - before_s, psutil.Process().memory_info().rss - before
    return {
        "machines": machines,
        "cpu_ms_per_trial": cpu_s / TRIALS * 1e3,
        "cpu_ms_per_second": cpu_s / seconds * 1e3,
        "traffic_kb_per_second": sum(one.sent_bytes for one in both.values()) / seconds / 1e3,
        "memory_grown_mb": grown / 1e6,
    }


def _study(folder: Path, machines: dict[str, Machine]) -> int:
    """Run the trials, and return the seconds that the study took in simulated time."""
    taus = f"search_space.tau={{low = 1.0, high = {1 + (TRIALS - 1) / 100}, step = 0.01}}"
    study = load_study("digits-hkd", overrides=[taus], repeats=1)
    place = StrategyFolder(folder / "grid")
    place.path.mkdir()
    meters, log = NodeMeters("session"), TrialLog.read(place.trials)
    meters.start()
    meters.begin(place.ledger, None)
    executor: Any = SimpleNamespace(reading=lambda **_: meters.reading())
    data: Any = None
    context = RunContext(executor, Watcher(), BudgetWatch(Budget(), PAPER, dedicated=True), data)
    plan = Plan(study, make_strategies(study, "grid"), log, lambda label, repeat: "")
    events = TrialEvents(study, place, plan, log, context, judges_epochs=False)
    second = 0
    while not plan.done:
        second += 1
        for machine in machines.values():
            machine.seconds = second
            _work(machine, events, second)
        meters._copied_at_s = 0.0  # a second has passed
        meters.keep_up()
        events.read_energy()
    meters.leave()
    return second


def _work(machine: Machine, events: TrialEvents, second: int) -> None:
    """Let a machine begin a trial, or report what a second of its trial gives."""
    if machine.trial is None:
        trial = events.next()
        if isinstance(trial, Next):
            return
        machine.trial, machine.since_s = trial, second
        events.started(trial)
    machine.windows[machine.trial.window(1)] = second
    done_s = second - machine.since_s + 1
    report = {**REPORT, "epoch": machine.trial.planned_epochs * done_s // TRIAL_S}
    for _ in range(REPORTS_PER_S):
        events.epoch_done(machine.trial, report)
    if done_s == TRIAL_S:
        events.ended(machine.trial, report)
        machine.trial = None


def _ledger_line(file: Path) -> bytes:
    """Return a line of a real ledger."""
    sensors = NodeSensors()
    meter = Meter(sensors, sensors.hardware())
    meter.begin(file)
    meter.sample()
    return file.read_bytes().splitlines(keepends=True)[1]
