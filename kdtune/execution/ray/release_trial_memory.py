"""Releases the memory of ended trials, which Ray Tune would keep until the experiment ends."""

from typing import Any

#: Keys of the last report that Tune itself reads later.
_KEPT_OF_REPORT = ("trial_id", "done", "training_iteration")


def release_memory(tune_trial: Any) -> None:
    """Drop the large parts of a Tune trial, so that the driver's memory does not grow with the number of trials.

    These are about 60 kB per trial (ray 2.60): several running means of every reported number, the last report with all
    its epochs, and an answer of its worker that is no longer used.

    Args:
        tune_trial: A trial after its last report. Tune can still count and end it.
    """
    for record in (tune_trial.metric_analysis, tune_trial.metric_n_steps, tune_trial.evaluated_params):
        record.clear()
    report = tune_trial.last_result
    kept = {key: report[key] for key in _KEPT_OF_REPORT if key in report}
    report.clear()
    report.update(kept)
    # The attribute is private, but only memory depends on it; a release of Ray without it needs no change.
    if hasattr(tune_trial, "_default_result_or_future"):
        tune_trial._default_result_or_future = None
