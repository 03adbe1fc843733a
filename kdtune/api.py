"""Functions that run, plan, check and resume studies, for the ``kdtune`` command and for other programs."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kdtune.data.sources import with_described_data
from kdtune.energy.carbon import Carbon, resolve_carbon
from kdtune.errors import SpecError
from kdtune.execution.executor_choice import ExecutorChoice
from kdtune.execution.inspection_job import inspect_study
from kdtune.execution.resumption import check_same_weights, find_study_folder, strategies_to_resume, study_as_begun
from kdtune.execution.run_options import RunOptions
from kdtune.execution.study_runner import StudyRunner
from kdtune.planning.budget import Budget
from kdtune.planning.dry_run import make_plan
from kdtune.planning.process_state import restored_process_state
from kdtune.planning.run_arguments import ALL, check_resources, validate_run_arguments
from kdtune.planning.study_plan import StudyPlan
from kdtune.planning.trial_plan import uses_teacher
from kdtune.results.folder import StudyFolder
from kdtune.results.study_result import StudyResult
from kdtune.results.watcher import Watcher
from kdtune.specs.loading import StudyLike
from kdtune.storage import paths

if TYPE_CHECKING:
    from kdtune.planning.study_check import StudyCheck


@restored_process_state()
def run_study(
    study: StudyLike,
    strategy: str | Sequence[str] = ALL,
    *,
    out: str | Path = "results",
    repeats: int | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    overrides: Sequence[str] = (),
    fresh: bool = False,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | None = None,
    max_concurrent: int | None = None,
    address: str | None = None,
    inline: bool = False,
    max_kwh: float | None = None,
    max_co2_g: float | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    teacher: str | Path | None = None,
    accept_teacher: bool = False,
    carbon: Carbon | None = None,
    watcher: Watcher | None = None,
    cancel: threading.Event | None = None,
) -> StudyResult:
    """Run strategies of a study and charge each with the energy that it used.

    Nothing is printed unless a watcher prints it. If Ray is already initialised, it is used and stays initialised.

    Args:
        study: Name of a study, path of its file, a table of the same form, or a loaded study.
        strategy: One or several strategies or labels of the study; ``all`` runs every strategy that it lists.
        out: Folder for results; each study has a subfolder of its name.
        repeats: Number of repeats, instead of the study's.
        seed: Seed of the first repeat, instead of the study's.
        epochs: Epochs of the students, instead of the study's; milestones and warm-up are scaled in proportion.
        overrides: Other keys of the study as ``KEY=VALUE`` texts.
        fresh: Put earlier results of these strategies aside.
        cpus_per_trial: Cores for each trial, and so threads of torch; results on a CPU depend on it.
        gpus_per_trial: Share of a GPU for each trial, at most 1; None for one GPU if the cluster has any.
        max_concurrent: Largest number of simultaneous trials; None leaves it to the cores and GPUs.
        address: Address of a running Ray cluster.
        inline: Run the study in this process without Ray, one trial at a time, metered the same way. A small study
            ends sooner, since no workers start. Whatever else this process does is charged to the study.
        max_kwh: Stop cleanly when this many kWh are charged to the command, including teacher and PUE.
        max_co2_g: The same limit in grams of CO2 equivalent.
        data_dir: Folder with the data sets; None for ``$KDTUNE_DATA_DIR`` or ``~/.cache/kdtune/data``.
        download: Download the data set if it is missing or damaged; otherwise no connection is made.
        teacher: File with weights of the study's teacher, which is then not trained; the cache keeps a copy.
        accept_teacher: Use the given teacher even if its accuracy is at chance; otherwise the study ends before
            anything is trained.
        carbon: Conversion of energy to CO2; None for the world average.
        watcher: Receives the progress of the study.
        cancel: Event that another thread sets to stop the study as Ctrl-C does, within about a second.

    Returns:
        The outcome, also of a study that was interrupted or has failed trials.

    Raises:
        SpecError: The study or an argument is invalid; lists every fault.
        DataError: The data set is missing, incomplete or damaged.
        ResultsExistError: There are results already, and ``fresh`` is not set.
        BusyError: Another process is using the folder.
        UsageError: A trial asks for more cores or GPUs than there are, a file holds no weights of the teacher or
            weights whose accuracy is at chance, or the cache cannot be written.
        MachineError: A disk, the cache or Ray failed and there is no outcome to show; the study can be resumed.
        RayError: Ray does not start.
        StudyInterrupted: The study was cancelled while its data were downloaded.
    """
    choice = ExecutorChoice(cpus_per_trial, gpus_per_trial, address, inline)
    budget, weights = Budget(max_kwh, max_co2_g), _file(teacher)
    check_resources(cpus_per_trial, gpus_per_trial, address, max_concurrent, inline=inline)
    spec, made = validate_run_arguments(
        study, strategy, budget, weights, overrides=overrides, epochs=epochs, repeats=repeats, seed=seed
    )
    folder = StudyFolder(paths.expanded(out, "--out").resolve() / spec.name)
    with folder.locked():
        folder.check_free(spec, list(made), fresh=fresh)
        options = RunOptions(
            choice,
            carbon or resolve_carbon(),
            paths.data_dir(data_dir),
            budget,
            max_concurrent,
            fresh=fresh,
            download=download,
            teacher_file=weights and weights.absolute(),
            accept_teacher=accept_teacher,
            watcher=watcher or Watcher(),
            cancel=cancel,
        )
        return StudyRunner(spec, made, folder, options).execute()


@restored_process_state()
def plan_study(
    study: StudyLike,
    strategy: str | Sequence[str] = ALL,
    *,
    out: str | Path = "results",
    repeats: int | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    overrides: Sequence[str] = (),
    fresh: bool = False,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | None = None,
    max_concurrent: int | None = None,
    address: str | None = None,
    inline: bool = False,
    max_kwh: float | None = None,
    max_co2_g: float | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    teacher: str | Path | None = None,
    carbon: Carbon | None = None,
) -> StudyPlan:
    """Plan what :func:`run_study` would do with the same arguments, and estimate its time, energy and CO2.

    Times a few steps of the real networks in this process, for seconds; runs no trial, does not start Ray, and writes
    nothing but decoded data into the cache. The energy of short studies is mostly that of Ray, which is known only if
    a study has run before under ``out`` on this machine. The plan is one for this machine, also with ``address``.

    Raises:
        SpecError: The study or an argument is invalid; lists every fault.
        DataError: The data set is missing, incomplete or damaged.
        UsageError: A trial asks for more cores or GPUs than there are, a file holds no weights of the teacher, or the
            cache cannot be written.
    """
    budget, weights = Budget(max_kwh, max_co2_g), _file(teacher)
    check_resources(cpus_per_trial, gpus_per_trial, address, max_concurrent, inline=inline)
    spec, made = validate_run_arguments(
        study, strategy, budget, weights, overrides=overrides, epochs=epochs, repeats=repeats, seed=seed
    )
    if weights is None and spec.teacher_weights and any(uses_teacher(spec, name) for name in made):
        from kdtune.artifacts.given_teacher import provide

        provide(spec, None)
    return make_plan(
        spec,
        made,
        StudyFolder(paths.expanded(out, "--out").resolve() / spec.name),
        carbon or resolve_carbon(),
        budget,
        paths.data_dir(data_dir),
        inspect_study,
        cpus=cpus_per_trial,
        gpus=gpus_per_trial,
        max_concurrent=max_concurrent,
        address=address,
        inline=inline,
        fresh=fresh,
        download=download,
    )


@restored_process_state(uses_torch=True)
def check_study(
    study: StudyLike,
    *,
    overrides: Sequence[str] = (),
    data_dir: str | Path | None = None,
    teacher: str | Path | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | None = None,
) -> "StudyCheck":
    """Check a study before energy is spent on it: load everything and take single steps whose results are not used.

    The arguments are those of :func:`run_study`.

    Returns:
        The findings; ``faults`` lists everything that would prevent the study from running.
    """
    import torch

    from kdtune.artifacts.device_choice import pick_device
    from kdtune.planning.resources import Resources
    from kdtune.planning.study_check import check_study as check

    gpus = float(torch.cuda.is_available()) if gpus_per_trial is None else gpus_per_trial
    threads = Resources(cpus_per_trial, gpus).threads
    return check(study, overrides, paths.data_dir(data_dir), _file(teacher), pick_device(gpus), threads)


@restored_process_state()
def resume_study(
    path: str | Path,
    *,
    address: str | None = None,
    inline: bool | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    teacher: str | Path | None = None,
    accept_teacher: bool = False,
    max_concurrent: int | None = None,
    max_kwh: float | None = None,
    max_co2_g: float | None = None,
    watcher: Watcher | None = None,
    cancel: threading.Event | None = None,
) -> StudyResult:
    """Continue a study that was interrupted; finished trials are not run again.

    Args:
        path: Results folder of the study, or of one strategy in it.
        address: Address of a running Ray cluster.
        inline: As for :func:`run_study`; None runs the study as it was begun.
        data_dir: Folder with the data sets; None for the folder that the study used when it began.
        download: Download the data set if it is missing or damaged; otherwise no connection is made.
        teacher: File with the weights with which the study was begun, if neither the cache nor the original file
            has them any more.
        accept_teacher: As for :func:`run_study`; not needed if the study was begun with it.
        max_concurrent: Largest number of simultaneous trials; None leaves it to the cores and GPUs.
        max_kwh: Stop cleanly when all commands of the study together are charged this many kWh, without results that
            were put aside. Without either limit, the limits of the study apply.
        max_co2_g: The same limit in grams of CO2 equivalent.
        watcher: Receives the progress of the study.
        cancel: Event that another thread sets to stop the study as Ctrl-C does, within about a second.

    Returns:
        The outcome of the strategies that the original command ran.

    Raises:
        ResultsError: There is no such folder, or it is damaged.
        BusyError: Another process is using it.
        BudgetReached: The study has used up its budget.
        UsageError: The weights that were given for the teacher are gone, the file holds others, or the cache cannot
            be written.
        DataError: The data set is missing, incomplete or damaged.
        MachineError: As for :func:`run_study`.
        RayError: Ray does not start.
        StudyInterrupted: As for :func:`run_study`.
    """
    budget = Budget(max_kwh, max_co2_g)
    if budget.faults():
        raise SpecError(budget.faults())
    folder, only = find_study_folder(path)
    with folder.locked():
        begun = folder.read_run_document()
        settings = begun.options
        spec = study_as_begun(begun, folder)
        strategies = strategies_to_resume(spec, begun, folder, only)
        runs_inline = settings.inline if inline is None else inline
        choice = ExecutorChoice(settings.cpus_per_trial, settings.gpus_per_trial, address, runs_inline)
        data = paths.noted_data_dir(data_dir, settings.data_dir, folder.run_toml)
        spec = with_described_data(spec)
        if weights := _file(teacher):
            check_same_weights(spec, weights)
        options = RunOptions(
            choice,
            begun.carbon,
            data,
            Budget(begun.budget.max_kwh, begun.budget.max_co2_g) if budget == Budget() else budget,
            max_concurrent,
            download=download,
            teacher_file=weights.absolute() if weights else _file(settings.teacher),
            accept_teacher=accept_teacher,
            resumed=True,
            watcher=watcher or Watcher(),
            cancel=cancel,
        )
        return StudyRunner(spec, strategies, folder, options).execute()


def _file(given: str | Path | None) -> Path | None:
    return None if given is None else paths.expanded(given, "--teacher")
