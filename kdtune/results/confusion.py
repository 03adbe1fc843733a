"""``confusion.csv``: the confusion matrix of a chosen model on the test images."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from kdtune.storage.escaping import for_spreadsheet
from kdtune.storage.files import replaced_atomically

#: Content of the first cell, which says what the rows and the columns are.
CORNER = "true class \\ predicted"


def write_confusion(path: Path, counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> None:
    """Write a confusion matrix. It has a file of its own because it can be large: 40,000 numbers for 200 classes.

    Args:
        path: The file.
        counts: Numbers of images, (classes, classes): a row for each true class, a column for each predicted one.
        class_names: Names of the first classes. Classes without a name are numbered.
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
