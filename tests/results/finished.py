"""Hand-written results of a study that ran to its end."""

import os
from typing import Any

from kdtune.energy import ledger
from kdtune.energy.carbon import Carbon
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.outcome import write_result
from kdtune.results.shared_inputs import write_shared
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from tests.energy.simulated import Node, trial, two_cores
from tests.recipes import identity_of, spec_of
from tests.studies import small_study

WORKLOAD = {"teacher_macs": 10, "student_macs": 3, "train_images": 100, "val_images": 50, "test_images": 20}

CARBON = Carbon(pue=1.5, intensity_g_per_kwh=400.0, source="a test")


def write_ledger(node: Node, folder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for record in node.records:
        ledger.write(folder / f"{node.hardware.node}.jsonl", record)


def finished(
    results,
    strategy: str = "grid",
    *,
    session: str = "s1",
    trial_s: float = 2.0,
    trials: int = 3,
    age_s: float = 0.0,
    status: str = "completed",
    hardware: Any = None,
    point: dict[str, Any] | None = None,
    **study: Any,
) -> StrategyFolder:
    """Write results of a strategy whose trials ran one after the other, each ``trial_s`` long with three epochs.

    There are 5 s before and 1 s after the trials. The session took 10 s, one of them on a core.
    """
    hardware = hardware or two_cores()
    spec = load_study(small_study(repeats=1, **study))
    study_folder = StudyFolder(results / spec.name)
    folder = study_folder.strategy(strategy)
    folder.path.mkdir(parents=True)
    folder.write_study(spec, {"workload": WORKLOAD, "cpus_per_trial": 1.0, "gpus_per_trial": 0.0})
    log = TrialLog.read(folder.trials)
    log.session(session)
    node = Node(hardware).start().work(5, study=3)
    for number in range(trials):
        at = {"tau": 2 + number} if point is None else point
        one = log.suggestion(identity_of(spec, at, 0), 0, 0, number, at, spec_of(spec, at, 0))
        window = one.window(log.attempt(one))
        node.open(trial(window)).work(trial_s, {window: trial_s}).close(window)
        log.end(one, "completed", epochs=3, val_accuracy=0.5, val_loss=1.0)
    log.plan_complete(0)
    if status == "completed":
        log.evaluation(0, next(iter(log.trials)), {"accuracy": 0.5})
    log.stopped(status)
    write_ledger(node.work(1, study=1).stop(), folder.ledger)
    write_ledger(Node(hardware).start().work(10, study=1).stop(), study_folder.session(session))
    write_shared(folder, None)
    write_result(folder, CARBON)
    os.utime(folder.result, (1e9 - age_s, 1e9 - age_s))
    return folder
