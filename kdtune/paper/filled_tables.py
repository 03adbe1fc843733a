"""The paper's tables filled with results from here, and the ratios of their figures to the paper's."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from kdtune.analysis.comparison import WantedCarbon
from kdtune.energy.carbon import PAPER, Carbon
from kdtune.paper.network_sizes import million_parameters
from kdtune.paper.printed_values import PERCENT, TEACHER, PaperRow, paper_values
from kdtune.paper.row_choice import choose, unfinished, why_in_no_row
from kdtune.paper.setting_differences import differences, misnamed
from kdtune.paper.study_runs import StrategyRun, read_runs
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import SCHEMA_VERSION, StrategyResult

#: Metrics on the test images by name.
Metrics = Mapping[str, float | None]

#: Our figure, its deviation over repeats, and the part of it that is comparable with the paper's figure.
_Ours = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Figure:
    """A printed figure and ours, in the same unit.

    Attributes:
        column: Name of the column, such as ``accuracy`` or ``kwh``.
        paper: The printed figure.
        paper_std: Its printed deviation.
        ours: Our figure in the paper's unit (accuracies in percent); None if it was not run or not measured.
        ours_std: The sample standard deviation over repeats.
        compared: The part of our figure that is comparable with the paper's, used for the ratio; None without one.
    """

    column: str
    paper: Decimal
    paper_std: Decimal | None
    ours: float | None = None
    ours_std: float | None = None
    compared: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ratio of our comparable figure to the paper's."""
        return None if self.compared is None else self.compared / float(self.paper)

    def as_json(self) -> dict[str, Any]:
        """Return the figure as a record, with accuracies as fractions like in all of kdtune's documents."""
        unit = 100 if self.column in PERCENT else 1
        values = {key: getattr(self, key) for key in ("paper", "paper_std", "ours", "ours_std", "compared")}
        return {
            **{key: None if value is None else float(value) / unit for key, value in values.items()},
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class FilledRow:
    """A row of the paper with our results.

    Attributes:
        row: The paper's row.
        run: Our run; None if there is none.
        tests: Test metrics of each model behind our figures.
        figures: One figure per column.
        differs: Descriptions of differences between our setting and the paper's.
    """

    row: PaperRow
    run: StrategyRun | None
    tests: tuple[Metrics, ...]
    figures: tuple[Figure, ...]
    differs: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of models behind our figures."""
        return len(self.tests)

    def standard_metrics(self) -> dict[str, float | None]:
        """Return our one-versus-rest metrics that the paper defines differently; empty if there is no run."""
        return {name: _mean(name, self.tests)[0] for name in ("specificity", "prevalence")} if self.tests else {}

    def as_json(self) -> dict[str, Any]:
        """Return the row as a record."""
        return {
            "method": self.row.method,
            "study": self.row.study,
            "strategy": self.row.strategy or None,
            **({"network": self.row.network} if self.row.network else {}),
            "folder": self.run.place if self.run else None,
            "n": self.n,
            "figures": {figure.column: figure.as_json() for figure in self.figures},
            "differs": list(self.differs),
            "of_the_paper": list(self.row.footnotes),
        }


@dataclass(frozen=True)
class PaperComparison:
    """All tables of the paper, filled with our results.

    Attributes:
        rows: Rows by the number of the table and the name of the block, in the paper's order.
        ran: Whether any of the paper's studies was run.
        used: Runs that are shown in a row.
        unfinished: Runs that would be shown in a row but have no model yet.
        warnings: Warnings about runs that are shown in no row.
    """

    rows: dict[tuple[int, str], list[FilledRow]]
    ran: bool
    used: list[StrategyRun] = field(default_factory=list)
    unfinished: list[StrategyRun] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def missing(self) -> list[str]:
        """Return kdtune's studies with an empty row, in the paper's order."""
        rows = (row for block in self.rows.values() for row in block)
        return list(dict.fromkeys(row.row.study for row in rows if row.row.study and not row.run))

    def as_json(self) -> dict[str, Any]:
        """Return the document that ``compare --paper --json`` prints."""
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
    """Fill the paper's tables with results. Each study fills its own rows.

    Args:
        places: Folders with results of any studies; by default ``./results``, which need not exist.
        carbon: Settings for CO2; see :func:`kdtune.analysis.comparison.compare`.

    Raises:
        ResultsError: None of the folders has results, or they are damaged.
    """
    values = paper_values()
    runs, warnings = [], []
    for run in read_runs(places, carbon):
        if run.study.name not in values.studies:
            warnings.append(f"{run.place}: not a study of the paper, so it is in no row.")
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
    """Return the rows of a block, naming the folder of each row if rows of one study come from several folders."""
    places: dict[str | None, dict[str, None]] = {}
    for row in block:
        if row.run:
            places.setdefault(row.row.study, {})[row.run.place] = None
    rows = []
    for row in block:
        others = [place for place in places.get(row.row.study, {}) if row.run and place != row.run.place]
        if row.run and others:
            where = f"from {row.run.place}; other rows of the study are from {', '.join(others)}"
            row = replace(row, differs=(where, *row.differs))
        rows.append(row)
    return rows


def _fill(row: PaperRow, run: StrategyRun | None, columns: Sequence[str]) -> FilledRow:
    ours: dict[str, _Ours] = {}
    tests: tuple[Metrics, ...] = ()
    if run:
        teacher = run.teacher if row.strategy == TEACHER else None
        tests = (teacher.test,) if teacher else tuple(one.test for one in run.result.repeats if one.test)
        costs = _costs_of_teacher(teacher, run.result.cost.carbon) if teacher else _costs(run.result)
        ours = {column: costs[column] if column in costs else _of_tests(column, tests) for column in columns}
    if row.network:
        size = million_parameters(row.network, row.classes)
        ours = {"parameters_millions": (size, None, size)}
    figures = tuple(
        Figure(column, row.values[column], row.stds.get(column), *ours.get(column, ())) for column in columns
    )
    return FilledRow(row, run, tests, figures, tuple(differences(run, row.strategy)) if run else ())


def _of_tests(column: str, tests: Sequence[Metrics]) -> _Ours:
    mean, std = _mean(column, tests)
    return mean, std, mean


def _mean(column: str, tests: Sequence[Metrics]) -> tuple[float | None, float | None]:
    """Return mean and sample standard deviation of a metric over the models that have it, in the paper's unit."""
    unit = 100 if column in PERCENT else 1
    found = [value * unit for test in tests if (value := test.get(column)) is not None]
    return (statistics.fmean(found), _std(found)) if found else (None, None)


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _costs(result: StrategyResult) -> dict[str, _Ours]:
    """Return the cost of one model: its whole charge, as the mean over repeats. Its training is compared."""
    cost, carbon = result.cost, result.cost.carbon
    training_kwh = cost.of_one_model(cost.training_kwh)
    each_uj = [repeat.charged_uj for repeat in result.repeats if repeat.test]
    each_kwh = [carbon.kwh(uj) for uj in each_uj if uj is not None]
    std_kwh = _std(each_kwh) if len(each_kwh) == len(each_uj) else None
    as_theirs = None if training_kwh is None else training_kwh / carbon.pue * PAPER.pue
    return _columns(cost.of_one_model(cost.gflops_millions), cost.per_repeat_kwh, std_kwh, as_theirs, carbon)


def _costs_of_teacher(teacher: Teacher, carbon: Carbon) -> dict[str, _Ours]:
    """Return the cost of the teacher's training, which is unknown for given teachers."""
    energy = teacher.training
    buckets = energy.energy_uj if energy else None
    as_theirs = PAPER.kwh(buckets["trials"] + buckets["evaluation"]) if buckets else None
    kwh = carbon.kwh(energy.charged_uj) if energy else None
    return _columns(teacher.gflops_millions, kwh, None, as_theirs, carbon)


def _columns(
    gflops: float | None, kwh: float | None, std_kwh: float | None, as_theirs_kwh: float | None, carbon: Carbon
) -> dict[str, _Ours]:
    """Return the columns of a cost. CO2 is not compared, since the paper's CO2 is not proportional to its kWh."""
    co2_g, std_g = (None if one is None else one * carbon.intensity_g_per_kwh for one in (kwh, std_kwh))
    return {
        "gflops_millions": (gflops, None, gflops),
        "kwh": (kwh, std_kwh, as_theirs_kwh),
        "co2_g": (co2_g, std_g, None),
    }
