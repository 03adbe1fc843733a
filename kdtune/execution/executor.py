"""What a study needs of whatever carries it out: a meter, jobs and trials.

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
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.resources import Resources
from kdtune.results.folder import StudyFolder


class Executor(ABC):
    """Carries out one command's work on a study and meters it, from before its start to after its end.

    Its own ledger covers what all strategies share, such as starting up and looking at the data. Methods raise
    :class:`~kdtune.errors.KdtuneError` whatever fails below them.

    Attributes:
        kind: ``ray`` or ``inline``, as it is noted with results.
        id: Names the session in ledgers and trial logs.
        folder: The session's own ledger.
        waiting: Ledger of the time spent waiting for other commands, which no strategy is charged for.
        resources: What each trial gets; GPUs that were left open are known once :meth:`start` returns.
    """

    kind: str

    def __init__(self, folder: StudyFolder, resources: Resources) -> None:
        """Prepare a session; nothing is started yet.

        Args:
            folder: The study's folder, in which the session's ledger is kept.
            resources: What each trial gets.
        """
        self.id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        self.folder = folder.session(self.id)
        self.waiting = folder.session(f"{self.id}-waiting")
        self.resources = resources
        #: The last two ledger folders that the meters were switched to.
        self._ledgers = [self.folder]

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many trials run side by side."""

    @property
    @abstractmethod
    def is_on_one_machine(self) -> bool:
        """Whether all work happens on this machine."""

    @property
    @abstractmethod
    def gpus(self) -> list[str]:
        """UUIDs of the GPUs of this machine that may be used."""

    @abstractmethod
    def start(self) -> None:
        """Start, and meter from now on.

        Raises:
            UsageError: A trial asks for more than there is, or this process already runs something that is metered.
            RayError: Ray does not start.
        """

    @abstractmethod
    def stop(self) -> None:
        """End everything that :meth:`start` began; metering ends last. May be called more than once."""

    @abstractmethod
    def check(self) -> None:
        """Make sure that work can go on.

        Raises:
            MachineError: It cannot.
        """

    @abstractmethod
    def settle(self) -> None:
        """Wait until energy goes to the ledger chosen last: no window may open before."""

    @abstractmethod
    def settle_for_evaluation(self) -> None:
        """As :meth:`settle`, and wait until an evaluation can begin at once."""

    @abstractmethod
    def reading(self, *, fresh: bool = False) -> Reading:
        """Returns the energy so far; ``fresh`` takes a sample first."""

    @abstractmethod
    def close_window(self, window_id: str, reason: str) -> None:
        """Close the window of a trial that did not close it itself."""

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
            function: What to run.
            calls: The arguments of each call.
            poll: Called about twice a second meanwhile; stops the jobs by raising an exception.
            environment: Variables of processes that are started for these calls alone; None needs no new process.

        Raises:
            KdtuneError: The function failed, or what it ran in did.
        """

    @abstractmethod
    def run_trials(self, events: TrialEvents, max_concurrent: int | None) -> None:
        """Run the trials that ``events`` hands out, and report to it, until none is left or it wants to stop.

        Args:
            events: Hands out trials and takes down what becomes of them.
            max_concurrent: Trials at a time at most; None leaves it to the cores and GPUs.

        Raises:
            MachineError: Whatever runs the trials keeps failing.
        """

    @abstractmethod
    def _switch_meters(self, folder: Path) -> None:
        """Let the meters count into another ledger folder, without waiting for it."""

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
        """From now on energy goes to another ledger folder; None: to the session's own.

        It is not waited for; see :meth:`settle`.
        """
        self._ledgers = [self._ledgers[-1], folder or self.folder]
        self._switch_meters(self._ledgers[-1])

    @contextmanager
    def charging(self, folder: Path, *, at_once: bool = True) -> Iterator[None]:
        """Charge what happens inside to a ledger folder, and what comes after to the one before.

        Args:
            folder: Gets a file for each machine.
            at_once: Wait for the meters first. Without it the body calls :meth:`settle` before a window opens.
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
