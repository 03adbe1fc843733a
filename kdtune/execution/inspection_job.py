"""The job that inspects a study in a worker: loads its data, counts operations, looks for artifacts, times steps."""

from collections.abc import Collection
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from kdtune.artifacts.logit_store import LogitStore
from kdtune.artifacts.shared_synthesis import SharedSynthesis
from kdtune.energy.flops import Workload
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.execution.meter_handle import meter_of
from kdtune.execution.worker_jobs import open_training_context
from kdtune.forecast.stopwatch import Lap, Stopwatch
from kdtune.forecast.strategy_estimate import TEACHER_WORK, Conditions, Timings, WorkKind
from kdtune.planning.inspection import Inspection
from kdtune.planning.resources import Resources, gpu_shares
from kdtune.planning.trial_plan import teacher_trainings, waits_for_energy
from kdtune.specs.split_sizes import held_out_images
from kdtune.specs.study import Study
from kdtune.specs.synthetic_data import trial_images


def inspect_study(
    study: Study,
    resources: Resources,
    data: str,
    hardware: Hardware | None = None,
    kinds: Collection[WorkKind] = (),
    session_id: str | None = None,
    workers: int = 1,
) -> Inspection:
    """Load the data, count the networks' operations, look for the teacher and, on request, time a few steps.

    Args:
        study: The study to be run.
        resources: Resources of each trial.
        data: Folder with the data sets.
        hardware: Hardware of this node. With None, only steps that a strategy depends on are timed.
        kinds: Kinds of work to time. Training and evaluating the teacher are timed only if they are still due.
        session_id: Session that meters this process; None if none does.
        workers: Number of workers that can train at the same time.
    """
    import sys

    watch = Stopwatch(hardware) if hardware else None
    torch_is_new = "torch" not in sys.modules

    import torch  # noqa: F401 - its import is part of the setup that is timed

    from kdtune.artifacts.student_data import use_stand_ins
    from kdtune.forecast.open_settings import resolve_open_settings
    from kdtune.planning.step_checks import check_own_components

    meter_of(session_id).join()
    context = open_training_context(study, resources, data, session_id)
    use_stand_ins(context)
    _ = context.splits  # loads the data
    setup = watch.lap() if watch else None
    check_own_components(context)
    context, remarks = resolve_open_settings(context, teacher_trainings(study), workers)
    workload, timings, multiple = context.workload(), None, None
    if watch:
        timings = _timings(context, kinds, watch, resources, setup if torch_is_new else None)
    if waits_for_energy(context.study):
        multiple = _energy_multiple(context, workload, resources, hardware, watch, workers)
    return _inspection(context, workload, remarks, timings, multiple)


def _timings(
    context: Any, kinds: Collection[WorkKind], watch: Stopwatch, resources: Resources, setup: Lap | None
) -> Timings:
    """Time a few steps of each kind of work that is still due.

    Args:
        context: TrainingContext of the study.
        kinds: Kinds of work to time.
        watch: Stopwatch of this process.
        resources: Resources of each trial.
        setup: Lap in which this process was set up as a worker; None if part of that was done earlier.
    """
    from kdtune.forecast.step_timing import time_work

    study = context.study
    made = not study.synthesis or _synthesis(context).is_complete()
    due = _due(
        kinds, study, cached=not _missing_teachers(context), replays=study.teacher_logits == "replay", images_made=made
    )
    return time_work(context, due, watch, list(gpu_shares(resources.gpus)), setup)


def _due(
    kinds: Collection[WorkKind], study: Study, *, cached: bool, replays: bool, images_made: bool
) -> list[WorkKind]:
    """Return the kinds of work that are still to be done.

    Args:
        kinds: All kinds that were requested.
        study: The study.
        cached: Whether the cache holds the teacher.
        replays: Whether the teacher's logits are stored and replayed.
        images_made: Whether no synthetic image is missing.
    """
    not_due = {*(TEACHER_WORK if cached else ()), *(() if replays else ("teacher_logits",))}
    not_due |= {"synthesis"} if images_made else set()
    not_due |= {"teacher"} if study.teacher_weights else set()
    return [kind for kind in kinds if kind not in not_due]


def _energy_multiple(
    context: Any,
    workload: Workload,
    resources: Resources,
    hardware: Hardware | None,
    watch: Stopwatch | None,
    workers: int,
) -> float:
    """Time the training energy of a distillation as a multiple of the energy of training the student alone."""
    from kdtune.forecast.equal_energy import timed_energy_multiple

    here = hardware or NodeSensors(None if resources.gpus else ()).hardware()
    conditions = Conditions(
        workers,
        resources.cpus,
        here.cores,
        here.ram_uw,
        gpus=len(here.gpus),
        trials_per_gpu=resources.trials_per_gpu,
    )
    gpus = list(gpu_shares(resources.gpus))
    multiple = timed_energy_multiple(context, workload, watch or Stopwatch(here), gpus, conditions)
    return round(multiple, 4)


def _inspection(
    context: Any,
    workload: Workload,
    remarks: tuple[str, ...],
    timings: Timings | None,
    energy_multiple: float | None,
) -> Inspection:
    """Gather the facts about a study whose settings are all resolved."""
    from kdtune.quantisation.networks import has_vnni

    study = context.study
    replays = study.teacher_logits == "replay"
    teacher_in_step = [False] if replays else [False, True]
    return Inspection(
        workload=asdict(workload),
        teacher_folder=str(context.teacher_folder),
        fingerprint=context.arrays.fingerprint,
        versions=_versions(context.device),
        missing_teachers=_missing_teachers(context),
        numerics=study.numerics,
        teacher_logits="replay" if replays else "live",
        logit_stores=_logit_stores(context) if replays else [],
        compilations={
            asks: str(context.compilation(asks_teacher=asks).folder) for asks in teacher_in_step if context.compiles
        },
        remarks=remarks,
        timings=timings,
        energy_multiple=energy_multiple,
        reduce_range=not has_vnni(),
        synthesis=_synthesis(context) if study.synthesis else None,
        teacher_workload=asdict(_teacher_workload(context, workload)) if study.synthesis else None,
        epoch_synthesis_flops=_epoch_synthesis_flops(context, workload),
        repeat_teachers={seed: str(context.teacher_folder_of(seed)) for seed in study.seeds()} if study.vary else {},
    )


def _synthesis(context: Any) -> SharedSynthesis:
    from kdtune.artifacts.student_data import store_of, synthesis_flops, synthesizer_of

    synthesizer, name = synthesizer_of(context), context.study.synthesis.name
    images, flops = synthesizer.common.images, synthesis_flops(context)
    return SharedSynthesis(store_of(context), name, synthesizer.independent, images, flops)


def _epoch_synthesis_flops(context: Any, workload: Workload) -> int:
    from kdtune.artifacts.student_data import synthesizer_of

    images = trial_images(context.study)
    return synthesizer_of(context).flops(workload.teacher_macs, workload.student_macs) * images if images else 0


def _teacher_workload(context: Any, workload: Workload) -> Workload:
    study, images = context.study, context.arrays.training_images
    held_out = held_out_images(images, study.validation)
    return replace(workload, train_images=images - held_out, val_images=held_out)


def _missing_teachers(context: Any) -> int:
    """Return the number of teachers that are not in the cache."""
    from kdtune.artifacts.teacher_record import read_record

    folders = {context.teacher_folder_of(seed) for seed in context.study.seeds()}
    return sum(read_record(folder) is None for folder in folders)


def _logit_stores(context: Any) -> list[LogitStore]:
    """Return the stores of all repeats; repeats with the same images share one."""
    stores = [context.logit_store(seed) for seed in context.study.seeds()]
    return list({store.folder: store for store in stores}.values())


def _versions(device: Any) -> dict[str, str]:
    """Return the versions of everything that decides the numbers, and the device."""
    import platform

    import torch

    from kdtune import __version__
    from kdtune.training.numerics import device_name

    return {
        "kdtune": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "ray": version("ray"),
        "device": device_name(device) if device.type == "cuda" else "cpu",
        # The instructions that torch uses are part of the CPU's type: they decide the order of sums.
        "cpu": f"{device_name(torch.device('cpu'))} ({torch.backends.cpu.get_cpu_capability()})",
    }
