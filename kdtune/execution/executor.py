"""Interface of the executors, which run the jobs and trials of a study and meter them.

There are two executors: :mod:`kdtune.execution.ray` and :mod:`kdtune.execution.inline`.
"""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdtune.energy.meter import Reading
from kdtune.execution.shared_folders import SharedFolders
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.resources import Resources
from kdtune.results.folder import StudyFolder


class Executor(ABC):
    """Runs the work of one command on a study, and meters it from before its own start to after its own end.

    The session's own ledger covers work that all strategies share, such as start-up and inspection. Every failure
    is raised as a :class:`~kdtune.errors.KdtuneError`.

    Attributes:
        kind: ``ray`` or ``inline``, as results name it.
        id: Identifier of the session in ledgers and trial logs.
        folder: Ledger folder of the session itself.
        waiting: Ledger folder of the time spent waiting for other commands; no strategy is charged for it.
        resources: Resources of each trial; a default number of GPUs is determined by :meth:`start`.
        shared: Folders that other machines have to share with this one; None if there are no other machines.
    """

    kind: str

    def __init__(self, folder: StudyFolder, resources: Resources) -> None:
        """Prepare a session without starting anything.

        Args:
            folder: Results folder of the study, for the session's ledger.
            resources: Resources of each trial.
        """
        self.id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        self.folder = folder.session(self.id)
        self.waiting = folder.session(f"{self.id}-waiting")
        self.resources = resources
        self.shared: SharedFolders | None = None
        #: The last two ledger folders that the meters were switched to.
        self._ledgers = [self.folder]

    @property
    @abstractmethod
    def slots(self) -> int:
        """Number of trials that run at the same time."""

    @property
    @abstractmethod
    def is_on_one_machine(self) -> bool:
        """Whether all work happens on this machine."""

    @property
    @abstractmethod
    def gpus(self) -> list[str]:
        """UUIDs of the usable GPUs of this machine."""

    @abstractmethod
    def start(self) -> None:
        """Start, and meter from then on.

        Raises:
            UsageError: A trial needs more resources than there are, or this process already meters other work.
            RayError: Ray does not start.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop everything that :meth:`start` started, metering last. May be called more than once."""

    @abstractmethod
    def check(self) -> None:
        """Make sure that work can continue.

        Raises:
            MachineError: It cannot.
        """

    @abstractmethod
    def settle(self) -> None:
        """Wait until energy is charged to the ledger chosen last; no window may open before."""

    @abstractmethod
    def settle_for_evaluation(self) -> None:
        """Do the same as :meth:`settle`, and wait until an evaluation can begin without delay."""

    @abstractmethod
    def reading(self, *, fresh: bool = False) -> Reading:
        """Return the energy so far; ``fresh`` takes a sample first."""

    @abstractmethod
    def close_window(self, window_id: str, reason: str) -> None:
        """Close the window of a trial that has not closed it."""

    @abstractmethod
    def run_jobs(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        poll: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> list[Any]:
        """Run a job, such as :func:`kdtune.execution.worker_jobs.make_part`, several times and wait for all results.

        Args:
            function: The job.
            calls: The arguments of each call.
            poll: Called about twice a second during the jobs; may stop them by raising an exception.
            environment: Environment variables of the jobs, which then run in new processes; None needs no new process.

        Raises:
            KdtuneError: The function or its process failed.
        """

    @abstractmethod
    def run_trials(self, events: TrialEvents, max_concurrent: int | None) -> None:
        """Run the trials from ``events`` and report to it, until no trial is left or ``events`` requests a stop.

        Args:
            events: Provides the trials and receives their reports.
            max_concurrent: Largest number of simultaneous trials; None leaves it to the cores and GPUs.

        Raises:
            MachineError: The program that runs the trials failed repeatedly.
        """

    @abstractmethod
    def _switch_meters(self, folder: Path) -> None:
        """Tell the meters to write to another ledger folder, without waiting for them."""

    def run_job(
        self,
        function: Callable[..., Any],
        *args: Any,
        poll: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> Any:
        """Run a function once and return its result; see :meth:`run_jobs`."""
        return self.run_jobs(function, [args], poll, environment)[0]

    def switch(self, folder: Path | None = None) -> None:
        """Charge energy to another ledger folder from now on; None for the session's own.

        This method does not wait for the meters; see :meth:`settle`.
        """
        self._ledgers = [self._ledgers[-1], folder or self.folder]
        self._switch_meters(self._ledgers[-1])

    @contextmanager
    def charging(self, folder: Path, *, at_once: bool = True) -> Iterator[None]:
        """Charge the energy used within the context to a ledger folder, and return to the previous folder afterwards.

        Args:
            folder: Ledger folder, with one file for each machine.
            at_once: Wait for the meters first. Otherwise the body calls :meth:`settle` before it opens a window.
        """
        before = self._ledgers[-1]
        self.switch(folder)
        if at_once:
            self.settle()
        try:
            yield
        finally:
            self.switch(before)
            self.settle()
