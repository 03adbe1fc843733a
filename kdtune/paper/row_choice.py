"""Choice of the run that fills a row of the paper's tables, and reasons why other runs fill none."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from kdtune.paper.printed_values import TEACHER, PaperRow, paper_values
from kdtune.paper.setting_differences import cuts, differences, other_options
from kdtune.paper.study_runs import StrategyRun

#: The run that fills a row, by the row's study and strategy.
Shown = Mapping[tuple[str | None, str], StrategyRun]


def choose(row: PaperRow, runs: Sequence[StrategyRun]) -> StrategyRun | None:
    """Return the run that is most similar to the paper's; the first of several equal ones.

    Runs with the strategy's usual options come first. The next criteria are the number of differences from the paper's
    setting, the number of epochs, the number of images, and the number of repeats.
    """
    fitting = [run for run in runs if run.study.name == row.study]
    if row.strategy == TEACHER:
        fitting = [run for run in fitting if run.teacher]
    else:
        fitting = [run for run in fitting if run.result.strategy == row.strategy and run.tested]

    def nearness(run: StrategyRun) -> tuple[bool, int, int, int, int]:
        as_usual = row.strategy == TEACHER or other_options(run.study, row.strategy) is None
        training = run.study.teacher_training if row.strategy == TEACHER else run.study.training
        apart = abs(training.epochs - paper_values().epochs_of(run.study.name))
        return as_usual, -_departures(run, row.strategy), -apart, run.images, run.tested

    return max(fitting, key=nearness, default=None)


def _departures(run: StrategyRun, strategy: str) -> int:
    """Return the number of differences from the paper's setting, in which every reduction counts separately."""
    short = cuts(run, strategy)
    return len(differences(run, strategy)) - bool(short) + len(short)


def unfinished(runs: Iterable[StrategyRun], shown: Shown) -> list[StrategyRun]:
    """Return the runs that have no model yet and would fill an empty row."""
    empty = _rows() - shown.keys()
    return [run for run in runs if _key(run) in empty and not run.tested]


def to_finish(run: StrategyRun) -> str:
    """Return the command that finishes a run."""
    return f"kdtune resume {shlex.quote(f'{run.place}/{run.folder.path.name}')}"


def why_in_no_row(runs: Iterable[StrategyRun], shown: Shown) -> list[str]:
    """Return lines about runs of the paper's studies that fill no row; strategies without a row share a line."""
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
            lines.append(f"{name}: in no row, since it has no model yet; to finish it: {to_finish(run)}")
        elif shown[key] is not run:
            lines.append(f"{name}: in no row, since {shown[key].place} is more similar to the paper's.")
    return lines + [
        f"{place}: in no row, since the paper's tables have no row for {', '.join(names)}."
        for place, names in without_row.items()
    ]


def _key(run: StrategyRun) -> tuple[str | None, str]:
    return run.study.name, run.result.strategy


def _rows() -> set[tuple[str | None, str]]:
    """Return the study and strategy of each row of the paper for which kdtune has a study."""
    tables = paper_values().tables
    return {row.key for table in tables for block in table.blocks for row in block.rows if row.study}
