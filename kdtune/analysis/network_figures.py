"""Figures for which chosen models are run on the test images again: logits, Grad-CAM, confusion matrices, boxes.

Corresponds to PLOS ONE 2023, e0285668, Figure 4. Networks run in float32, whatever the precision of the study, so that
gradients are exact.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdtune.analysis.result_context import context_of
from kdtune.artifacts.teacher_record import read_record
from kdtune.catalog.foreign_calls import foreign_call
from kdtune.errors import KdtuneError
from kdtune.planning.process_state import restored_process_state
from kdtune.planning.resources import Resources
from kdtune.results.folder import StrategyFolder
from kdtune.results.frozen_study import ResolvedSettings
from kdtune.storage.paths import cache_dir
from kdtune.tasks.model_figures import DrawsNetworks, ModelFigure

if TYPE_CHECKING:
    import torch

    from kdtune.artifacts.training_context import TrainingContext

_CACHE = "set KDTUNE_CACHE_DIR to the cache that contains it"


@dataclass(frozen=True)
class NetworkFigures:
    """Figures of networks.

    Attributes:
        figures: The figures.
        missing: What could not be shown, and how to obtain it.
    """

    figures: tuple[ModelFigure, ...] = ()
    missing: tuple[str, ...] = ()


def network_figures(
    students: Mapping[str, StrategyFolder], teacher: str, data_dir: str | Path | None = None
) -> NetworkFigures:
    """Run the teacher and the first repeat's students of a study on its test images.

    Args:
        students: Folders of strategies of one study, by the names that the figures show.
        teacher: Name of the teacher in the figures.
        data_dir: Folder of the data sets; by default the one that the study used.
    """
    folder = next(iter(students.values()))
    try:
        with restored_process_state(uses_torch=True):
            study, resolved = folder.study_here(), folder.rerun_settings()
            context = _context(folder, resolved, data_dir)
            networks, missing = _networks(context, students, teacher, resolved)
            if not networks:
                return NetworkFigures(missing=tuple(missing))
            task: DrawsNetworks | object = context.task
            draw = getattr(task, "figures", None)
            if draw is None:
                missing.append(f"The task {study.task.name} has no figures of networks, which Figure 4 would show.")
                return NetworkFigures(missing=tuple(missing))
            with foreign_call(f"task {study.task.name}", "figures()"):
                found = _checked(draw(networks, context.splits.test, context.arrays.class_names))
    except KdtuneError as error:
        return NetworkFigures(missing=(f"Figures of networks (the paper's Figure 4) are not shown: {error}",))
    figures = tuple(one for one in found if isinstance(one, ModelFigure))
    return NetworkFigures(figures, (*missing, *(one for one in found if isinstance(one, str))))


def _checked(found: object) -> list[ModelFigure | str]:
    """Return what a task's ``figures()`` returned, if it is a list of figures and sentences."""
    if not isinstance(found, list):
        raise TypeError(f"it returned {type(found).__name__} in place of a list of figures")
    for one in found:
        if not isinstance(one, ModelFigure | str):
            raise TypeError(f"its list has an entry of the type {type(one).__name__}, which is no figure")
    return found


def _context(folder: StrategyFolder, resolved: ResolvedSettings, data_dir: str | Path | None) -> "TrainingContext":
    """Return the data and networks of a study in float32, on a GPU if there is one."""
    import torch

    from kdtune.artifacts.student_data import use_stand_ins
    from kdtune.training.numerics import Arithmetic

    resources = Resources(resolved.cpus_per_trial, 1.0 if torch.cuda.is_available() else 0.0)
    context = context_of(folder, folder.study_here(), resolved, resources, data_dir, download=False)
    context.arithmetic = Arithmetic(context.device)
    if context.study.synthesis and read_record(context.teacher_folder) is None:  # it has the images' normalisation
        raise KdtuneError(f"the teacher is not in the cache ({context.teacher_folder}); {_CACHE}")
    use_stand_ins(context)  # the test images are the same, and no image is made from the teacher
    return context


def _networks(
    context: "TrainingContext", students: Mapping[str, StrategyFolder], teacher: str, resolved: ResolvedSettings
) -> "tuple[dict[str, torch.nn.Module], list[str]]":
    """Return the networks by name, and sentences about those that are missing."""
    from kdtune.analysis.inference_passes import ready_student, ready_teacher

    networks: dict[str, torch.nn.Module] = {}
    missing = []
    teacher_folder = cache_dir() / "teachers" / resolved.teacher
    if read_record(teacher_folder) is None:
        missing.append(f"The teacher is not shown, since it is not in the cache ({teacher_folder}); {_CACHE}.")
    else:
        networks[teacher] = ready_teacher(context, teacher_folder)
    for name, folder in students.items():
        seed = context.study.seed
        file = folder.weights(seed, seed)
        if folder.int8_weights(seed, seed).is_file():  # beside it, the weights are those of the float student
            missing.append(f"The student of {name} is not shown, since an int8 network has no gradients.")
        elif file.is_file():
            networks[name] = ready_student(context, file)
        else:
            path = shlex.quote(str(folder.path))
            missing.append(f"The student of {name} is not shown, since {file} is missing; 'kdtune resume {path}' "
                           "finishes a strategy that has no tested model yet.")  # fmt: skip
    return networks, missing
