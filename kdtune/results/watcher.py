"""Observers of a running study, such as the live display."""

import logging
from collections.abc import Callable
from functools import wraps
from inspect import isfunction
from typing import Any

from kdtune.energy.carbon import Carbon
from kdtune.errors import StudyInterrupted
from kdtune.results.trial import Trial
from kdtune.specs.study import Study


class Watcher:
    """Observer that does nothing. A display overrides the methods that it needs.

    The methods are called in the thread that runs the study. If one raises an exception, the exception is logged once
    with its traceback, and the method is not called again; the study continues. ``StudyInterrupted`` and
    ``KeyboardInterrupt`` stop the study like Ctrl-C: finished work is kept, and :func:`kdtune.resume_study` continues
    from there.
    """

    #: Whether a download may draw a progress bar on standard error.
    draws_bars = False

    def carbon_settings(self, carbon: Carbon) -> None:
        """Called before ``started`` with the carbon factors with which the study reports energy."""

    def started(self, study: Study, planned: dict[str, int]) -> None:
        """Called when the study begins.

        Args:
            study: The study.
            planned: Number of trials of each strategy that are known in advance, over all repeats.
        """

    def message(self, text: str) -> None:
        """Called when something begins that takes some time, such as starting Ray."""

    def teacher_epoch(self, epochs: int, metrics: dict[str, Any]) -> None:
        """Called while the teacher is trained.

        Args:
            epochs: Number of epochs of the whole training.
            metrics: Metrics of the last epoch.
        """

    def strategy_started(self, name: str, trials: int, ended: int = 0) -> None:
        """Called when a strategy begins.

        Args:
            name: Label of the strategy.
            trials: Number of trials that are planned so far, over all repeats.
            ended: Number of trials that ended in earlier commands.
        """

    def trials_planned(self, trials: int) -> None:
        """Called when the strategy has suggested more trials.

        Args:
            trials: Number of trials that are planned now.
        """

    def trial_started(self, trial: Trial) -> None:
        """Called when an attempt starts."""

    def epoch_done(self, trial: Trial, epochs: int, metrics: dict[str, Any]) -> None:
        """Called when a trial has trained another epoch.

        Args:
            trial: The trial.
            epochs: Number of epochs of the whole training.
            metrics: Metrics of the epoch.
        """

    def trial_ended(self, trial: Trial) -> None:
        """Called when an attempt has ended; the trial contains its status."""

    def energy(self, by_window: dict[str, int], charged_uj: int) -> None:
        """Called with the energy so far. It is energy of the IT equipment, without PUE.

        Args:
            by_window: Energy of each running attempt in microjoules, by the id of its window.
            charged_uj: Energy that the strategy is charged in microjoules, by the study's ``attribution``.
        """

    def strategy_ended(self, name: str) -> None:
        """Called when a strategy is complete or was stopped."""

    def ended(self) -> None:
        """Called when the study is complete or was stopped; a display is removed."""


def contained(report: Callable[..., object]) -> Callable[..., None]:
    """Return a callback that does not fail: its first exception is logged, and it is not called again.

    Args:
        report: The user's callback.

    Returns:
        A function that passes its arguments on. It raises ``StudyInterrupted`` if the callback raised that or
        ``KeyboardInterrupt``, and nothing else.
    """
    has_failed = False

    @wraps(report)
    def call(*args: Any, **named: Any) -> None:
        nonlocal has_failed
        if has_failed:
            return
        try:
            report(*args, **named)
        except StudyInterrupted:
            raise
        except KeyboardInterrupt:
            raise StudyInterrupted("interrupted") from None
        except Exception:
            has_failed = True
            name = getattr(report, "__qualname__", repr(report))
            logging.getLogger(__name__).exception("%s failed and is not called again; the study goes on", name)

    return call


class ContainedWatcher(Watcher):
    """Passes all calls on to another watcher and handles its exceptions; see :func:`contained`."""

    def __init__(self, watcher: Watcher) -> None:
        """Set the watcher.

        Args:
            watcher: The watcher to which calls are passed on.
        """
        self.draws_bars = watcher.draws_bars
        for name, method in vars(Watcher).items():
            if isfunction(method):
                setattr(self, name, contained(getattr(watcher, name)))
