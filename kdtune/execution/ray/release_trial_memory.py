"""Ray Tune keeps every trial whole until the experiment is over; kdtune needs nothing of one that has ended."""

from typing import Any

#: What of its last report Tune itself looks at later.
_KEPT_OF_REPORT = ("trial_id", "done", "training_iteration")


def release_memory(tune_trial: Any) -> None:
    """Drop what makes one of Tune's trials heavy, so that a driver does not grow with the number of its trials.

    That is some 60 kB a trial (ray 2.60): several running means of every number that it reported, the last report with
    all its epochs, and the answer of its worker to a question that nobody asks any more.

    Args:
        tune_trial: Has reported for the last time. It stays a trial that Tune can count and end.
    """
    for record in (tune_trial.metric_analysis, tune_trial.metric_n_steps, tune_trial.evaluated_params):
        record.clear()
    report = tune_trial.last_result
    kept = {key: report[key] for key in _KEPT_OF_REPORT if key in report}
    report.clear()
    report.update(kept)
    # Not public, and nothing but memory depends on it: in a release of Ray without it this changes nothing.
    if hasattr(tune_trial, "_default_result_or_future"):
        tune_trial._default_result_or_future = None
