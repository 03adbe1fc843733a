"""A task of a user's own, whose metric a test chooses, for hand-written results."""

from pathlib import Path
from typing import Any

_TASK = """
from kdtune.catalog.metric import Metric


class Task:
    objectives = ({metric!r},)

    @classmethod
    def of(cls, info, shape, student, setting):
        raise RuntimeError("results are read without the task")
"""


def own_task(folder: Path, metric: Any) -> dict[str, Any]:
    """Write a task that a metric decides, and return the fields of a study of it."""
    file = folder / "own_task.py"
    file.write_text(_TASK.format(metric=metric))
    return {"task": f"{file}:Task"}
