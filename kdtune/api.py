"""The library's face: what the ``kdtune`` command calls, and what other programs may."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtune.catalog.builtin import STRATEGIES
from kdtune.data.sources import with_described_data
from kdtune.energy.carbon import Carbon, resolve_carbon
from kdtune.errors import ResultsError, SpecError, UsageError
from kdtune.execution.executor_choice import ExecutorChoice
from kdtune.execution.inspection_job import inspect_study
from kdtune.execution.study_runner import StudyRunner
from kdtune.planning.budget import Budget
from kdtune.planning.process_state import restored_process_state
from kdtune.planning.run_arguments import ALL, check_resources, validate_run_arguments
from kdtune.planning.study_plan import StudyPlan, make_plan
from kdtune.planning.trial_plan import check_unchanged, make_strategies, uses_teacher
from kdtune.results.folder import RUN_REMEDY, StudyFolder
from kdtune.results.study_result import StudyResult
from kdtune.results.watcher import Watcher
from kdtune.specs import load_study
from kdtune.specs.loading import StudyLike, not_installed
from kdtune.specs.study import Study
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
    """Run competing strategies of a study and charge each with what it used.

    Prints nothing unless a watcher does. A Ray that is initialised already is used and left as it was found.

    Args:
        study: A study's name, the path of its file, a table of the same form, or a loaded study.
        strategy: One strategy or label of the study, several, or ``all`` that the study lists.
        out: Folder for results; the study gets one of its name inside.
        repeats: Replaces the study's number of repeats.
        seed: Replaces the seed of the first repeat.
        epochs: Replaces the students' epochs; milestones and warm-up move in proportion.
        overrides: ``KEY=VALUE`` texts for any other key of the study.
        fresh: Put earlier results of these strategies aside.
        cpus_per_trial: Cores for each trial, and so torch's threads; results on a CPU depend on it.
        gpus_per_trial: Share of a GPU for each trial, at most 1; None gives one where the cluster has any.
        max_concurrent: Trials at a time at most; None leaves it to the cores and GPUs.
        address: Of a running Ray cluster.
        inline: Run the study in this very process, without Ray: one trial at a time, metered the same. A small study
            is over sooner, since no workers start. What this process does meanwhile is charged to the study.
        max_kwh: Stop cleanly when the command is charged so much, teacher and PUE included.
        max_co2_g: As ``max_kwh``, in grams of CO2 equivalent.
        data_dir: Folder with the data sets; ``$KDTUNE_DATA_DIR`` or ``~/.cache/kdtune/data`` without it.
        download: Fetch the data set where it is missing or damaged; without it no connection is made.
        teacher: A file with weights of the study's teacher, which is then not trained; a copy is kept in the cache.
        accept_teacher: Distil from the teacher that is given though its accuracy is at chance; without it the study
            ends before anything is trained.
        carbon: How energy becomes CO2; the world's average without it.
        watcher: Is told what happens.
        cancel: Set it in another thread to stop the study as Ctrl-C does, within about a second.

    Returns:
        The outcome; a study that was interrupted or has failed trials is one too.

    Raises:
        SpecError: The study or an argument is wrong; every fault found.
        DataError: The data set is missing, incomplete or damaged.
        ResultsExistError: There are results already, and ``fresh`` is not set.
        BusyError: Another process is at work in the folder.
        UsageError: A trial asks for more cores or GPUs than there are, a file holds no weights of the teacher or
            weights whose accuracy is at chance, or the cache cannot be written.
        MachineError: A disk, the cache or Ray gave way and there is no outcome to show; a resume goes on.
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
        run = StudyRunner(
            spec,
            made,
            folder,
            carbon or resolve_carbon(),
            watcher or Watcher(),
            paths.data_dir(data_dir),
            max_concurrent=max_concurrent,
            fresh=fresh,
            budget=budget,
            download=download,
            teacher_file=weights and weights.absolute(),
            cancel=cancel,
            accept_teacher=accept_teacher,
        )
        return run.execute(choice)


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
    """What :func:`run_study` would do with the same arguments, and what that is expected to take.

    Times a few steps of the real networks in this process, for seconds; runs no trial, starts no Ray, and writes
    nothing but decoded data into the cache. The energy of short studies is mostly Ray's, which is known only where
    something has run before under ``out`` on this machine.

    Args:
        study: As for :func:`run_study`, and so are all others.
        strategy: See there.
        out: Earlier results in this folder are looked at.
        repeats: See there.
        seed: See there.
        epochs: See there.
        overrides: See there.
        fresh: See there.
        cpus_per_trial: See there.
        gpus_per_trial: See there.
        max_concurrent: See there.
        address: Is not asked; the plan is one for this machine.
        inline: See there.
        max_kwh: See there; a plan that exceeds it says so.
        max_co2_g: As ``max_kwh``.
        data_dir: See there.
        download: See there.
        teacher: See there; is read, and not kept.
        carbon: See there.

    Raises:
        SpecError: The study or an argument is wrong; every fault found.
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


@restored_process_state()
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

    Args:
        study: As for :func:`run_study`, and so are the others.
        overrides: See there.
        data_dir: See there.
        teacher: See there.
        cpus_per_trial: See there.
        gpus_per_trial: See there.

    Returns:
        What was found; ``faults`` lists everything that would prevent the study from running.
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
    """Go on with a study that was interrupted: finished trials are not run again.

    Args:
        path: The study's results folder, or one strategy's inside it.
        address: Of a running Ray cluster.
        inline: As for :func:`run_study`; as the study was begun without it.
        data_dir: Folder with the data sets; where they were when the study began without it.
        download: Fetch the data set where it is missing or damaged; without it no connection is made.
        teacher: The file with the weights that the study was begun with, where neither the cache nor their old place
            holds them any more.
        accept_teacher: As for :func:`run_study`; a study that was begun so needs it no more.
        max_concurrent: Trials at a time at most; None leaves it to the cores and GPUs.
        max_kwh: Stop cleanly when the study has been charged so much in all its commands, what was put aside
            left out; without either limit those hold that the study has.
        max_co2_g: As ``max_kwh``, in grams of CO2 equivalent.
        watcher: Is told what happens.
        cancel: Set it in another thread to stop the study as Ctrl-C does, within about a second.

    Returns:
        The outcome of the strategies that the original command ran.

    Raises:
        ResultsError: There is no such folder, or it is damaged.
        BusyError: Another process is at work in it.
        BudgetReached: The study has used what it may use.
        UsageError: The weights that were given for the teacher are gone, the file holds others, or the cache cannot
            be written.
        DataError: The data set is missing, incomplete or damaged.
        MachineError: As for :func:`run_study`.
        RayError: Ray does not start.
        StudyInterrupted: As for :func:`run_study`.
    """
    limits = Budget(max_kwh, max_co2_g)
    if limits.faults():
        raise SpecError(limits.faults())
    given = paths.expanded(path).resolve()
    only = None
    if not (given / "run.toml").is_file() and (given / "study.toml").is_file():
        given, only = given.parent, given.name
    folder = StudyFolder(given)
    if not given.exists():
        raise ResultsError(f"{path}: there is no such folder; name a study's folder under results/")
    if not folder.run_toml.is_file():
        raise ResultsError(f"{path}: not a study's results folder (no run.toml); name the folder under results/")
    with folder.locked():
        asked = folder.read_run_document()
        spec = _as_begun(asked.study, folder)
        there = [found.path.name for found in folder.strategies()]
        names = [only] if only else list(dict.fromkeys([*asked.strategies, *there]))
        options = asked.options
        choice = ExecutorChoice(
            options.cpus_per_trial, options.gpus_per_trial, address, options.inline if inline is None else inline
        )
        if limits == Budget():
            limits = Budget(asked.budget.max_kwh, asked.budget.max_co2_g)
        place = paths.noted_data_dir(data_dir, asked.options.data_dir, folder.run_toml)
        spec = with_described_data(spec)
        weights = _file(teacher)
        if weights:
            _check_same(spec, weights)
        run = StudyRunner(
            spec,
            {name: make_strategies(spec, name) for name in names},
            folder,
            asked.carbon,
            watcher or Watcher(),
            place,
            max_concurrent=max_concurrent,
            fresh=False,
            budget=limits,
            resumed=True,
            download=download,
            teacher_file=weights.absolute() if weights else _file(asked.options.teacher),
            cancel=cancel,
            accept_teacher=accept_teacher,
        )
        return run.execute(choice)


def _as_begun(noted: dict[str, Any], folder: StudyFolder) -> Study:
    """The study, its strategies with the options that they were begun with.

    Raises:
        ResultsError: It is no study, or another one than its strategies were begun with.
    """
    try:
        study = load_study(noted, has_run=True)
    except SpecError as error:
        told = "; ".join(f"{fault.key}: {fault.problem}" for fault in error.faults)
        raise ResultsError(f"{folder.run_toml}: damaged (study: {told}); {RUN_REMEDY}") from None
    listed = dict(study.strategies)
    for strategy in folder.strategies():
        label, frozen = strategy.path.name, strategy.read_study()
        if label not in {*STRATEGIES, *frozen.strategies}:
            raise ResultsError(f"{strategy.path}: no strategy of {study.name} is called so; move the folder away")
        check_unchanged(strategy, study)
        if frozen.labelled(label) != study.labelled(label):
            listed[label] = frozen.strategies.get(label, {})
    begun = study.model_copy(update={"strategies": listed})
    if faults := not_installed(begun, str(folder.run_toml)):
        told = "; ".join(f"{fault.key}: {fault.problem}" for fault in faults)
        raise ResultsError(f"{folder.path}: cannot be gone on with here ({told}); install what it names")
    return begun


def _file(given: str | Path | None) -> Path | None:
    return None if given is None else paths.expanded(given, "--teacher")


def _check_same(study: Study, weights: Path) -> None:
    """Refuse other weights than the study was begun with."""
    from kdtune.artifacts.given_teacher import read_same

    if study.teacher_weights is None:
        raise UsageError(
            f"--teacher {weights}: the study trains its teacher; to use these weights begin another, with --out DIR"
        )
    read_same(study, weights)
