"""The paper's tables filled with what was run here: which result stands in which row, and how its figures compare."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from kdtune.analysis.comparison import WantedCarbon
from kdtune.energy.carbon import PAPER, Carbon
from kdtune.paper.printed_values import PERCENT, TEACHER, PaperRow, paper_values
from kdtune.paper.row_choice import choose, unfinished, why_in_no_row
from kdtune.paper.setting_differences import differences, misnamed
from kdtune.paper.study_runs import StrategyRun, read_runs
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import SCHEMA_VERSION, StrategyResult

#: Metrics on the test images by name.
Metrics = Mapping[str, float | None]

#: A figure of ours, its deviation over repeats, and what of it is like the paper's.
_Ours = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Figure:
    """A printed figure beside one of ours, in one unit.

    Attributes:
        column: What it is, such as ``accuracy`` or ``kwh``.
        paper: As printed.
        paper_std: Its printed deviation.
        ours: Ours in the paper's unit (accuracies in percent); None where it was not run or not measured.
        ours_std: The sample standard deviation over repeats.
        compared: What of ours is like the paper's figure, for the ratio; None where nothing is.
    """

    column: str
    paper: Decimal
    paper_std: Decimal | None
    ours: float | None = None
    ours_std: float | None = None
    compared: float | None = None

    @property
    def ratio(self) -> float | None:
        """What of ours is like the paper's, as a multiple of it."""
        return None if self.compared is None else self.compared / float(self.paper)

    def as_json(self) -> dict[str, Any]:
        """Accuracies as fractions, as in all of kdtune's documents."""
        unit = 100 if self.column in PERCENT else 1
        values = {key: getattr(self, key) for key in ("paper", "paper_std", "ours", "ours_std", "compared")}
        return {
            **{key: None if value is None else float(value) / unit for key, value in values.items()},
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class FilledRow:
    """A row of the paper's with what stands beside it.

    Attributes:
        row: The paper's.
        run: Whose results; None where it was not run.
        tests: What each model behind our figures reached on the test images.
        figures: One a column.
        differs: In what ours departs from the paper's setting, in words.
    """

    row: PaperRow
    run: StrategyRun | None
    tests: tuple[Metrics, ...]
    figures: tuple[Figure, ...]
    differs: tuple[str, ...]

    @property
    def n(self) -> int:
        """Models behind our figures."""
        return len(self.tests)

    def standard_metrics(self) -> dict[str, float | None]:
        """Ours of what the paper defines in a way of its own, one-versus-rest; empty where it was not run."""
        return {name: _mean(name, self.tests)[0] for name in ("specificity", "prevalence")} if self.tests else {}

    def as_json(self) -> dict[str, Any]:
        """The row as a record."""
        return {
            "method": self.row.method,
            "study": self.row.study,
            "strategy": self.row.strategy,
            "folder": self.run.place if self.run else None,
            "n": self.n,
            "figures": {figure.column: figure.as_json() for figure in self.figures},
            "differs": list(self.differs),
            "of_the_paper": list(self.row.footnotes),
        }


@dataclass(frozen=True)
class PaperComparison:
    """All of the paper's tables.

    Attributes:
        rows: By the table's number and the block's name, in the paper's order.
        ran: Whether any of the paper's studies was run.
        used: The results that stand in a row.
        unfinished: Those that would, and have come to no model yet.
        warnings: What a reader has to be told of results that stand in none.
    """

    rows: dict[tuple[int, str], list[FilledRow]]
    ran: bool
    used: list[StrategyRun] = field(default_factory=list)
    unfinished: list[StrategyRun] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def missing(self) -> list[str]:
        """Studies that kdtune has and of which a row is empty, in the paper's order."""
        rows = (row for block in self.rows.values() for row in block)
        return list(dict.fromkeys(row.row.study for row in rows if row.row.study and not row.run))

    def as_json(self) -> dict[str, Any]:
        """The document that ``compare --paper --json`` prints."""
        tables = [
            {
                "number": table.number,
                "title": table.title,
                "blocks": [
                    {
                        "name": block.name,
                        "of_the_paper": list(block.footnotes),
                        "rows": [row.as_json() for row in self.rows[table.number, block.name]],
                    }
                    for block in table.blocks
                ],
            }
            for table in paper_values().tables
        ]
        results = [run.result.as_json() for run in self.used]
        return {"schema_version": SCHEMA_VERSION, "tables": tables, "results": results, "warnings": self.warnings}


def beside_the_paper(places: Sequence[str | Path] | None = None, carbon: WantedCarbon = None) -> PaperComparison:
    """Fill the paper's tables with results, each study its own rows.

    Args:
        places: Folders with results, of any studies; ``./results``, if there is any, without them.
        carbon: As for :func:`kdtune.analysis.comparison.compare`.

    Raises:
        ResultsError: None of the folders has results, or they are damaged.
    """
    values = paper_values()
    runs, warnings = [], []
    for run in read_runs(places, carbon):
        if run.study.name not in values.studies:
            warnings.append(f"{run.place}: of no study of the paper's, so in no row.")
        elif other := misnamed(run.study):
            warnings.append(f"{run.place}: in no row, since it has {other}.")
        else:
            runs.append(run)
    rows: dict[tuple[int, str], list[FilledRow]] = {}
    for table in values.tables:
        for block in table.blocks:
            filled = [_fill(row, choose(row, runs), block.columns) for row in block.rows]
            rows[table.number, block.name] = _with_folders(filled)
    shown = {row.row.key: row.run for block in rows.values() for row in block if row.run}
    used = {run.folder.path: run for run in shown.values()}
    warnings = list(dict.fromkeys([*warnings, *why_in_no_row(runs, shown)]))
    return PaperComparison(rows, bool(runs), list(used.values()), unfinished(runs, shown), warnings)


def _with_folders(block: list[FilledRow]) -> list[FilledRow]:
    """Rows of a block, each with its folder where those of one study are from several."""
    places: dict[str | None, dict[str, None]] = {}
    for row in block:
        if row.run:
            places.setdefault(row.row.study, {})[row.run.place] = None
    told = []
    for row in block:
        others = [place for place in places.get(row.row.study, {}) if row.run and place != row.run.place]
        if row.run and others:
            where = f"from {row.run.place}; other rows of the study are from {', '.join(others)}"
            row = replace(row, differs=(where, *row.differs))
        told.append(row)
    return told


def _fill(row: PaperRow, run: StrategyRun | None, columns: Sequence[str]) -> FilledRow:
    ours: dict[str, _Ours] = {}
    tests: tuple[Metrics, ...] = ()
    if run:
        teacher = run.teacher if row.strategy == TEACHER else None
        tests = (teacher.test,) if teacher else tuple(one.test for one in run.result.repeats if one.test)
        costs = _costs_of_teacher(teacher, run.result.cost.carbon) if teacher else _costs(run.result)
        ours = {column: costs[column] if column in costs else _of_tests(column, tests) for column in columns}
    figures = tuple(
        Figure(column, row.values[column], row.stds.get(column), *ours.get(column, ())) for column in columns
    )
    return FilledRow(row, run, tests, figures, tuple(differences(run, row.strategy)) if run else ())


def _of_tests(column: str, tests: Sequence[Metrics]) -> _Ours:
    mean, std = _mean(column, tests)
    return mean, std, mean


def _mean(column: str, tests: Sequence[Metrics]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of a metric over the models that have it, in the paper's unit."""
    unit = 100 if column in PERCENT else 1
    found = [value * unit for test in tests if (value := test.get(column)) is not None]
    return (statistics.fmean(found), _std(found)) if found else (None, None)


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _costs(result: StrategyResult) -> dict[str, _Ours]:
    """What one model cost: everything that is charged, the mean over repeats; compared is its training."""
    cost, carbon = result.cost, result.cost.carbon
    training_kwh = cost.of_one_model(cost.training_kwh)
    each_uj = [repeat.charged_uj for repeat in result.repeats if repeat.test]
    each_kwh = [carbon.kwh(uj) for uj in each_uj if uj is not None]
    std_kwh = _std(each_kwh) if len(each_kwh) == len(each_uj) else None
    as_theirs = None if training_kwh is None else training_kwh / carbon.pue * PAPER.pue
    return _columns(cost.of_one_model(cost.gflops_millions), cost.per_repeat_kwh, std_kwh, as_theirs, carbon)


def _costs_of_teacher(teacher: Teacher, carbon: Carbon) -> dict[str, _Ours]:
    """What its training cost, once; unknown of one that was given."""
    energy = teacher.training
    buckets = energy.energy_uj if energy else None
    as_theirs = PAPER.kwh(buckets["trials"] + buckets["evaluation"]) if buckets else None
    kwh = carbon.kwh(energy.charged_uj) if energy else None
    return _columns(teacher.gflops_millions, kwh, None, as_theirs, carbon)


def _columns(
    gflops: float | None, kwh: float | None, std_kwh: float | None, as_theirs_kwh: float | None, carbon: Carbon
) -> dict[str, _Ours]:
    """The columns of a cost; the paper's CO2 is no fixed multiple of its kWh, so nothing of ours is like it."""
    co2_g, std_g = (None if one is None else one * carbon.intensity_g_per_kwh for one in (kwh, std_kwh))
    return {
        "gflops_millions": (gflops, None, gflops),
        "kwh": (kwh, std_kwh, as_theirs_kwh),
        "co2_g": (co2_g, std_g, None),
    }
