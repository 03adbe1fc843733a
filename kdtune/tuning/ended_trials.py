"""Ray Tune keeps every trial whole until the experiment is over; kdtune needs nothing of one that has ended."""

from typing import Any

#: What of its last result Tune itself looks at later.
_KEPT_OF_RESULT = {"trial_id", "done", "training_iteration"}


def let_go(tune_trial: Any) -> None:
    """Drop what makes one of Tune's trials heavy, so that the driver of a thousand of them is as small as that of ten.

    That is some 70 kB a trial: several running means of every number that it reported, the last report with all its
    epochs, and the answer of its worker to a question that nobody asks any more.

    Args:
        tune_trial: Has reported for the last time. It stays a trial that Tune can count and end.
    """
    tune_trial.metric_analysis.clear()
    tune_trial.metric_n_steps.clear()
    result = tune_trial.last_result
    for key in result.keys() - _KEPT_OF_RESULT:
        del result[key]
    # Not public, and nothing but memory depends on it: in a release of Ray without it this changes nothing.
    if hasattr(tune_trial, "_default_result_or_future"):
        tune_trial._default_result_or_future = None
