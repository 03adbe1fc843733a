"""What runs in a worker outside trials: looking at the data, training the teacher, the final evaluation."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kdtune.artifacts.logit_store import LogitStore
from kdtune.energy.flops import Workload
from kdtune.energy.ledger import Window, WindowBucket
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.forecast.strategy_estimate import TEACHER_WORK, Conditions, Timings, Work
from kdtune.planning.resources import Resources, gpu_indices, gpu_shares
from kdtune.planning.trial_plan import settled_strategies, teacher_trainings, waits_for_energy
from kdtune.specs import load_study
from kdtune.specs.study import Numerics, Study
from kdtune.strategies.base import DistillationCost


@dataclass(frozen=True)
class Inspection:
    """What is known once the data and the networks have been looked at.

    Attributes:
        workload: Sizes, for FLOPs; the fields of :class:`kdtune.energy.flops.Workload`.
        teacher_folder: Where the teacher is or will be.
        fingerprint: Of the data.
        versions: Of what decides the numbers.
        teacher_cached: Whether it has been trained, or was given and has been measured, already.
        numerics: How trainings are computed, nothing left open.
        teacher_logits: ``live`` or ``replay``.
        logit_stores: Where each repeat's logits are or will be kept, none where the teacher is asked live.
        compilations: Where the code of trainings is or will be kept: with whether their teacher is asked in every step
            the folder of each; none where networks are not compiled.
        remarks: For the user.
        timings: Of a few steps, where they were asked for.
        energy_multiple: Training energy of a distillation over that of the student alone, four decimals; None where no
            strategy waits for it.
    """

    workload: dict[str, int]
    teacher_folder: str
    fingerprint: str
    versions: dict[str, str]
    teacher_cached: bool
    numerics: Numerics
    teacher_logits: Literal["live", "replay"]
    logit_stores: list[LogitStore]
    compilations: dict[bool, str]
    remarks: tuple[str, ...]
    timings: Timings | None
    energy_multiple: float | None

    def settle(self, study: Study) -> Study:
        """The study that was inspected, with nothing left open."""
        computed = study.model_copy(update={"numerics": self.numerics, "teacher_logits": self.teacher_logits})
        cost = DistillationCost(Workload(**self.workload).distillation_ratio, self.energy_multiple)
        return settled_strategies(computed, cost)


def _bench(study: Study, resources: Resources, data: str, session_id: str | None) -> Any:
    """A bench of this worker's own; its GPU is orchestration's until a window opens."""
    from kdtune.artifacts.workbench import Workbench, pick_device
    from kdtune.execution.ray.gpu_hold import hold_gpu

    hold_gpu(session_id, gpu_shares(resources.gpus))
    device = pick_device(resources.gpus, gpu_indices(resources.gpus))
    return Workbench(study, device, resources.threads, data)


@contextmanager
def _charged(session_id: str, name: str, bucket: WindowBucket, resources: Resources) -> Iterator[None]:
    """Charge what this process does inside to a window of its own."""
    from kdtune.execution.ray.meter_actor import MeterHandle

    meter = MeterHandle(session_id)
    meter.open(Window(name, bucket, os.getpid(), resources.cpus, gpu_shares(resources.gpus)))
    try:
        yield
    finally:
        meter.close(name, "done")


def inspect_study(
    study: Study,
    resources: Resources,
    data: str,
    hardware: Hardware | None = None,
    kinds: Collection[Work] = (),
    session_id: str | None = None,
    workers: int = 1,
) -> Inspection:
    """Load the data, count the networks' operations and look for the teacher; time a few steps where that is asked.

    Args:
        study: What is to run.
        resources: What each trial gets.
        data: The folder with the data sets.
        hardware: Of this node; None times nothing but what a strategy waits for.
        kinds: What to time; the teacher's own training and evaluation only where they are still due.
        session_id: Of the session that meters this; None where none does.
        workers: That can train side by side.
    """
    import platform
    import sys

    watch = Stopwatch(hardware) if hardware else None
    unprepared = "torch" not in sys.modules

    import ray
    import torch

    from kdtune import __version__
    from kdtune.artifacts.teacher_record import read_record
    from kdtune.execution.ray.meter_actor import MeterHandle
    from kdtune.forecast.equal_energy import timed_energy_multiple
    from kdtune.forecast.open_settings import settled
    from kdtune.forecast.step_timing import time_work
    from kdtune.training.numerics import device_name

    MeterHandle(session_id).join()
    bench = _bench(study, resources, data, session_id)
    _ = bench.splits
    setup = watch.lap() if watch else None
    bench, remarks = settled(bench, teacher_trainings(study), workers)
    study = bench.study
    replays = study.teacher_logits == "replay"
    cached = read_record(bench.teacher_folder) is not None
    gpus = list(gpu_shares(resources.gpus))
    workload, timings, multiple = bench.workload(), None, None
    if watch:
        not_due = {*(TEACHER_WORK if cached else ()), *(() if replays else ("teacher_logits",))}
        not_due |= {"teacher"} if study.teacher_weights else set()
        due = [kind for kind in kinds if kind not in not_due]
        timings = time_work(bench, due, watch, gpus, setup if unprepared else None)
    if waits_for_energy(study):
        here = hardware or NodeSensors(None if resources.gpus else ()).hardware()
        conditions = Conditions(workers, resources.cpus, here.cores, here.ram_uw)
        multiple = round(timed_energy_multiple(bench, workload, watch or Stopwatch(here), gpus, conditions), 4)
    return Inspection(
        workload=asdict(workload),
        teacher_folder=str(bench.teacher_folder),
        fingerprint=bench.arrays.fingerprint,
        versions={
            "kdtune": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "ray": ray.__version__,
            "device": device_name(bench.device) if bench.device.type == "cuda" else "cpu",
        },
        teacher_cached=cached,
        numerics=study.numerics,
        teacher_logits="replay" if replays else "live",
        logit_stores=_distinct(bench.logit_store(seed) for seed in study.seeds()) if replays else [],
        compilations={
            asks: str(bench.compilation(asks_teacher=asks).folder)
            for asks in ([False] if replays else [False, True])
            if bench.compiles
        },
        remarks=remarks,
        timings=timings,
        energy_multiple=multiple,
    )


def prepare(session_id: str) -> None:
    """Do once what :func:`evaluate_chosen` is slow at the first time, so that the next job in this worker is not."""
    import torch

    from kdtune.execution.ray.meter_actor import MeterHandle
    from kdtune.training.evaluation import classification_metrics

    labels = torch.tensor([0, 1])
    classification_metrics(labels, labels, 2)
    MeterHandle(session_id).join()  # last: the meter is starting as well


def _distinct(stores: Iterable[LogitStore]) -> list[LogitStore]:
    """Repeats whose images are the same share a store."""
    return list({store.folder: store for store in stores}.values())


def fill_logits(
    study: Study, resources: Resources, data: str, session_id: str, seed: int, epochs: list[int], folder: str
) -> None:
    """Ask the teacher for the logits of some epochs of a repeat, metered, and keep them in a folder."""
    bench = _bench(study, resources, data, session_id)
    _ = bench.teacher, bench.splits
    with _charged(session_id, f"teacher-logits-{seed}-{epochs[0]}", "trials", resources):
        bench.fill_logits(seed, epochs, Path(folder))


def compile_networks(
    study: Study, resources: Resources, data: str, session_id: str, folder: str, asks_teacher: bool
) -> None:
    """Generate the code for a study's trainings, with or without a teacher that is asked in every step.

    Like all that a worker does before its first trial it is orchestration.
    """
    from kdtune.artifacts.compiled_code import Compilation

    _bench(study, resources, data, session_id).compile_networks(Compilation(Path(folder)), asks_teacher=asks_teacher)


def train_teacher(study: Study, resources: Resources, data: str, session_id: str, folder: str) -> None:
    """Train the study's teacher into its folder, metered, telling its epochs in ``epochs.jsonl``."""
    from kdtune.artifacts.teacher_record import epoch_journal

    bench = _bench(study, resources, data, session_id)
    _ = bench.splits
    with _charged(session_id, "teacher", "trials", resources):
        journal = epoch_journal(Path(folder))
        bench.train_teacher(Path(folder), on_epoch=lambda metrics: journal.append(asdict(metrics)))


def measure_teacher(study: Study, resources: Resources, data: str, session_id: str, folder: str) -> None:
    """Evaluate the teacher that was given, metered, and put what is found into its folder."""
    bench = _bench(study, resources, data, session_id)
    _ = bench.teacher, bench.splits
    with _charged(session_id, "teacher", "evaluation", resources):
        bench.measure_teacher(Path(folder))


@dataclass(frozen=True)
class Candidate:
    """The chosen model of one repeat, before it meets the test set.

    Attributes:
        repeat: Counted from 0.
        window: Under which its evaluation is charged.
        checkpoints: Folder of the chosen trial's checkpoints.
        epochs: Of its training.
        weights: Where the student's weights are to be kept.
    """

    repeat: int
    window: str
    checkpoints: str
    epochs: int
    weights: str


@dataclass(frozen=True)
class Tested:
    """A chosen model's result on the test set.

    Attributes:
        repeat: Counted from 0.
        metrics: Fractions; see :func:`kdtune.training.evaluation.classification_metrics`.
        predictions: Predicted class of each test image.
        confusion: How many test images of a class (row) were taken for which (column), int64, (classes, classes).
        class_names: Of the first classes, or of none.
    """

    repeat: int
    metrics: dict[str, float | None]
    predictions: Any
    confusion: Any
    class_names: tuple[str, ...]


def evaluate_chosen(
    study_toml: str, candidates: list[Candidate], resources: Resources, data: str, session_id: str
) -> list[Tested]:
    """Let the chosen models meet the test set, and keep their weights.

    Returns:
        One for each candidate whose last epoch's checkpoint is there and whole.
    """
    import torch

    from kdtune.storage.files import replaced_atomically
    from kdtune.training.checkpoints import CheckpointFolder
    from kdtune.training.evaluation import classification_metrics, confusion_matrix, evaluate

    bench = _bench(load_study(study_toml), resources, data, session_id)
    test = bench.splits.test
    # What a worker does once (imports, kernels) is no single model's evaluation.
    evaluate(bench.untrained_student(), bench.splits.validation, bench.arithmetic)
    labels = bench.splits.validation.labels.cpu()
    classification_metrics(labels, labels, bench.num_classes)
    results = []
    for candidate in candidates:
        with _charged(session_id, candidate.window, "evaluation", resources):
            state = CheckpointFolder(Path(candidate.checkpoints)).load_latest()
            if state is None or state["epoch"] != candidate.epochs:
                continue  # gone or damaged: an earlier epoch does not stand in for the last
            found = evaluate(bench.student(state["model"]), test, bench.arithmetic)
            both = found.predictions, test.labels.cpu(), bench.num_classes
            metrics, confusion = classification_metrics(*both), confusion_matrix(*both)
            with replaced_atomically(Path(candidate.weights)) as file:
                torch.save(dict(state["model"]), file)
        results.append(
            Tested(
                candidate.repeat,
                {**metrics, "accuracy": found.accuracy},
                found.predictions.numpy(),
                confusion.numpy(),
                bench.arrays.class_names,
            )
        )
    return results
