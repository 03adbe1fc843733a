"""Display of a running study: a live table on a terminal, plain lines otherwise."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kdtune.catalog.metric import ACCURACY, Metric, deciding_value
from kdtune.energy.carbon import Carbon, raw_kwh
from kdtune.report.number_formats import NOTHING, describe_point, duration, of_metric, significant, with_unit
from kdtune.report.units import energy
from kdtune.results.trial import Trial
from kdtune.results.watcher import Watcher
from kdtune.specs.study import Study
from kdtune.storage.wording import counted
from kdtune.tasks.loading import objective_of

#: Widths of the bars of the study and of a trial, in characters.
_STUDY_BAR, _TRIAL_BAR = 40, 12


@dataclass
class _Running:
    trial: Trial
    epochs: int
    read_at_s: float
    epoch: int = 0
    value: float | None = None
    energy_uj: int = 0
    watts: float | None = None

    def read(self, energy_uj: int, now_s: float) -> None:
        """Update energy and power from the energy that the trial has used so far."""
        if energy_uj > self.energy_uj and now_s > self.read_at_s:
            self.watts = (energy_uj - self.energy_uj) / 1e6 / (now_s - self.read_at_s)
            self.energy_uj, self.read_at_s = energy_uj, now_s


@dataclass
class Progress:
    """Progress of a study and its remaining time, used by both displays.

    Attributes:
        planned: Number of trials by strategy, as far as known.
        ended: Number of ended trials by strategy.
        trial_s: Seconds between the ends of consecutive trials of a strategy.
        start_s: Seconds from a strategy's start to its first trial, during which workers start.
    """

    planned: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    trial_s: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    _began_s: float = 0.0
    _last_s: float | None = None

    def strategy_started(self, name: str, trials: int, now_s: float, ended: int = 0) -> None:
        """Record that a strategy starts, or continues after the given number of trials."""
        self.planned[name] = trials
        self.ended[name] = ended
        self._began_s, self._last_s = now_s, None

    def trial_started(self, now_s: float) -> None:
        """Record that a trial has started."""
        if self._last_s is None:
            self.start_s.append(now_s - self._began_s)
            self._last_s = now_s

    def trial_ended(self, name: str, now_s: float) -> None:
        """Record that a trial has ended."""
        self.ended[name] += 1
        if self._last_s is not None:
            self.trial_s.append(now_s - self._last_s)
        self._last_s = now_s

    def eta_s(self) -> float | None:
        """Return the estimated remaining seconds; None before a trial, and a start if one is left, have been timed."""
        to_start = len(self.planned.keys() - self.ended.keys())
        if not self.trial_s or (to_start and not self.start_s):
            return None
        left = sum(max(0, trials - self.ended.get(name, 0)) for name, trials in self.planned.items())
        return left * fmean(self.trial_s) + (to_start * fmean(self.start_s) if to_start else 0.0)

    def of_study(self) -> tuple[int, int]:
        """Return how many trials of the whole study have ended, and how many are planned as far as known."""
        ended = sum(self.ended.values())
        return ended, max(ended, sum(self.planned.values()))

    def eta(self) -> str:
        """Return :meth:`eta_s` as text."""
        seconds = self.eta_s()
        return "ETA " + (NOTHING if seconds is None else duration(seconds))


class _Display(Watcher):
    """State that both displays keep."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress()
        self._strategy = ""
        self._running: dict[str, _Running] = {}
        self._ended: set[str] = set()
        self._spent_uj: dict[str, int] = {}
        self._best: Trial | None = None
        self._kwh: Callable[[int], float] = raw_kwh
        self._objective = Metric(ACCURACY)

    def carbon_settings(self, carbon: Carbon) -> None:
        self._kwh = carbon.kwh

    def started(self, study: Study, planned: dict[str, int]) -> None:
        self._progress.planned = dict(planned)
        self._objective = objective_of(study)

    def strategy_started(self, name: str, trials: int, ended: int = 0) -> None:
        self._strategy, self._best = name, None
        self._ended.clear()  # another strategy may have trials with the same ids
        self._progress.strategy_started(name, trials, time.monotonic(), ended)

    def trials_planned(self, trials: int) -> None:
        self._progress.planned[self._strategy] = trials

    def trial_started(self, trial: Trial) -> None:
        now_s = time.monotonic()
        self._progress.trial_started(now_s)
        epochs = trial.planned_epochs
        self._running[trial.id] = _Running(trial, epochs, now_s)

    def epoch_done(self, trial: Trial, epochs: int, metrics: dict[str, Any]) -> None:
        if running := self._running.get(trial.id):
            running.epoch, running.value = metrics["epoch"], deciding_value(metrics)

    def trial_ended(self, trial: Trial) -> None:
        self._running.pop(trial.id, None)
        if trial.status == "completed" and trial.score is not None:
            before = self._best.score if self._best else None
            self._best = trial if before is None or trial.score > before else self._best
        if trial.id not in self._ended:  # a trial that was stopped may go on and end again
            self._progress.trial_ended(self._strategy, time.monotonic())
        self._ended.add(trial.id)

    def energy(self, by_window: dict[str, int], charged_uj: int) -> None:
        now_s = time.monotonic()
        for running in list(self._running.values()):
            running.read(by_window.get(running.trial.window(running.trial.attempts), 0), now_s)
        self._spent_uj[self._strategy] = charged_uj

    def _spent_kwh(self) -> float:
        return self._kwh(sum(self._spent_uj.values()))

    def _best_so_far(self) -> str:
        """Return the best finished trial of the strategy in words; empty before there is one."""
        if self._best is None:
            return ""
        value = with_unit(self._objective, self._best.val_deciding)
        return f"best so far: {value} at tau {describe_point(self._best.point)}, seed {self._best.seed}"


def _teacher_progress(metric: Metric, epochs: int, metrics: dict[str, Any]) -> str:
    value = with_unit(metric, deciding_value(metrics))
    return f"training the teacher: epoch {metrics['epoch']}/{epochs}, validation {value}"


class PlainLines(_Display):
    """Prints a line for each message, each tenth of a teacher's training, each started strategy and ended trial."""

    _tenths_of_teacher = 0

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def message(self, text: str) -> None:
        self._print(f"{text} ...")

    def teacher_epoch(self, epochs: int, metrics: dict[str, Any]) -> None:
        # Progress is read now and then, so an epoch may be seen several times or never.
        tenths = 10 * metrics["epoch"] // epochs
        if tenths not in (0, self._tenths_of_teacher):
            self._print(_teacher_progress(self._objective, epochs, metrics))
        self._tenths_of_teacher = tenths

    def strategy_started(self, name: str, trials: int, ended: int = 0) -> None:
        super().strategy_started(name, trials, ended)
        self._print(f"{name}: {counted(trials, 'trial')}" + (f", {ended} done before" if ended else ""))

    def trial_ended(self, trial: Trial) -> None:
        super().trial_ended(trial)
        progress = self._progress
        outcome = (
            f"validation {with_unit(self._objective, trial.val_deciding)}"
            if trial.val_deciding is not None
            else f"{trial.error}"
        )
        self._print(
            f"{self._strategy} {progress.ended[self._strategy]}/{progress.planned[self._strategy]}: "
            f"tau {describe_point(trial.point)}, seed {trial.seed}, {counted(trial.epochs, 'epoch')}, {trial.status}, "
            f"{outcome}; {progress.eta()}"
        )


class LiveTable(_Display):
    """A table of the running trials that is updated continuously."""

    draws_bars = True

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._message = "checking"
        self._began_s = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def started(self, study: Study, planned: dict[str, int]) -> None:
        super().started(study, planned)
        self._live.start()

    def message(self, text: str) -> None:
        self._message = text
        if not self._live.is_started:  # such as during a download before the study
            self._console.print(f"{text} ...", highlight=False, markup=False, soft_wrap=True)

    def teacher_epoch(self, epochs: int, metrics: dict[str, Any]) -> None:
        self._message = _teacher_progress(self._objective, epochs, metrics)

    def strategy_started(self, name: str, trials: int, ended: int = 0) -> None:
        super().strategy_started(name, trials, ended)
        self._message = ""

    def strategy_ended(self, name: str) -> None:
        progress = self._progress
        self._console.print(
            f"{name}: {counted(progress.ended.get(name, 0), 'trial')} ended, "
            f"{energy(self._kwh(self._spent_uj.get(name, 0)))} so far",
            highlight=False,
        )
        self._running.clear()
        self._message = "preparing the next strategy"

    def ended(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        progress = self._progress
        elapsed = duration(time.monotonic() - self._began_s)
        if not self._strategy or (self._message and not self._running):
            return Text(f"{self._message} ... ({elapsed})")
        done, planned = progress.ended.get(self._strategy, 0), progress.planned.get(self._strategy, 0)
        watts = [running.watts for running in list(self._running.values()) if running.watts is not None]
        power = f", trials {significant(sum(watts))} W" if watts else ""
        head = Text(
            f"{self._strategy}: {done}/{planned} trials, study {energy(self._spent_kwh())}{power}, "
            f"{elapsed} elapsed, {progress.eta()}",
            style="bold",
        )
        lines: list[RenderableType] = [head, _bar_with_count(*progress.of_study())]
        lines += [Text(self._best_so_far())] if self._best else []
        if not self._running:
            return Group(*lines, Text("testing the chosen models" if done >= planned else "starting workers"))
        return Group(*lines, self._table())

    def _table(self) -> Table:
        """Return a row for each running trial."""
        table = Table(box=None, pad_edge=False)
        for name in ("trial", "tau", "seed", "", "epoch", f"val. {self._objective.heading}", "W", "energy"):
            table.add_column(name, justify="left" if name in ("trial", "tau", "") else "right")
        for running in list(self._running.values()):
            table.add_row(
                running.trial.id,
                Text(describe_point(running.trial.point)),
                str(running.trial.seed),
                ProgressBar(total=max(1, running.epochs), completed=running.epoch, width=_TRIAL_BAR),
                f"{running.epoch}/{running.epochs}",
                of_metric(self._objective, running.value),
                significant(running.watts),
                energy(self._kwh(running.energy_uj)),
            )
        return table


def _bar_with_count(ended: int, planned: int) -> RenderableType:
    """Return the bar of the whole study, with the number of trials behind it."""
    line = Table.grid(padding=(0, 1))
    line.add_row(
        ProgressBar(total=max(1, planned), completed=ended, width=_STUDY_BAR), f"{ended}/{planned} trials of the study"
    )
    return line


def display(console: Console, *, quiet: bool = False) -> Watcher:
    """Return a display for the console: a live table, plain lines, or none."""
    if quiet:
        return Watcher()
    return LiveTable(console) if console.is_terminal else PlainLines(console)
