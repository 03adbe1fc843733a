"""The cost table as CSV and as Markdown, safe to open wherever names came from."""

import csv
import io
from typing import Any

from kdtune.report.tables import COLUMNS, Row, cost_rows, teacher_row

#: Columns of the CSV: figures at full precision, units in the names.
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


def as_csv(results: list[dict[str, Any]]) -> str:
    """One line a strategy; empty where nothing was measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        known = {
            **result["summary"],
            **result["cost"],
            **{key: result[key] for key in ("study", "strategy", "status")},
            "repeats": len(result["repeats"]),
            "trials": sum(repeat["trials"] for repeat in result["repeats"]),
        }
        writer.writerow([_safe(known[column]) for column in CSV_COLUMNS])
    return text.getvalue()


def _safe(value: Any) -> Any:
    # A spreadsheet takes a text that begins so for a formula.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def as_markdown(results: list[dict[str, Any]], teacher: dict[str, Any] | None, baseline: str) -> str:
    """The cost table as a Markdown table."""
    rows = cost_rows(results, baseline)
    if teacher and results:
        rows.append(teacher_row(teacher, results[0]["cost"]["carbon"]))
    rule = [":--" if name in ("strategy", "tau") else "--:" for name in COLUMNS]
    return "\n".join(_line(row) for row in [list(COLUMNS), rule, *rows])


def _line(cells: Row) -> str:
    escaped = (cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in cells)
    return "| " + " | ".join(escaped) + " |"
