"""Hand-written results of several repeats, with the accuracies and training times that a test chooses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdtune.catalog.builtin import DEFAULT_TASK
from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors.node import Hardware
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.shared_document import Teacher
from kdtune.results.shared_inputs import write_shared
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.storage.records import parsed
from tests.energy.simulated import Node, trial, two_cores
from tests.recipes import spec_of
from tests.results.finished import WORKLOAD, write_ledger
from tests.studies import small_study

#: The study cifar100-hkd, but for its trainings and temperatures, which are those of a small study.
CIFAR100_HKD = {
    "name": "cifar100-hkd",
    "dataset": "cifar100",
    "teacher": "resnet18",
    "student": "mobilenet_v2",
    "training": {**small_study()["training"], "batch_size": 128},
}


def ran(
    results: Path,
    strategy: str,
    accuracies: Sequence[float | None],
    *,
    points: Sequence[dict[str, Any]] = ({"tau": 4},),
    val: Sequence[Sequence[float]] | None = None,
    chosen: Sequence[int] | None = None,
    trial_s: Sequence[float] | None = None,
    start_s: float = 0.0,
    images: tuple[int, int] = (100, 50),
    teacher_macs: int = 10,
    record: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
    resolved: dict[str, Any] | None = None,
    neighbours: bool = False,
    hardware: Hardware | None = None,
    **study: Any,
) -> StrategyFolder:
    """Write the results of a strategy that ran to its end, or as far as it has accuracies.

    Args:
        results: Folder of the studies.
        strategy: Name of the strategy.
        accuracies: Accuracy on the test images of each repeat; None for a repeat without an evaluation.
        points: Points of the trials of each repeat.
        val: Validation accuracies of the points, for each repeat; by default all are 0.5.
        chosen: For each repeat, the number of the trial that the strategy chose; by default it did not choose itself.
        trial_s: Seconds of each training, by repeat; by default nothing is metered. A training uses 14 W: 4 W of a core
            and 10 W of half the memory.
        start_s: Seconds before the first training, in which everything but memory (20 W) is idle.
        images: Numbers of training and validation images.
        teacher_macs: Multiply-adds of the teacher.
        record: The teacher's entry in ``shared.json``.
        metrics: Test metrics besides the accuracy.
        resolved: Further resolved settings.
        neighbours: Whether another study was metered on the machine.
        hardware: The machine; two cores by default.
        study: Fields in which the study differs from the small study; with a task that has no accuracy, its objective
            takes the accuracy's place.
    """
    spec = load_study(small_study(repeats=len(accuracies), **study))
    study_folder = StudyFolder(results / spec.name)
    folder = study_folder.strategy(strategy)
    folder.path.mkdir(parents=True)
    study_folder.write_run(
        {"strategies": [strategy], "carbon": {"pue": 1.0, "intensity_g_per_kwh": 475.0, "source": "a test"}}
    )
    workload = {**WORKLOAD, "train_images": images[0], "val_images": images[1], "teacher_macs": teacher_macs}
    workload["test_images"] = 1000
    how = {"workload": workload, "cpus_per_trial": 1.0, "gpus_per_trial": 0.0, **(resolved or {})}
    folder.write_study(spec, how)
    log = TrialLog.read(folder.trials)
    log.session("s1")
    node = Node(hardware or two_cores()).start().work(start_s)
    if neighbours:
        node.others_have(Neighbours(node.t_ns, 1))
    for repeat, seed in enumerate(spec.seeds()):
        for index, point in enumerate(points):
            trained = spec_of(spec, point, seed) if spec.objective_info else None
            one = log.suggestion(f"t{repeat}-{index}", repeat, seed, index, point, trained)
            log.attempt(one)
            if trial_s:
                window = one.window(1)
                node.open(trial(window)).work(trial_s[repeat], {window: trial_s[repeat]}).close(window)
            reached = val[repeat][index] if val else 0.5
            found = {"val_accuracy": reached} if spec.task.name == DEFAULT_TASK else {"val_objective": reached}
            log.end(one, "completed", epochs=spec.training.epochs, val_loss=1.0, **found)
        log.plan_complete(repeat, log.trials[f"t{repeat}-{chosen[repeat]}"] if chosen else None)
        accuracy = accuracies[repeat]
        if accuracy is not None:
            name = "accuracy" if spec.task.name == DEFAULT_TASK else spec.objective
            log.evaluation(repeat, log.chosen(repeat).id, {name: accuracy, **(metrics or {})})
    log.stopped("incomplete" if None in accuracies else "completed")
    if trial_s:
        write_ledger(node.stop(), folder.ledger)
    write_shared(folder, record and parsed(record, Teacher))
    return folder
