"""Finds the task of a study; free of torch until a task is made."""

from functools import cache

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
    return setting.objective_info or _built_in(setting.task.name, setting.objective)


@cache
def _built_in(task: str, objective: str) -> Metric:
    """Return a metric of a built-in task; trials are compared by it again and again."""
    return next((one for one in objectives_of(task) if one.name == objective), Metric(objective))
