"""CSV files about a chosen classifier on the test images: the confusion matrix, and the metrics of each class."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from kdtune.storage.escaping import for_spreadsheet

#: The first cell of a confusion matrix: what the rows are, and what the columns.
CORNER = "true class \\ predicted"

#: Columns of the file about each class. Accuracy is the share of the class's images that are classified rightly.
PER_CLASS = ("class", "images", "predicted", "accuracy", "precision", "f1")


def confusion_csv(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> str:
    """Return a confusion matrix as CSV. It is kept apart from the other results: for 200 classes it has 40,000 numbers.

    Args:
        counts: Images, (classes, classes): a row for each true class, a column for each predicted one.
        class_names: Of the first classes; those without a name are called by their number.
    """
    titles = _titles(len(counts), class_names)
    return _csv([[CORNER, *titles], *([title, *row] for title, row in zip(titles, counts, strict=True))])


def per_class_csv(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> str:
    """Return images, predictions and metrics of each class as CSV; a metric that is not defined is empty.

    Args:
        counts: See :func:`confusion_csv`.
        class_names: See :func:`confusion_csv`.
    """
    rows: list[list[Any]] = [list(PER_CLASS)]
    for label, title in enumerate(_titles(len(counts), class_names)):
        right, images = counts[label][label], sum(counts[label])
        predicted = sum(row[label] for row in counts)
        shares = [(right, images), (right, predicted), (2 * right, images + predicted)]
        rows.append([title, images, predicted, *(part / whole if whole else "" for part, whole in shares)])
    return _csv(rows)


def _titles(classes: int, class_names: Sequence[str]) -> list[str]:
    titles = [*class_names, *map(str, range(len(class_names), classes))]
    if len(set(titles)) < len(titles):
        titles = [f"{label} {title}" for label, title in enumerate(titles)]
    return [*map(for_spreadsheet, titles)]


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
