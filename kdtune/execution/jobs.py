"""What runs in a worker outside trials: looking at the data, making artifacts, the final evaluation."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from kdtune.artifacts.artifact import Artifact
from kdtune.artifacts.logit_store import LogitStore
from kdtune.energy.flops import Workload
from kdtune.energy.ledger import Window, WindowBucket
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.execution.gpu_hold import hold_gpu
from kdtune.execution.meter_handle import meter_of
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.forecast.strategy_estimate import TEACHER_WORK, Conditions, Timings, Work
from kdtune.planning.resources import Resources, gpu_indices, gpu_shares
from kdtune.planning.trial_plan import settled_strategies, teacher_trainings, waits_for_energy
from kdtune.specs.study import Numerics, Study
from kdtune.strategies.equal_cost import DistillationCost
from kdtune.tasks.loading import load_all_tasks
from kdtune.tasks.task import Metrics


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

    hold_gpu(meter_of(session_id), gpu_shares(resources.gpus))
    device = pick_device(resources.gpus, gpu_indices(resources.gpus))
    return Workbench(study, device, resources.threads, data)


@contextmanager
def _charged(session_id: str, resources: Resources, name: str, bucket: WindowBucket) -> Iterator[None]:
    """Charge what this process does inside to a window of its own."""
    meter = meter_of(session_id)
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

    import torch

    from kdtune import __version__
    from kdtune.artifacts.teacher_record import read_record
    from kdtune.forecast.equal_energy import timed_energy_multiple
    from kdtune.forecast.open_settings import settled
    from kdtune.forecast.step_timing import time_work
    from kdtune.training.numerics import device_name

    meter_of(session_id).join()
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
        due = _due(kinds, study, cached=cached, replays=replays)
        timings = time_work(bench, due, watch, gpus, setup if unprepared else None)
    if waits_for_energy(study):
        here = hardware or NodeSensors(None if resources.gpus else ()).hardware()
        conditions = Conditions(
            workers,
            resources.cpus,
            here.cores,
            here.ram_uw,
            gpus=len(here.gpus),
            trials_per_gpu=resources.trials_per_gpu,
        )
        multiple = round(timed_energy_multiple(bench, workload, watch or Stopwatch(here), gpus, conditions), 4)
    return Inspection(
        workload=asdict(workload),
        teacher_folder=str(bench.teacher_folder),
        fingerprint=bench.arrays.fingerprint,
        versions={
            "kdtune": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "ray": version("ray"),
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


def _due(kinds: Collection[Work], study: Study, *, cached: bool, replays: bool) -> list[Work]:
    """What is still to be done of some kinds of work.

    Args:
        kinds: All that are wanted.
        study: The study.
        cached: Whether the teacher is known already.
        replays: Whether its logits are kept.
    """
    not_due = {*(TEACHER_WORK if cached else ()), *(() if replays else ("teacher_logits",))}
    not_due |= {"teacher"} if study.teacher_weights else set()
    return [kind for kind in kinds if kind not in not_due]


def prepare(session_id: str) -> None:
    """Do once what :func:`evaluate_chosen` is slow at the first time, so that the next job in this worker is not."""
    for task in load_all_tasks():
        task.prepare()
    meter_of(session_id).join()  # last: the meter is starting as well


def _distinct(stores: Iterable[LogitStore]) -> list[LogitStore]:
    """Repeats whose images are the same share a store."""
    return list({store.folder: store for store in stores}.values())


def make_part(study: Study, resources: Resources, data: str, session_id: str, artifact: Artifact, part: Any) -> None:
    """Make one part of an artifact, metered."""
    artifact.make(_bench(study, resources, data, session_id), part, partial(_charged, session_id, resources))


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
        metrics: By name; see :meth:`kdtune.tasks.task.Task.test_metrics`.
        predictions: An array with a row for each test image; of a classifier the predicted classes.
        documents: Text of CSV files by name; see :meth:`kdtune.tasks.task.Task.documents`.
    """

    repeat: int
    metrics: Metrics
    predictions: Any
    documents: dict[str, str]


def evaluate_chosen(
    study: Study, candidates: list[Candidate], resources: Resources, data: str, session_id: str
) -> list[Tested]:
    """Let the chosen models meet the test set, and keep their weights.

    Returns:
        One for each candidate whose last epoch's checkpoint is there and whole.
    """
    import torch

    from kdtune.storage.files import replaced_atomically
    from kdtune.training.checkpoints import CheckpointFolder

    bench = _bench(study, resources, data, session_id)
    task, test = bench.task, bench.splits.test
    # What a worker does once (imports, kernels) is no single model's evaluation.
    task.evaluate(bench.untrained_student(), bench.splits.validation, bench.arithmetic)
    task.prepare()
    results = []
    for candidate in candidates:
        with _charged(session_id, resources, candidate.window, "evaluation"):
            state = CheckpointFolder(Path(candidate.checkpoints)).load_latest()
            if state is None or state["epoch"] != candidate.epochs:
                continue  # gone or damaged: an earlier epoch does not stand in for the last
            predictions = task.evaluate(bench.student(state["model"]), test, bench.arithmetic).predictions
            metrics = task.test_metrics(predictions, test)
            documents = task.documents(predictions, test, bench.arrays.class_names)
            with replaced_atomically(Path(candidate.weights)) as file:
                torch.save(dict(state["model"]), file)
        results.append(Tested(candidate.repeat, metrics, predictions.numpy(), documents))
    return results
