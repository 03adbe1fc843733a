"""Objects that all parts of one session share."""

from dataclasses import dataclass, field

from kdtune.execution.executor import Executor
from kdtune.execution.interrupts import Interrupts
from kdtune.planning.budget import BudgetWatch
from kdtune.results.watcher import Watcher
from kdtune.storage.paths import DataDir


@dataclass(frozen=True)
class RunContext:
    """A session whose executor has started.

    Attributes:
        executor: Runs jobs and trials, and meters them.
        watcher: Receives the progress of the study.
        budget: Checks the limits of the command, and whether it was cancelled.
        data: Folder with the data sets.
        interrupts: Remembers whether the user asked to stop.
        max_concurrent: Largest number of simultaneous trials; None leaves it to the cores and GPUs.
    """

    executor: Executor
    watcher: Watcher
    budget: BudgetWatch
    data: DataDir
    interrupts: Interrupts = field(default_factory=Interrupts)
    max_concurrent: int | None = None

    @property
    def data_path(self) -> str:
        """The data folder as workers receive it."""
        return str(self.data.path)

    @property
    def slots(self) -> int:
        """Number of trials that run at the same time."""
        return min(self.executor.slots, self.max_concurrent or self.executor.slots)

    def check_budget(self) -> None:
        """Raise BudgetReached if the budget is used up, or StudyInterrupted if the command was cancelled."""
        self.budget.check_now(self.executor)

    def check(self) -> None:
        """Raise an error if the user asked to stop, the budget is used up or the command was cancelled."""
        self.interrupts.check()
        self.check_budget()
