"""Who watches a study run: the runner tells, a display shows. Silence is the default."""

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
    """Takes note of nothing. A display overrides what it shows.

    Its methods are called in the thread that runs the study. One that raises an exception is logged once, with its
    traceback, and not called again; the study goes on. ``StudyInterrupted`` (or ``KeyboardInterrupt``) stops the
    study as Ctrl-C does: what was finished is kept, and :func:`kdtune.resume_study` goes on from there.
    """

    #: Whether a download may draw a progress bar on standard error.
    draws_bars = False

    def carbon_settings(self, carbon: Carbon) -> None:
        """How the results of the study will report energy: its PUE and carbon intensity. Comes before ``started``."""

    def started(self, study: Study, planned: dict[str, int]) -> None:
        """The study begins; for each strategy the trials that are known of beforehand, over all repeats."""

    def message(self, text: str) -> None:
        """Something that takes a while begins, such as starting Ray."""

    def teacher_epoch(self, epochs: int, metrics: dict[str, Any]) -> None:
        """The teacher has trained some of its ``epochs``; ``metrics`` are the last one's."""

    def strategy_started(self, name: str, trials: int, ended: int = 0) -> None:
        """A strategy begins; so many trials are planned so far, over all repeats, and so many have ended before."""

    def trials_planned(self, trials: int) -> None:
        """The strategy has proposed more: so many trials are planned by now."""

    def trial_started(self, trial: Trial) -> None:
        """An attempt begins."""

    def epoch_done(self, trial: Trial, epochs: int, metrics: dict[str, Any]) -> None:
        """A trial has trained one more of its ``epochs``."""

    def trial_ended(self, trial: Trial) -> None:
        """An attempt ended; the trial says how."""

    def energy(self, by_window: dict[str, int], charged_uj: int) -> None:
        """Energy so far in microjoules: of each attempt that is running, and what the strategy is charged.

        The charge follows the study's ``attribution``. Both are energy of the computers, without PUE.
        """

    def strategy_ended(self, name: str) -> None:
        """A strategy is done, or was stopped."""

    def ended(self) -> None:
        """The study is done, or was stopped; whatever is on display goes away."""


def contained(report: Callable[..., object]) -> Callable[..., None]:
    """A callback of the user's that never fails: its first exception is logged, and it is not called again.

    Args:
        report: The callback.

    Returns:
        A function that passes its arguments on. It raises ``StudyInterrupted`` where the callback raised that or
        ``KeyboardInterrupt``, and nothing else.
    """
    has_failed = False

    @wraps(report)
    def told(*args: Any, **named: Any) -> None:
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

    return told


class ContainedWatcher(Watcher):
    """Passes everything on to another watcher and contains that one's exceptions; see :func:`contained`."""

    def __init__(self, watcher: Watcher) -> None:
        """Contain a watcher."""
        self.draws_bars = watcher.draws_bars
        for name, method in vars(Watcher).items():
            if isfunction(method):
                setattr(self, name, contained(getattr(watcher, name)))
