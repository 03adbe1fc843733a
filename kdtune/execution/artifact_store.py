"""Provides artifacts from the cache, and makes missing ones: by one command at a time, metered in their own ledgers."""

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from kdtune.artifacts.artifact import Artifact
from kdtune.execution.run_context import RunContext
from kdtune.execution.worker_jobs import make_part
from kdtune.results.energy_spent import record_created_artifact
from kdtune.results.shared_inputs import ledger_summary
from kdtune.specs.study import Study
from kdtune.storage.files import exclusive_lock, in_use

#: Seconds between two checks whether another command has released an artifact.
WAIT_S = 0.5


class ArtifactStore:
    """Provides the artifacts that strategies share, and protects them from removal until :meth:`close`."""

    def __init__(self, study: Study, context: RunContext) -> None:
        """Prepare without looking anything up.

        Args:
            study: The study, with all its settings resolved.
            context: The session; its executor runs the jobs.
        """
        self._study = study
        self._context = context
        self._using = ExitStack()

    def provide(
        self, artifact: Artifact, progress: Callable[[], object] = lambda: None, study: Study | None = None
    ) -> dict[str, Any]:
        """Make an artifact unless it is complete, and return its record for the strategies.

        An artifact that a trainable in a user's pipeline made without a meter is made again beside the first one if
        possible, so that its energy is known.

        Args:
            artifact: The artifact to provide.
            progress: Called about twice a second while the artifact is made.
            study: The study as the repeat trains it that the artifact belongs to; by default the whole study.

        Returns:
            The facts of the artifact, and as ``energy`` the summary of its ledger, or None if its energy is unknown.

        Raises:
            BudgetReached: The budget is used up.
            KdtuneError: The artifact could not be made.
        """
        study = study or self._study
        self._using.enter_context(in_use(artifact.folder))
        with self._alone(artifact):
            if not artifact.is_complete():
                self._make(artifact, study, progress)
            elif not artifact.is_metered() and (again := artifact.copy_to_meter()):
                self._make(again, study, progress, noted_as=artifact.folder)
                shutil.rmtree(artifact.ledger, ignore_errors=True)
                again.ledger.replace(artifact.ledger)
                shutil.rmtree(again.folder)
        energy = None
        if artifact.is_metered_completely():
            energy = ledger_summary(artifact.ledger, dedicated=self._study.is_dedicated)
        return {**artifact.facts(), "energy": energy}

    def close(self) -> None:
        """Allow other processes to remove the provided artifacts."""
        self._using.close()

    def _alone(self, artifact: Artifact) -> AbstractContextManager[None]:
        """Hold the artifact's lock. No strategy is charged for waiting until another command releases it."""
        executor = self._context.executor

        def wait(is_acquired: Callable[[], bool]) -> None:
            with executor.charging(executor.waiting):
                self._context.watcher.message(f"another command is making {artifact.description}; waiting for it")
                while not is_acquired():
                    self._context.check_budget()
                    time.sleep(WAIT_S)

        return exclusive_lock(artifact.folder, wait=wait)

    def _make(
        self, artifact: Artifact, study: Study, progress: Callable[[], object], noted_as: Path | None = None
    ) -> None:
        executor, watcher = self._context.executor, self._context.watcher
        record_created_artifact(executor.folder, noted_as or artifact.folder)
        watcher.message(artifact.announcement())
        artifact.begin()

        def poll() -> None:
            self._context.check_budget()
            progress()

        given = study, executor.resources, self._context.data_path, executor.id
        with executor.charging(artifact.ledger):
            for _ in range(artifact.rounds):
                calls = [(*given, artifact, part) for part in artifact.parts(self._context.slots)]
                if not calls:
                    break
                executor.run_jobs(make_part, calls, poll=poll, environment=artifact.environment)
        if message := artifact.finish():
            watcher.message(message)
