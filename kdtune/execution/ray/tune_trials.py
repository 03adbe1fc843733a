"""Runs the trials of a strategy through Ray Tune."""

import shutil
import tempfile
from typing import Any

from ray import tune

from kdtune.errors import MachineError
from kdtune.execution.environment import environment
from kdtune.execution.ray.dispatch import wait_for_room
from kdtune.execution.ray.plan_searcher import PlanSearcher
from kdtune.execution.ray.trainable import DistillTrainable
from kdtune.execution.ray.tune_callbacks import EarlyStopping, LeaveTune, Reports
from kdtune.execution.trial_events import TrialEvents

#: Number of times Tune is started in one command; it fails as a whole if the system runs out of memory.
MAX_FITS = 4


def run_trials(executor: Any, events: TrialEvents, max_concurrent: int | None) -> None:
    """Run trials until none is left; see :meth:`kdtune.execution.executor.Executor.run_trials`."""
    if events.expected_trials() < executor.slots:
        executor.prepare_worker()
    # By default Tune prepares only one trial ahead of a searcher. While a second worker starts, the first one
    # takes that trial, the second worker is dropped, and so on: short trials would never run at the same time.
    ahead = {"TUNE_MAX_PENDING_TRIALS_PG": str(2 * executor.slots)}
    wait_for_room(executor, events.read_energy)
    for fits_left in reversed(range(MAX_FITS)):
        # Tune needs a folder for its own state, which is not used afterwards.
        storage = tempfile.mkdtemp(prefix="kdtune-tune-")
        try:
            with environment(ahead):
                _tuner(executor, events, max_concurrent, storage).fit()
            return
        except LeaveTune:
            return
        except Exception as error:  # Tune passes on failures of Ray, such as a worker out of memory
            if events.gave_up:
                return
            words = f"Ray Tune failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if not fits_left:
                raise MachineError(words) from None
            events.begin_again(words)
        finally:
            shutil.rmtree(storage, ignore_errors=True)


def _tuner(executor: Any, events: TrialEvents, max_concurrent: int | None, storage: str) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(DistillTrainable, executor.resources.for_ray),
        tune_config=tune.TuneConfig(
            search_alg=PlanSearcher(events),
            num_samples=-1,
            reuse_actors=True,
            max_concurrent_trials=max_concurrent,
        ),
        run_config=tune.RunConfig(
            name="study",
            storage_path=storage,
            callbacks=[Reports(executor, events)],
            stop=EarlyStopping(events),
            verbose=0,
            progress_reporter=tune.CLIReporter(),  # Tune's reporter for notebooks clears the output of the cell
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
