"""Finds the task of a study; free of torch until a task is made."""

from kdtune.catalog.builtin import TASKS, objectives_of
from kdtune.catalog.metric import Metric
from kdtune.specs.study import Setting
from kdtune.tasks.task import Task


def task_of(setting: Setting) -> Task:
    """Make the task of a study.

    Raises:
        UsageError: The task cannot work on the study's data set, or with its options.
    """
    task: Task = TASKS.load(setting.task.name, setting.task.digest).of(setting)
    return task


def load_all_tasks() -> list[type[Task]]:
    """Import the built-in tasks, and torch with them."""
    return [TASKS.load(name) for name in TASKS]


def objective_of(setting: Setting) -> Metric:
    """Return the metric that decides a study, without importing its task."""
    known = (one for one in objectives_of(setting.task.name) if one.name == setting.objective)
    return setting.objective_info or next(known, Metric(setting.objective))
