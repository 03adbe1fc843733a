"""Figures of detectors from their kept average precisions, without importing torch."""

import csv
from collections.abc import Mapping, Sequence

from kdtune.tasks.model_figures import Bars, ModelFigure


def document_figures(documents: Mapping[str, Mapping[str, str]]) -> list[ModelFigure]:
    """Return the bars of average precision; see :func:`kdtune.tasks.model_figures.figures_of_documents`."""
    tables = {
        model: list(csv.DictReader(files["per-class"].splitlines()))
        for model, files in documents.items()
        if "per-class" in files
    }
    if not tables:
        return []
    classes = [row["class"] for row in next(iter(tables.values()))]
    return [
        precision_bars(
            {model: [float(row["ap"]) if row["ap"] else None for row in rows] for model, rows in tables.items()},
            classes,
        )
    ]


def precision_bars(precisions: Mapping[str, Sequence[float | None]], classes: Sequence[str]) -> Bars:
    """Return the figure of the average precision of each class.

    Args:
        precisions: By model, average precisions as fractions; None for a class without objects.
        classes: Names of the classes.
    """
    return Bars(
        name="average-precision",
        title="Average precision of each class on the test images",
        description="VOC's average precision at 11 points, for the models of the first repeat. A class without objects "
        "has no bar.",
        axis="average precision (%)",
        categories=classes,
        values={
            model: [None if value is None else 100 * value for value in values] for model, values in precisions.items()
        },
    )
