"""Planning of a study without running it, for ``--dry-run``."""

import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from kdtune.data.sources import available_images
from kdtune.energy.carbon import Carbon
from kdtune.energy.flops import Workload
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.errors import ResultsExistError
from kdtune.forecast.earlier_strategies import find_completed
from kdtune.forecast.strategy_estimate import TEACHER_WORK, WorkKind
from kdtune.planning.budget import Budget, BudgetWatch
from kdtune.planning.estimates import Estimator
from kdtune.planning.inspection import Inspection
from kdtune.planning.predecessors import check_predecessors
from kdtune.planning.process_state import restored_process_state
from kdtune.planning.resources import Resources, cluster_address, gpus_by_default
from kdtune.planning.session_estimate import session_estimate
from kdtune.planning.step_kinds import student_work
from kdtune.planning.study_plan import StudyPlan
from kdtune.planning.study_remarks import study_remarks
from kdtune.planning.trial_plan import frozen_cost, remade, settled_strategies, uses_teacher
from kdtune.planning.usable_cores import usable_cores
from kdtune.results.folder import StudyFolder
from kdtune.specs.split_sizes import check_split
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.paths import DataDir
from kdtune.strategies.base import Strategy
from kdtune.training.batch_norm_checks import check_batches


def make_plan(
    study: Study,
    strategies: dict[str, list[Strategy]],
    folder: StudyFolder,
    carbon: Carbon,
    budget: Budget,
    data: DataDir,
    inspect: Callable[..., Inspection],
    *,
    cpus: float,
    gpus: float | None,
    max_concurrent: int | None,
    address: str | None,
    inline: bool,
    fresh: bool,
    download: bool,
) -> StudyPlan:
    """Plan a study without running it: time a few steps in this process, write no results, and do not start Ray.

    Args:
        study: The study.
        strategies: For each label, the strategy of every repeat, before its first round.
        folder: Folder for the results.
        carbon: Conversion of energy to CO2.
        budget: Limits of the study.
        data: Folder with the data sets.
        inspect: Inspects the study in this process; called like :func:`kdtune.execution.inspection_job.inspect_study`.
        cpus: Cores for each trial.
        gpus: Share of a GPU for each trial, at most 1; None for one GPU if there are any.
        max_concurrent: Largest number of trials at the same time.
        address: Address of the cluster on which the study would run.
        inline: Whether the study would run in the process of its command, one trial at a time.
        fresh: Whether earlier results would be put aside.
        download: Whether to download the data set if it is missing.

    Raises:
        DataError: The data set is missing, incomplete or damaged.
        UsageError: A trial needs more cores or GPUs than there are.
    """
    machine = _machine(cpus, gpus, address, inline=inline)
    planned, free_remarks = _with_known_costs(study, strategies, folder, fresh=fresh)
    images = available_images(planned, data, download=download)
    check_split(str(planned.dataset), images, planned.validation, planned.data.train_limit)
    with_teacher = any(uses_teacher(planned, name) for name in strategies)
    check_batches(planned, images, trains_teacher=with_teacher and not planned.teacher_weights)
    kinds = [*student_work(planned, strategies), *(TEACHER_WORK if with_teacher else ())]
    inspection = _inspect_quietly(inspect, planned, machine, data, kinds)
    settled = inspection.settle(planned)
    plan = _estimated_plan(
        settled,
        remade(study, settled, strategies),
        folder,
        carbon,
        inspection,
        machine,
        slots=min(machine.workers, max_concurrent or sys.maxsize),
        executor="inline" if inline else "ray",
    )
    remarks = (*machine.remarks, *free_remarks, *_inspection_remarks(settled, inspection, with_teacher=with_teacher))
    return _with_budget_remark(replace(plan, remarks=(*remarks, *plan.remarks)), budget)


def _inspect_quietly(
    inspect: Callable[..., Inspection], study: Study, machine: "_Machine", data: DataDir, kinds: list[WorkKind]
) -> Inspection:
    """Inspect a study in this process, and restore the state of the process afterwards."""
    with restored_process_state(uses_torch=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of other libraries, which are not shown in a run either
        return inspect(study, machine.resources, str(data.path), machine.hardware, kinds, None, machine.workers)


@dataclass(frozen=True)
class _Machine:
    """This machine as a study would use it.

    Attributes:
        hardware: Its hardware, without GPUs if trials use none.
        resources: Resources of each trial.
        workers: Number of trials that fit at the same time.
        remarks: Remarks for the user.
    """

    hardware: Hardware
    resources: Resources
    workers: int
    remarks: tuple[str, ...]


def _machine(cpus: float, gpus: float | None, address: str | None, *, inline: bool) -> _Machine:
    """Determine the resources of each trial; raise UsageError if this machine does not have them."""
    hardware = NodeSensors().hardware()
    here = {"CPU": float(usable_cores()), "GPU": float(len(hardware.gpus))}
    remarks: list[str] = []
    cluster = None if inline else cluster_address(address)
    if gpus is None:
        gpus = gpus_by_default([here], hardware.gpus, is_own=cluster is None, tell=remarks.append)
    resources = Resources(cpus, gpus)
    if not resources.gpus:  # a run on CPUs ignores GPUs as well
        hardware = replace(hardware, gpus={}, gpu_quality={})
    if cluster is None:
        resources.check_fit([here])
    else:
        remarks.append(f"The cluster at {cluster} was not queried: the figures are for this machine alone.")
    return _Machine(hardware, resources, 1 if inline else resources.slots([here]), tuple(remarks))


def _with_known_costs(
    study: Study, strategies: Collection[str], folder: StudyFolder, *, fresh: bool
) -> tuple[Study, list[str]]:
    """Return the study with the costs that earlier strategies have frozen, and a remark if results are in the way."""
    kept = [one for one in folder.strategies() if not (fresh and one.path.name in strategies)]
    study = settled_strategies(study, frozen_cost(kept))
    check_predecessors(study, strategies, folder, fresh=fresh)
    try:
        folder.check_free(study, list(strategies), fresh=fresh)
    except ResultsExistError as error:
        return study, [str(error)]
    return study, []


def _estimated_plan(
    study: Study,
    strategies: dict[str, list[Strategy]],
    folder: StudyFolder,
    carbon: Carbon,
    inspection: Inspection,
    machine: _Machine,
    *,
    slots: int,
    executor: str,
) -> StudyPlan:
    """Estimate the cost of all strategies, the teacher, its logits and the images made from it."""
    assert inspection.timings is not None
    earlier = find_completed(folder.path.parent, machine.hardware, executor)
    session = session_estimate(earlier)
    estimator = Estimator(
        study,
        Workload(**inspection.workload),
        inspection.timings,
        machine.hardware,
        machine.resources,
        slots,
        earlier,
        session,
        inspection.logit_stores,
        inspection.compilations,
        inspection.synthesis,
        inspection.of_teacher,
    )
    with_teacher = any(uses_teacher(study, name) for name in strategies)
    return StudyPlan(
        study=study,
        folder=folder.path,
        suggestions={name: _suggestions(made) for name, made in strategies.items()},
        estimates=[
            estimator.strategy(name, sum(one.expected_trials() for one in made)) for name, made in strategies.items()
        ],
        teacher=estimator.teacher(missing=inspection.missing_teachers) if with_teacher else None,
        logits=estimator.shared.logits if with_teacher and inspection.logit_stores else None,
        compiled_uj={name: estimator.compiled_uj(name) or 0 for name in strategies},
        images=estimator.shared.images,
        students={name: before for name in strategies if (before := estimator.before(name))},
        session=session,
        slots=slots,
        carbon=carbon,
        remarks=(*inspection.remarks, *study_remarks(study, strategies)),
    )


def _inspection_remarks(study: Study, inspection: Inspection, *, with_teacher: bool) -> Iterator[str]:
    """Yield remarks about the energy of a distillation, and about a given teacher at chance level."""
    if (multiple := inspection.energy_multiple) is not None:
        yield (
            f"According to steps timed just now, a distillation takes {multiple:.2f} times the training energy of the "
            "student alone. A run times its own steps and keeps the factor that it measures."
        )
    if with_teacher and study.teacher_weights and (problem := inspection.chance_problem(study)):
        yield f"A run will stop before it trains unless it has --accept-teacher: {problem}."


def _with_budget_remark(plan: StudyPlan, budget: Budget) -> StudyPlan:
    """Return the plan, with a remark if the study would exceed its budget."""
    watch = BudgetWatch(budget, plan.carbon, dedicated=plan.study.is_dedicated)
    if plan.total_uj is not None and (excess := watch.excess({"trials": plan.total_uj})):
        remark = "{} would stop the study before its end: it is expected to need {}.".format(*excess)
        return replace(plan, remarks=(*plan.remarks, remark))
    return plan


def _suggestions(made: list[Strategy]) -> list[list[Suggestion]] | None:
    """Return the suggestions of each repeat; None if they depend on outcomes."""
    planned = [found for one in made if (found := one.planned()) is not None]
    return planned if len(planned) == len(made) else None
