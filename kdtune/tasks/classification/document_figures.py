"""Figures of classifiers from their kept confusion matrices, without importing torch."""

import csv
from collections.abc import Mapping, Sequence

from kdtune.tasks.model_figures import Matrices, ModelFigure


def document_figures(documents: Mapping[str, Mapping[str, str]]) -> list[ModelFigure]:
    """Return the confusion matrices of models; see :func:`kdtune.tasks.model_figures.figures_of_documents`."""
    tables = {
        model: list(csv.reader(files["confusion"].splitlines()))
        for model, files in documents.items()
        if "confusion" in files
    }
    if not tables:
        return []
    classes = next(iter(tables.values()))[0][1:]
    counts = {model: [[int(cell) for cell in row[1:]] for row in rows[1:]] for model, rows in tables.items()}
    return [confusion_matrices(counts, classes)]


def confusion_matrices(counts: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str]) -> Matrices:
    """Return the figure of confusion matrices.

    Args:
        counts: By model, images of each true class (rows) that were given each class (columns).
        classes: Names of the classes.
    """
    return Matrices(
        name="confusion",
        title="Confusion matrices on the test images",
        description="Each row of a matrix is a true class, and its colour shows which share of the class's images was "
        "given the class of the column. A model without mistakes has a dark diagonal and nothing else. The table lists "
        "the most frequent mistakes.",
        classes=classes,
        counts=counts,
    )
