"""Which of the results here stands in a row of the paper's tables, and why the others stand in none."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from kdtune.paper.printed_values import TEACHER, PaperRow, paper_values
from kdtune.paper.setting_differences import cuts, differences, other_options
from kdtune.paper.study_runs import StrategyRun
from kdtune.specs.study import Training

#: The run that stands in a row, by the row's study and strategy.
Shown = Mapping[tuple[str | None, str], StrategyRun]


def choose(row: PaperRow, runs: Sequence[StrategyRun]) -> StrategyRun | None:
    """The run that is nearest to the paper's; the first of equals.

    One with the strategy's usual options goes before any without; then the number of departures from the paper's
    setting counts, then its number of epochs, then images, then repeats.
    """
    fitting = [run for run in runs if run.study.name == row.study]
    if row.strategy == TEACHER:
        fitting = [run for run in fitting if run.teacher]
    else:
        fitting = [run for run in fitting if run.result.strategy == row.strategy and run.tested]

    def nearness(run: StrategyRun) -> tuple[bool, int, int, int, int]:
        as_usual = row.strategy == TEACHER or other_options(run.study, row.strategy) is None
        training = run.study.teacher_training if row.strategy == TEACHER else run.study.training
        return as_usual, -_departures(run, row.strategy), -_apart(training), run.images, run.tested

    return max(fitting, key=nearness, default=None)


def _departures(run: StrategyRun, strategy: str) -> int:
    """In how many ways a run departs from the paper's setting, each of those in which it was cut short by itself."""
    short = cuts(run, strategy)
    return len(differences(run, strategy)) - bool(short) + len(short)


def _apart(training: Training) -> int:
    """Epochs more or less than the paper's."""
    return abs(training.epochs - paper_values().epochs)


def unfinished(runs: Iterable[StrategyRun], shown: Shown) -> list[StrategyRun]:
    """Those that have come to no model yet and would fill a row that is empty."""
    empty = _rows() - shown.keys()
    return [run for run in runs if _key(run) in empty and not run.tested]


def to_finish(run: StrategyRun) -> str:
    """The command that finishes a run."""
    return f"kdtune resume {shlex.quote(f'{run.place}/{run.folder.path.name}')}"


def why_in_no_row(runs: Iterable[StrategyRun], shown: Shown) -> list[str]:
    """A line for each run of the paper's studies that stands in no row; those without a row in one for each folder."""
    rows, in_use = _rows(), {run.folder.path for run in shown.values()}
    lines: list[str] = []
    without_row: dict[str, list[str]] = {}
    for run in runs:
        key = _key(run)
        name = f"{run.place}/{run.folder.path.name}"
        if key not in rows:
            if run.folder.path not in in_use:  # else its teacher's row is filled from it
                without_row.setdefault(run.place, []).append(run.folder.path.name)
        elif not run.tested:
            lines.append(f"{name}: in no row, since it has no model yet; finish it: {to_finish(run)}")
        elif shown[key] is not run:
            lines.append(f"{name}: in no row, since {shown[key].place} is nearer to the paper's.")
    return lines + [
        f"{place}: in no row, since the paper's tables have none of {', '.join(names)}."
        for place, names in without_row.items()
    ]


def _key(run: StrategyRun) -> tuple[str | None, str]:
    return run.study.name, run.result.strategy


def _rows() -> set[tuple[str | None, str]]:
    """What fills each row of the paper's for which kdtune has a study."""
    tables = paper_values().tables
    return {row.key for table in tables for block in table.blocks for row in block.rows if row.study}
