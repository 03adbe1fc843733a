"""Checks of a study's temperatures, loss and networks by single steps on the first batch of its data."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import DEFAULT_TASK, TASKS
from kdtune.catalog.catalog import cause_of
from kdtune.errors import Fault, KdtuneError, SpecError, UsageError
from kdtune.models.output_check import check_network
from kdtune.planning.first_rounds import first_rounds, foreign_labels
from kdtune.planning.logit_checks import NamedRecipe, check_on_logits, random_logits, untrained_logits
from kdtune.planning.predecessors import missing_packages, predecessor
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.numerics import Numerics
from kdtune.specs.quantisation import Quantisation
from kdtune.specs.study import Setting, Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import Recipe
from kdtune.tasks.loading import task_of
from kdtune.tasks.task import Task
from kdtune.training.resolution import resolved_recipe


@dataclass(frozen=True)
class CheckedStep:
    """One training step that was taken.

    Attributes:
        tau: Temperature; None under a loss without a teacher.
        precision: ``float32`` or ``bfloat16``.
        loss: Value of the loss, in its own unit.
        memory_bytes: Greatest memory allocated on a GPU; None on a CPU.
    """

    tau: float | None
    precision: str
    loss: float
    memory_bytes: int | None


def check_own_components(context: TrainingContext) -> None:
    """Check the components of a study that are not built in by single steps, if there are any.

    Raises:
        SpecError: A network cannot be built or does not fit the data set; a strategy, a temperature or the loss cannot
            be used; or a training step fails.
    """
    study, where = context.study, f"study {context.study.name}"
    labels = foreign_labels(study, study.strategies)
    own = any(one.digest for one in (study.task, study.teacher, study.student, study.loss))
    if not own and not labels:
        return
    faults = network_faults(study, where) if own else []
    faults += [] if faults else quantisation_faults(context, where)
    fits = not faults
    rounds, wrong = first_rounds(study, labels, where)
    faults += [*wrong, *check_recipes(context, rounds, where, networks=fits)]
    if own and not faults:
        faults += check_steps(context, where, rounds)[1]
    if faults:
        raise SpecError(faults)


def network_faults(setting: Setting, where: str) -> list[Fault]:
    """Return a fault for each network that cannot be built or does not fit the data set.

    Args:
        setting: The study, or the setting that its trainings share.
        where: The study's file, for messages.
    """
    faults = []
    for key, network in {"teacher": setting.teacher, "student": setting.student}.items():
        try:
            check_network_of(network, setting.data_info, setting)
        except UsageError as error:
            faults.append(Fault(where, key, str(error)))
    return faults


def quantisation_faults(context: TrainingContext, where: str) -> list[Fault]:
    """Return a fault if a strategy of the study quantises its student, and that is not possible.

    A network of kdtune's own is not checked, since all of them can be quantised.

    Args:
        context: The study's training context.
        where: The study's file, for messages.
    """
    study = context.study
    labels = [label for label in study.strategies if predecessor(study, label)]
    if not labels or not study.student.digest or missing_packages(study, labels):
        return []
    from kdtune.quantisation.networks import PreparedStudent

    try:
        student = context.task.network(study.student, study.data_info.shape)
        PreparedStudent(student, Quantisation(kind="ptq"), study.data_info.shape)
    except UsageError as error:
        problem = f"model {study.student} {error}; leave out the strategies {', '.join(labels)}"
        return [Fault(where, "student", problem)]
    return []


def check_network_of(
    component: Component, info: DataInfo, study: Setting | None, task_name: str = DEFAULT_TASK
) -> torch.nn.Module:
    """Check a network for the task of a study; see :meth:`kdtune.tasks.task.Task.check_network`.

    Args:
        component: The network.
        info: The data set.
        study: The study; None if it could not be read.
        task_name: The built-in task that is assumed if the study could not be read.
    """
    name = study.task.name if study else task_name
    if name in TASKS:
        kind: type[Task] = TASKS.load(name)
        return kind.check_network(component, info)
    assert study is not None
    task = task_of(study.with_data_info(info))
    return check_network(component, info, lambda: task.network(component, info.shape), task.output_size)


def check_recipes(
    context: TrainingContext, rounds: Mapping[str, Sequence[Suggestion]], where: str, *, networks: bool
) -> list[Fault]:
    """Check the loss of a study and everything that its strategies suggest on batches of logits.

    Args:
        context: The study's training context.
        rounds: Suggestions by label.
        where: The study's file, for messages.
        networks: Whether the networks can be used; otherwise random logits are used alone.
    """
    study = context.study
    batches = [random_logits(context)]
    if networks:
        batches = [*(untrained_logits(context, precision) for precision in _precisions(study)), *batches]
    named = []
    with suppress(SpecError):  # reported when the study was loaded
        named = [NamedRecipe(resolved_recipe(study, one), "loss", "search_space.tau") for one in _extremes(study)]
    for label, suggestions in rounds.items():
        key = f"strategies.{label}"
        for one in suggestions:
            with suppress(KdtuneError):  # reported with the first round
                named.append(NamedRecipe(resolved_recipe(study, one), key if one.method else "loss", key))
    return check_on_logits(context, named, batches, where)


def check_steps(
    context: TrainingContext, where: str, rounds: Mapping[str, Sequence[Suggestion]]
) -> tuple[list[CheckedStep], list[Fault], list[str]]:
    """Take a training step at each extreme temperature, in each precision that the study may use.

    Temperatures that look ahead ask more of a network than its gradient, so each takes a step of its own.

    Args:
        context: The study's training context; it is not changed, except that its data are loaded.
        where: The study's file, for messages.
        rounds: Suggestions by label of the strategies that may look ahead.

    Returns:
        The steps, the faults that they showed, and remarks.
    """
    study = context.study
    steps: list[CheckedStep] = []
    faults: list[Fault] = []
    remarks: list[str] = []
    for precision in _precisions(study):
        numerics = Numerics(precision=precision, memory_layout="contiguous", compile="off")
        here = context.with_study(study.model_copy(update={"numerics": numerics, "teacher_logits": "live"}))
        faults += _look_ahead_faults(here, rounds, precision, where)
        for suggestion in _extremes(study):
            recipe = resolved_recipe(study, suggestion)
            tau = suggestion.values.get("tau") if recipe.needs_teacher else None
            named = f"tau {tau:g} in {precision}" if tau is not None else precision
            try:
                step, untrained, diverged = _take_step(here, recipe, tau, precision)
            except KdtuneError:
                raise
            except Exception as error:  # of the network, since the loss has been checked on its own
                problem = f"model {study.student}: a training step at {named} fails: {cause_of(error)}"
                return steps, [*faults, Fault(where, "student", problem)], remarks
            steps.append(step)
            if not math.isfinite(step.loss):
                problem = f"{study.loss} is {step.loss} at {named}; narrow the search space, or set numerics.precision"
                faults.append(Fault(where, "loss", problem))
            elif diverged:
                at = f"after one step at {named}"
                problem = f"model {study.student}: {diverged[0]} is not finite {at}; lower training.learning_rate"
                faults.append(Fault(where, "student", problem))
            if untrained and not remarks:
                names = ", ".join(untrained[:3]) + (f" and {len(untrained) - 3} more" if len(untrained) > 3 else "")
                remarks.append(f"student {study.student}: no gradient reaches {names}: they are not trained")
    return steps, faults, remarks


def _look_ahead_faults(
    context: TrainingContext, rounds: Mapping[str, Sequence[Suggestion]], precision: str, where: str
) -> list[Fault]:
    """Take a step for each strategy that looks ahead, and return a fault for each one that cannot."""
    faults = []
    for label, suggestions in rounds.items():
        recipe = resolved_recipe(context.study, suggestions[0])
        if recipe.meta is not None:
            try:
                _take_step(context, recipe, None, precision)
            except KdtuneError as error:
                faults.append(Fault(where, f"strategies.{label}", f"model {context.study.student}: {error}"))
    return faults


def _precisions(study: Study) -> tuple[str, ...]:
    """Return the precisions in which a study may train."""
    precision = study.numerics.precision
    return ("float32", "bfloat16") if precision == "auto" else (precision,)


def _take_step(
    context: TrainingContext, recipe: Recipe, tau: float | None, precision: str
) -> tuple[CheckedStep, list[str], list[str]]:
    """Take one step; also name the parameters that no gradient reaches, and those that are not finite afterwards."""
    is_gpu = context.device.type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats(context.device)
    distiller = context.training(recipe, 0, context.untrained_teacher_logits() if recipe.needs_teacher else None)
    loss = float(next(distiller.steps()))
    changed = dict(distiller.model.named_parameters())
    untrained = [name for name, one in changed.items() if one.grad is None]
    diverged = [name for name, one in changed.items() if not bool(torch.isfinite(one).all())]
    memory = torch.cuda.max_memory_allocated(context.device) if is_gpu else None
    return CheckedStep(tau, precision, loss, memory), untrained, diverged


def _extremes(study: Study) -> list[Suggestion]:
    """Return suggestions with the lowest and the highest temperature of the search space."""
    low, high = study.search_space["tau"].bounds
    return [Suggestion(values={"tau": tau}) for tau in dict.fromkeys((low, high))]
