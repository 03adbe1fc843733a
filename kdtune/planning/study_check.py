"""Checks of a study before energy is spent: everything is loaded, and single training steps are taken."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from kdtune.artifacts.given_teacher import with_given_teacher
from kdtune.artifacts.student_data import use_stand_ins
from kdtune.artifacts.training_context import TrainingContext
from kdtune.data.sources import available_images, check_repeatable, describe_data
from kdtune.energy.operation_counts import count_operations
from kdtune.errors import Fault, KdtuneError, SpecError
from kdtune.methods.loading import loss_of
from kdtune.models.building import check_options
from kdtune.planning.first_rounds import first_rounds
from kdtune.planning.step_checks import CheckedStep, check_network_of, check_recipes, check_steps, quantisation_faults
from kdtune.planning.study_remarks import study_remarks
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.loading import StudyLike, load_with_faults, loadable_components, place_of, task_name
from kdtune.specs.split_sizes import split_problems
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.paths import DataDir
from kdtune.training.batch_norm_checks import check_batches


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
    faults: list[Fault] = []
    try:
        study, faults = load_with_faults(source, overrides=overrides)
    except SpecError as error:
        faults = list(error.faults)
    components = loadable_components(source, overrides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch and fvcore
        task = task_name(source, overrides)
        found = _check_parts(study, task, faults, components, place_of(source), place, teacher, device, threads)
    found.faults = list(dict.fromkeys(found.faults))
    return found


def _check_parts(
    study: Study | None,
    task: str,
    faults: Sequence[Fault],
    components: Mapping[str, Component],
    where: str,
    place: DataDir,
    teacher: Path | None,
    device: torch.device,
    threads: int,
) -> StudyCheck:
    found = StudyCheck(faults=list(faults))
    with _collected(found, where, "dataset"):
        if "dataset" in components:
            found.data = describe_data(components["dataset"], place)
            check_repeatable(components["dataset"], found.data)
    for key in ("teacher", "student"):
        if key in components:
            with _collected(found, where, key):
                if found.data:
                    found.networks[key] = _network_facts(components[key], found.data, study, task)
                else:  # the sizes of its input and output are unknown
                    check_options(components[key])
    if "loss" in components:
        with _collected(found, where, "loss"):
            loss_of(components["loss"])
    if study is None:
        return found
    labels = [label for label in study.strategies if not _names(found, f"strategies.{label}")]
    rounds, wrong = first_rounds(study, labels, where)
    found.faults += wrong
    if found.data is None or _names(found, "task"):
        return found
    described_study = study if study.dataset_info else study.with_data_info(found.data)
    found.remarks += study_remarks(study, labels)
    problems: dict[str, str] = {}
    with _collected(found, where, "dataset"):
        images = available_images(described_study, place)
        problems = split_problems(images, study.validation, study.data.train_limit)
        found.faults += [Fault(where, key, problem) for key, problem in problems.items()]
        if not problems and len(found.networks) == 2:
            check_batches(described_study, images, trains_teacher=study.teacher_weights is None)
    if teacher:
        with _collected(found, where, "teacher"):
            described_study = with_given_teacher(described_study, teacher)
    if not faults:
        found.study = described_study
    if not problems:
        with _collected(found, where, "task"):
            context = TrainingContext(described_study, device, threads, str(place.path))
            with _collected(found, where, "teacher"):
                use_stand_ins(context)
            with _collected(found, where, ""):
                _check_steps(found, context, rounds, where)
    return found


def _check_steps(
    found: StudyCheck, context: TrainingContext, rounds: Mapping[str, Sequence[Suggestion]], where: str
) -> None:
    """Check loss and temperatures on logits, and take single steps if nothing is wrong so far."""
    if not _names(found, "loss"):
        networks = len(found.networks) == 2 and not _names(found, "teacher", "student", "training.batch_size")
        found.faults += check_recipes(context, rounds, where, networks=networks)
    if not found.faults:
        found.faults += quantisation_faults(context, where)
    if not found.faults:
        found.steps, faults, remarks = check_steps(context, where, rounds)
        found.faults += faults
        found.remarks += remarks


def _names(found: StudyCheck, *keys: str) -> bool:
    """Return whether a fault names one of some keys, or a key below it."""
    return any(fault.key == key or fault.key.startswith(f"{key}.") for fault in found.faults for key in keys)


def _network_facts(component: Component, info: DataInfo, study: Study | None, task: str) -> NetworkFacts:
    """Check a network and return what is known of it; without a study, as one for a built-in task.

    Raises:
        UsageError: See :meth:`kdtune.tasks.task.Task.check_network`; or its operations cannot be counted.
    """
    network = check_network_of(component, info, study, task)
    counted = count_operations(network, *info.shape, name=str(component))
    parameters = sum(one.numel() for one in network.parameters())
    return NetworkFacts(str(component), parameters, counted.macs, counted.uncounted)


@contextmanager
def _collected(found: StudyCheck, where: str, key: str) -> Iterator[None]:
    """Add the errors of the body to the faults, unless they are known already."""
    try:
        yield
    except SpecError as error:
        # A task does not know the file of the study.
        found.faults += [replace(one, where=where) if one.where == "study" else one for one in error.faults]
    except KdtuneError as error:
        if all(one.problem != str(error) for one in found.faults):
            found.faults.append(Fault(where, key, str(error)))
