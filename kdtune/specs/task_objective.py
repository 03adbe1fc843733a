"""The objective of a task that is not built in, which its class defines."""

from typing import Any

from kdtune.catalog.builtin import TASKS
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, UsageError
from kdtune.specs.component import Component


def settle_objective(table: dict[str, Any], where: str) -> list[Fault]:
    """Put the objective into the table of a new study whose task is not built in, in place; the task is imported.

    The study then holds all that readers of its results need, who do not import the task.

    Args:
        table: The study with resolved components, not validated yet.
        where: The file of the study.
    """
    component = table.get("task")
    if not isinstance(component, Component) or component.name in TASKS:
        return []
    try:
        task = TASKS.load(component.name, component.digest)
    except UsageError as error:
        return [Fault(where, "task", str(error))]
    if not callable(getattr(task, "of", None)):
        return [Fault(where, "task", f"{component} has to be a class with the members of kdtune.tasks.task.Task")]
    objectives = getattr(task, "objectives", (Metric(ACCURACY),))
    if not (isinstance(objectives, tuple) and objectives and all(isinstance(one, Metric) for one in objectives)):
        return [Fault(where, "task", f"objectives of {component} has to be a tuple of kdtune.catalog.metric.Metric")]
    wanted = table.setdefault("objective", objectives[0].name)
    found = next((one for one in objectives if one.name == wanted), None)
    if found is None:
        hint = did_you_mean(str(wanted), [one.name for one in objectives])
        return [Fault(where, "objective", f"{wanted!r} cannot decide a study; {hint}")]
    table["objective_info"] = found
    return []
