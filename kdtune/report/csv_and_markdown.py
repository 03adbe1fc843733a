"""The cost table as CSV and as Markdown. Names are escaped, so that the files are safe to open."""

import csv
import io
from collections.abc import Iterable, Sequence

from kdtune.report.cost_rows import Row, columns, cost_rows, has_green_index, teacher_row
from kdtune.report.deployed_columns import deployed_columns, deployed_means
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import StrategyResult
from kdtune.storage.escaping import for_markdown, for_spreadsheet
from kdtune.storage.records import as_record

#: Columns of the CSV, with units in the names. Figures have full precision.
CSV_COLUMNS = (
    "study",
    "strategy",
    "status",
    "repeats",
    "models",
    "trials",
    "val_accuracy_mean",
    "val_accuracy_std",
    "test_accuracy_mean",
    "test_accuracy_std",
    "gflops_millions",
    "charged_kwh",
    "per_repeat_kwh",
    "training_kwh",
    "charged_co2_g",
    "teacher_kwh",
    "with_teacher_kwh",
    "with_teacher_co2_g",
    "wall_s",
    "gpu_hours",
    "quality",
    "attribution",
)

#: Additional columns for the green index.
GREEN_COLUMNS = ("green_index_points", "green_index_points_std")


#: Further ones where another metric than the accuracy decided.
OBJECTIVE_COLUMNS = (
    "objective",
    "val_objective_mean",
    "val_objective_std",
    "test_objective_mean",
    "test_objective_std",
)


#: Further ones where models were quantised, with means over repeats.
DEPLOYED_COLUMNS = (
    "bits",
    "size_bytes",
    "float_size_bytes",
    "float_accuracy",
    "simulated_accuracy",
    "float_objective",
    "simulated_objective",
    "float_ms",
    "int8_ms",
)


def as_csv(results: Sequence[StrategyResult]) -> str:
    """Return the CSV with one line per strategy. Cells of unmeasured values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = (*CSV_COLUMNS, *GREEN_COLUMNS) if has_green_index(results) else CSV_COLUMNS
    names = (*names, *OBJECTIVE_COLUMNS) if any(result.objective for result in results) else names
    names = (*names, *DEPLOYED_COLUMNS) if deployed_columns(results) else names
    writer.writerow(names)
    for result in results:
        known = {
            **dict.fromkeys((*OBJECTIVE_COLUMNS, *DEPLOYED_COLUMNS)),
            **deployed_means(result),
            **as_record(result.summary),
            **as_record(result.cost),
            **{key: getattr(result, key) for key in ("study", "strategy", "status", "trials", "objective")},
            "repeats": len(result.repeats),
            **{f"green_index_{key}": value for key, value in as_record(result.green_index or {}).items()},
        }
        writer.writerow([for_spreadsheet(known[column]) for column in names])
    return text.getvalue()


def as_markdown(results: Sequence[StrategyResult], teacher: Teacher | None, baseline: str, *, wide: bool = True) -> str:
    """Return the cost table as a Markdown table; see :func:`kdtune.report.tables.cost_table`."""
    rows = cost_rows(results, baseline, teacher, wide=wide)
    if teacher and results:
        rows.append(teacher_row(teacher, results, wide=wide))
    names = list(columns(results, teacher, wide=wide))
    rule = [":--" if name in ("strategy", "tau") else "--:" for name in names]
    return "\n".join(markdown_row(row) for row in [names, rule, *rows])


def markdown_row(cells: Row) -> str:
    """Return a row of a Markdown table with escaped cells."""
    return "| " + " | ".join(map(for_markdown, cells)) + " |"


def markdown_list(lines: Iterable[str]) -> str:
    """Return a Markdown list with one item per line."""
    return "\n".join(f"- {for_markdown(line)}" for line in lines)
