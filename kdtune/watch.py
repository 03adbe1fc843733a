"""Who watches a study run: the runner tells, a display shows. Silence is the default."""

from typing import Any

from kdtune.results.trials import Trial
from kdtune.specs.study import Study


class Watcher:
    """Takes note of nothing. A display overrides what it shows."""

    #: Whether a download may draw a progress bar on standard error.
    draws_bars = False

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
        """Energy so far in microjoules: of each attempt that is running, and what the strategy is charged."""

    def strategy_ended(self, name: str) -> None:
        """A strategy is done, or was stopped."""

    def ended(self) -> None:
        """The study is done, or was stopped; whatever is on display goes away."""
