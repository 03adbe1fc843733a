"""Columns about quantised models are shown beside float ones, and only where there are any."""

import csv
import io

from kdtune.report.cost_rows import columns, cost_rows
from kdtune.report.csv_and_markdown import as_csv
from kdtune.report.deployed_columns import deployed_columns, deployed_notes
from tests.report.test_tables import result, typed

FORM = {
    "bits": 8,
    "size_bytes": 2_500_000,
    "float_size_bytes": 9_000_000,
    "float_accuracy": 0.9,
    "simulated_accuracy": 0.895,
}


def repeat_of(accuracy, **changes):
    repeat = {"seed": 0, "chosen": {"tau": 4}, "val_accuracy": 0.9, "trials": 2, "charged_uj": 1}
    return {**repeat, "test": {"accuracy": accuracy}, **changes}


def results(**changes):
    summary = {"val_accuracy_mean": 0.9, "val_accuracy_std": None, "test_accuracy_mean": 0.9, "test_accuracy_std": None}
    return typed(
        result("none", repeats=[repeat_of(0.9)], summary=summary, **changes),
        result(
            "qat", repeats=[repeat_of(0.89, deployed=FORM)], summary={**summary, "test_accuracy_mean": 0.89}, **changes
        ),
    )


def cells(found):
    """Return the cells of the columns by strategy."""
    first, names = columns(found).index("bits"), deployed_columns(found)
    return {row[0]: row[first : first + len(names)] for row in cost_rows(found)}


def test_float_and_int8_stand_side_by_side():
    assert cells(results()) == {"none": ["32", "9", "90.0", "-", "-"], "qat": ["8", "2.5", "90.0", "89.0", "-"]}
    text = " ".join(deployed_notes(results()))
    assert "measured by 'kdtune inference'" in text
    assert "simulated rounding: qat 89.5 %" in text


def test_a_measured_time_is_shown_with_its_setting():
    latency = {"float_ms": 45.0, "int8_ms": 33.0, "batch_size": 32, "threads": 2}
    found = results(latency=latency)
    assert [row[4] for row in cells(found).values()] == ["45", "33"]
    assert any("32 images, 2 threads, compiled" in line for line in deployed_notes(found))


def test_without_a_quantised_model_there_are_no_such_columns():
    found = results()[:1]
    assert deployed_columns(found) == () and "bits" not in columns(found)
    assert deployed_notes(found) == []


def test_the_csv_has_means_with_units():
    rows = list(csv.DictReader(io.StringIO(as_csv(results()))))
    assert [row["size_bytes"] for row in rows] == ["", "2500000.0"]
    assert [row["bits"] for row in rows] == ["", "8.0"]
    assert rows[1]["int8_ms"] == ""
