"""The paper's tables filled with what was run here: which result stands in which row, and how its figures compare."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from kdtune.analysis.comparison import WantedCarbon
from kdtune.analysis.paper_setting import differences, misnamed, other_options
from kdtune.analysis.paper_values import PERCENT, TEACHER, PaperRow, paper_values
from kdtune.analysis.study_runs import StrategyRun, read_runs
from kdtune.energy.carbon import Carbon
from kdtune.results.outcome import SCHEMA_VERSION
from kdtune.specs.study import Training


@dataclass(frozen=True)
class Figure:
    """A printed figure beside one of ours, in one unit.

    Attributes:
        column: What it is, such as ``accuracy`` or ``kwh``.
        paper: As printed.
        paper_std: Its printed deviation.
        ours: Ours in the paper's unit (accuracies in percent); None where it was not run or not measured.
        ours_std: The sample standard deviation over repeats, of accuracies.
    """

    column: str
    paper: Decimal
    paper_std: Decimal | None
    ours: float | None
    ours_std: float | None

    @property
    def ratio(self) -> float | None:
        """Ours as a multiple of the paper's."""
        return None if self.ours is None else self.ours / float(self.paper)

    def as_json(self) -> dict[str, Any]:
        """Accuracies as fractions, as in all of kdtune's documents."""
        unit = 100 if self.column in PERCENT else 1
        values = {"paper": self.paper, "paper_std": self.paper_std, "ours": self.ours, "ours_std": self.ours_std}
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
    tests: tuple[dict[str, Any], ...]
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
        used: The results that stand in a row.
        warnings: What a reader has to be told of results that stand in none.
    """

    rows: dict[tuple[int, str], list[FilledRow]]
    used: list[StrategyRun] = field(default_factory=list)
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
        results = [run.result for run in self.used]
        return {"schema_version": SCHEMA_VERSION, "tables": tables, "results": results, "warnings": self.warnings}


def beside_the_paper(places: Sequence[str | Path] | None = None, carbon: WantedCarbon = None) -> PaperComparison:
    """Fill the paper's tables with results, each study its own rows.

    Args:
        places: Folders with results, of any studies; ``./results``, if there is any, without them.
        carbon: As for :func:`kdtune.analysis.comparison.compare`.

    Raises:
        ResultsError: A folder that was named has no results, or they are damaged.
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
    used: dict[Path, StrategyRun] = {}
    for table in values.tables:
        for block in table.blocks:
            filled = [_fill(row, _choose(row, runs), block.columns) for row in block.rows]
            rows[table.number, block.name] = filled
            used.update({row.run.folder.path: row.run for row in filled if row.run})
    shown = {(run.study.name, run.result["strategy"]): run for run in used.values()}
    for run in runs:
        key = (run.study.name, run.result["strategy"])
        if key in shown and shown[key] is not run:
            warnings.append(f"{run.place}/{key[1]}: in no row, since {shown[key].place} is nearer to the paper's.")
    return PaperComparison(rows, list(used.values()), list(dict.fromkeys(warnings)))


def _choose(row: PaperRow, runs: Sequence[StrategyRun]) -> StrategyRun | None:
    """The run that is nearest to the paper's; the first of equals.

    One with the strategy's usual options goes before any without; then the paper's number of epochs counts, then
    images, then repeats.
    """
    fitting = [run for run in runs if run.study.name == row.study]
    if row.strategy == TEACHER:
        fitting = [run for run in fitting if run.teacher]
        return max(fitting, key=lambda run: (-_apart(run.study.teacher_training), run.images), default=None)
    fitting = [run for run in fitting if run.result["strategy"] == row.strategy and run.tested]

    def nearness(run: StrategyRun) -> tuple[bool, int, int, int]:
        as_usual = other_options(run.study, row.strategy) is None
        return as_usual, -_apart(run.study.training), run.images, run.tested

    return max(fitting, key=nearness, default=None)


def _apart(training: Training) -> int:
    """Epochs more or less than the paper's."""
    return abs(training.epochs - paper_values().epochs)


def _fill(row: PaperRow, run: StrategyRun | None, columns: Sequence[str]) -> FilledRow:
    ours: dict[str, tuple[float | None, float | None]] = {}
    tests: tuple[dict[str, Any], ...] = ()
    if run:
        teacher = run.teacher if row.strategy == TEACHER else None
        tests = (teacher["test"],) if teacher else tuple(r["test"] for r in run.result["repeats"] if r["test"])
        costs = _costs_of_teacher(teacher, Carbon(**run.result["cost"]["carbon"])) if teacher else _costs(run)
        ours = {column: costs[column] if column in costs else _mean(column, tests) for column in columns}
    figures = tuple(
        Figure(column, row.values[column], row.stds.get(column), *ours.get(column, (None, None))) for column in columns
    )
    return FilledRow(row, run, tests, figures, tuple(differences(run, row.strategy)) if run else ())


def _mean(column: str, tests: Sequence[dict[str, Any]]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of a metric over the models that have it, in the paper's unit."""
    unit = 100 if column in PERCENT else 1
    found = [test[column] * unit for test in tests if test.get(column) is not None]
    if not found:
        return None, None
    return statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None


def _costs(run: StrategyRun) -> dict[str, tuple[float | None, None]]:
    """What one model cost: everything that is charged, the mean over repeats."""
    cost = run.result["cost"]
    kwh = cost["per_repeat_kwh"]
    return {
        "gflops_millions": (cost["gflops_millions"] / run.tested, None),
        "kwh": (kwh, None),
        "co2_g": (None if kwh is None else kwh * cost["carbon"]["intensity_g_per_kwh"], None),
    }


def _costs_of_teacher(teacher: dict[str, Any], carbon: Carbon) -> dict[str, tuple[float | None, None]]:
    """What its training cost, once; unknown of one that was given."""
    energy = None if teacher.get("given") else teacher["energy"]
    return {
        "gflops_millions": (teacher["gflops_millions"], None),
        "kwh": (carbon.kwh(energy["charged_uj"]) if energy else None, None),
        "co2_g": (carbon.co2_g(energy["charged_uj"]) if energy else None, None),
    }
