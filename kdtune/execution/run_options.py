"""Options that the caller of a command chose."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from kdtune.energy.carbon import Carbon
from kdtune.execution.executor_choice import ExecutorChoice
from kdtune.planning.budget import Budget
from kdtune.results.watcher import Watcher
from kdtune.storage.paths import DataDir


@dataclass(frozen=True)
class RunOptions:
    """How a command runs a study; the study, its strategies and its folder are given separately.

    Attributes:
        executor: Kind of executor and the resources of each trial.
        carbon: Conversion of energy to CO2.
        data: Folder with the data sets.
        budget: Limits of the study.
        max_concurrent: Largest number of simultaneous trials; None leaves it to the cores and GPUs.
        fresh: Whether earlier results of the strategies are put aside.
        download: Whether to download the data set if it is missing or damaged.
        teacher_file: File with the weights of a given teacher.
        accept_teacher: Whether a given teacher is used even if its accuracy is at chance.
        resumed: Whether the command resumes a study, so that earlier commands count towards the budget.
        watcher: Receives the progress of the study.
        cancel: Event that another thread sets to stop the study.
    """

    executor: ExecutorChoice
    carbon: Carbon
    data: DataDir
    budget: Budget = field(default_factory=Budget)
    max_concurrent: int | None = None
    fresh: bool = False
    download: bool = False
    teacher_file: Path | None = None
    accept_teacher: bool = False
    resumed: bool = False
    watcher: Watcher = field(default_factory=Watcher)
    cancel: threading.Event | None = None
