"""Opens the executor that runs a study in this process."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kdtune.execution.environment import HIDDEN, environment
from kdtune.execution.executor import Executor
from kdtune.execution.inline.inline_executor import InlineExecutor
from kdtune.execution.interrupts import Interrupts
from kdtune.results.folder import StudyFolder


@contextmanager
def opened_inline(
    folder: StudyFolder, cpus: float, gpus: float | None, interrupts: Interrupts, tell: Callable[[str], None]
) -> Iterator[Executor]:
    """Start metering in this process; see :class:`kdtune.execution.executor_choice.ExecutorChoice`."""
    # Hidden from libraries that are imported later; libraries that are imported already have read their variables.
    hidden = [key for key in os.environ if key.startswith(HIDDEN)]
    with environment({}, hidden), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with -W error, a library's deprecation would end the study
        tell("starting the energy meter")
        executor = InlineExecutor(folder, cpus, gpus, interrupts, tell)
        try:
            executor.start()
            yield executor
        finally:
            executor.stop()
