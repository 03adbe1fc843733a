"""Checks of a study before energy is spent: everything is loaded, and single training steps are taken."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from kdtune.artifacts.given_teacher import with_given_teacher
from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import MODELS, TASKS
from kdtune.data.sources import available_images, described
from kdtune.energy.operation_counts import count_operations
from kdtune.errors import Fault, KdtuneError, SpecError
from kdtune.methods.loading import loss_of
from kdtune.models.output_check import check_network
from kdtune.planning.study_remarks import study_remarks
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.loading import StudyLike, load_study, loadable_components, place_of
from kdtune.specs.numerics import Numerics
from kdtune.specs.split_sizes import split_problems
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import Recipe
from kdtune.storage.paths import DataDir
from kdtune.tasks.loading import task_of
from kdtune.training.batch_norm_checks import check_batches
from kdtune.training.resolution import resolved_recipe


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a network once it has been built.

    Attributes:
        network: Its name and options.
        parameters: Number of weights.
        macs: Multiply-adds of a forward pass for one image.
        uncounted: Names of the operators that count as 0 although they may cost much.
    """

    network: str
    parameters: int
    macs: int
    uncounted: tuple[str, ...]


@dataclass(frozen=True)
class CheckedStep:
    """One training step that was taken.

    Attributes:
        tau: Temperature; None under a loss without a teacher.
        precision: ``float32`` or ``bfloat16``.
        loss: In the loss's own unit.
        memory_bytes: Greatest memory allocated on a GPU; None on a CPU.
    """

    tau: float | None
    precision: str
    loss: float
    memory_bytes: int | None


@dataclass
class StudyCheck:
    """Outcome of a check.

    Attributes:
        study: The study with its data set described; None if its file has faults.
        data: Sizes of the data set; None if it could not be read.
        networks: By ``teacher`` and ``student``.
        steps: Training steps that were taken.
        faults: Everything that would prevent the study from running.
        remarks: Notes for the user that prevent nothing.
    """

    study: Study | None = None
    data: DataInfo | None = None
    networks: dict[str, NetworkFacts] = field(default_factory=dict)
    steps: list[CheckedStep] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check_study(
    source: StudyLike,
    overrides: Sequence[str],
    place: DataDir,
    teacher: Path | None,
    device: torch.device,
    threads: int,
) -> StudyCheck:
    """Check a study as far as its parts can be checked, each whatever is wrong with the others.

    Args:
        source: The study.
        overrides: ``KEY=VALUE`` texts, as given to ``--set``.
        place: Folder with the data sets.
        teacher: File with weights of the teacher; None for a teacher that would be trained.
        device: Device on which the study would train.
        threads: CPU threads of a training.
    """
    study: Study | None = None
    faults: tuple[Fault, ...] = ()
    try:
        study = load_study(source, overrides=overrides)
    except SpecError as error:
        faults = error.faults
    components = loadable_components(source, overrides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch and fvcore
        found = _check_parts(study, components, place_of(source), place, teacher, device, threads)
    found.faults = list(dict.fromkeys([*faults, *found.faults]))
    return found


def _check_parts(
    study: Study | None,
    components: Mapping[str, Component],
    where: str,
    place: DataDir,
    teacher: Path | None,
    device: torch.device,
    threads: int,
) -> StudyCheck:
    found = StudyCheck()
    with _collected(found, where, "dataset"):
        found.data = described(components["dataset"], place) if "dataset" in components else None
    for key in ("teacher", "student"):
        if key in components:
            with _collected(found, where, key):
                if found.data:
                    found.networks[key] = _network_facts(components[key], found.data, study)
                else:  # the sizes of its input and output are unknown
                    MODELS.load(components[key].name, components[key].digest)
    if "loss" in components:
        with _collected(found, where, "loss"):
            loss_of(components["loss"])
    if study is None or found.data is None:
        return found
    found.study = study if study.dataset_info else study.with_data_info(found.data)
    found.remarks += study_remarks(study, study.strategies)
    with _collected(found, where, "dataset"):
        images = available_images(found.study, place)
        problems = split_problems(images, study.validation, study.data.train_limit)
        found.faults += [Fault(where, key, problem) for key, problem in problems.items()]
        if not problems and len(found.networks) == 2:
            check_batches(found.study, images, trains_teacher=study.teacher_weights is None)
    if teacher:
        with _collected(found, where, "teacher"):
            found.study = with_given_teacher(found.study, teacher)
    if not found.faults:
        with _collected(found, where, ""):
            context = TrainingContext(found.study, device, threads, str(place.path))
            steps, faults, remarks = check_steps(context, where)
            found.steps, found.faults = steps, [*found.faults, *faults]
            found.remarks += remarks
    return found


def _network_facts(component: Component, info: DataInfo, study: Study | None) -> NetworkFacts:
    """Check a network and return what is known of it; without a study, as one for classification.

    Raises:
        UsageError: See :func:`kdtune.models.output_check.check_network`; or its operations cannot be counted.
    """
    network = _checked(component, info, study)
    counted = count_operations(network, *info.shape, name=str(component))
    parameters = sum(one.numel() for one in network.parameters())
    return NetworkFacts(str(component), parameters, counted.macs, counted.uncounted)


def _checked(component: Component, info: DataInfo, study: Study | None) -> torch.nn.Module:
    """Check a network for the task of a study; see :func:`kdtune.models.output_check.check_network`."""
    if study is None or study.task.name in TASKS:
        return check_network(component, info)
    task = task_of(study.with_data_info(info))
    return check_network(component, info, lambda: task.network(component, info.shape), task.output_size)


def check_own_components(context: TrainingContext) -> None:
    """Check the networks and the loss of a study by single steps, if some of them are not built in.

    Raises:
        UsageError: A network cannot be built or does not fit the data set.
        SpecError: A training step fails or its loss is not a finite number.
    """
    study = context.study
    if not any(one.digest for one in (study.task, study.teacher, study.student, study.loss)):
        return
    for network in (study.teacher, study.student):
        _checked(network, study.data_info, study)
    _, faults, _ = check_steps(context, f"study {study.name}")
    if faults:
        raise SpecError(faults)


def check_steps(context: TrainingContext, where: str) -> tuple[list[CheckedStep], list[Fault], list[str]]:
    """Take a training step at each extreme temperature, in each precision that the study may use.

    Args:
        context: The study's training context; it is not changed, except that its data are loaded.
        where: The study's file, for messages.

    Returns:
        The steps, the faults that they showed, and remarks.
    """
    study = context.study
    steps: list[CheckedStep] = []
    faults: list[Fault] = []
    remarks: list[str] = []
    precisions = ("float32", "bfloat16") if study.numerics.precision == "auto" else (study.numerics.precision,)
    for precision in precisions:
        numerics = Numerics(precision=precision, memory_layout="contiguous", compile="off")
        here = context.with_study(study.model_copy(update={"numerics": numerics, "teacher_logits": "live"}))
        for suggestion in _extremes(study):
            recipe = resolved_recipe(study, suggestion)
            tau = suggestion.values.get("tau") if recipe.needs_teacher else None
            named = f"tau {tau:g} in {precision}" if tau is not None else precision
            try:
                step, untrained = _take_step(here, recipe, tau, precision)
            except KdtuneError:
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                faults.append(Fault(where, "loss", f"a training step at {named} fails: {reason}"))
                continue
            steps.append(step)
            if not math.isfinite(step.loss):
                problem = f"{study.loss} is {step.loss} at {named}; narrow the search space, or set numerics.precision"
                faults.append(Fault(where, "loss", problem))
            if untrained and not remarks:
                names = ", ".join(untrained[:3]) + (f" and {len(untrained) - 3} more" if len(untrained) > 3 else "")
                remarks.append(f"student {study.student}: no gradient reaches {names}: they are not trained")
    return steps, faults, remarks


def _take_step(
    context: TrainingContext, recipe: Recipe, tau: float | None, precision: str
) -> tuple[CheckedStep, list[str]]:
    """Take one step; also return the names of the parameters that no gradient reaches."""
    is_gpu = context.device.type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats(context.device)
    distiller = context.training(recipe, 0, context.untrained_teacher_logits() if recipe.needs_teacher else None)
    loss = float(next(distiller.steps()))
    changed = dict(distiller.model.named_parameters())
    if any(not bool(torch.isfinite(one).all()) for one in changed.values()):
        loss = math.nan
    memory = torch.cuda.max_memory_allocated(context.device) if is_gpu else None
    return CheckedStep(tau, precision, loss, memory), [name for name, one in changed.items() if one.grad is None]


def _extremes(study: Study) -> list[Suggestion]:
    """Return suggestions with the lowest and the highest temperature of the search space."""
    low, high = study.search_space["tau"].bounds
    return [Suggestion(values={"tau": tau}) for tau in dict.fromkeys((low, high))]


@contextmanager
def _collected(found: StudyCheck, where: str, key: str) -> Iterator[None]:
    """Add the errors of the body to the faults."""
    try:
        yield
    except SpecError as error:
        found.faults += error.faults
    except KdtuneError as error:
        found.faults.append(Fault(where, key, str(error)))
