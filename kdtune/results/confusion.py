"""``confusion.csv``: which classes a chosen model takes for which, on the test images."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from kdtune.storage.escaping import for_spreadsheet
from kdtune.storage.files import replaced_atomically

#: The first cell: what the rows are, and what the columns.
CORNER = "true class \\ predicted"


def write_confusion(path: Path, counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> None:
    """Write a confusion matrix, whole or not at all. It is a file of its own: for 200 classes it has 40,000 numbers.

    Args:
        path: Where to.
        counts: Images, (classes, classes): a row for each true class, a column for each predicted one.
        class_names: Of the first classes; those without a name are called by their number.
    """
    titles = [*class_names, *map(str, range(len(class_names), len(counts)))]
    if len(set(titles)) < len(titles):
        titles = [f"{label} {title}" for label, title in enumerate(titles)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = [*map(for_spreadsheet, titles)]
    writer.writerow([CORNER, *titles])
    writer.writerows([title, *row] for title, row in zip(titles, counts, strict=True))
    with replaced_atomically(path) as file:
        file.write(text.getvalue().encode())
