"""Options of built-in tasks. They are validated without importing the task, and torch with it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from kdtune.catalog.builtin import TASKS
from kdtune.errors import Fault
from kdtune.specs.component import Component
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.validation_messages import faults_of

if TYPE_CHECKING:
    from kdtune.specs.study import Study


class TaskOptions(FrozenModel):
    """Base class of the options of a built-in task; used by itself for a task without options.

    Attributes:
        OF_TEACHER: Names of the options that change how a network without a teacher is trained.
    """

    OF_TEACHER: ClassVar[frozenset[str]] = frozenset()

    def problems(self, study: "Study") -> dict[str, str]:
        """Return by key of the study what does not go together with these options."""
        return {}


def task_option_faults(study: "Study", where: str) -> list[Fault]:
    """Return what is wrong with the options of a built-in task; a task of others checks its own when it is made.

    Args:
        study: A study whose values are valid by themselves.
        where: The file of the study.
    """
    model = _model_of(study.task)
    if model is None:
        return []
    try:
        options = model.model_validate(study.task.options)
    except ValidationError as error:
        return faults_of(error, model, where, "task")
    return [Fault(where, key, problem) for key, problem in options.problems(study).items()]


def of_teacher(task: Component) -> dict[str, Any]:
    """Return the options of a task that a teacher depends on; all options of a task that is not built in."""
    model = _model_of(task)
    return {key: value for key, value in task.options.items() if model is None or key in model.OF_TEACHER}


def _model_of(task: Component) -> type[TaskOptions] | None:
    if task.name not in TASKS:
        return None
    reference = TASKS.facts_of(task.name).get("options")
    if reference is None:
        return TaskOptions
    module, _, name = reference.partition(":")
    model: type[TaskOptions] = getattr(import_module(module), name)
    return model
