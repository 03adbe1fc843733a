"""The CSV file about a chosen detector on the test images: the average precision of each class."""

import csv
import io
from collections.abc import Sequence

from kdtune.storage.escaping import for_spreadsheet
from kdtune.tasks.detection.average_precision import ClassResult

#: Columns of the file; average precision by VOC's 11 points, and as an area.
PER_CLASS = ("class", "objects", "detections", "ap", "ap_area")


def per_class_csv(results: Sequence[ClassResult], class_names: Sequence[str]) -> str:
    """Return the objects, detections and average precisions of each class as CSV; empty without objects.

    Args:
        results: Of each class.
        class_names: Of the first classes; those without a name are called by their number.
    """
    titles = [*class_names, *map(str, range(len(class_names), len(results)))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PER_CLASS)
    for title, one in zip(titles, results, strict=True):
        values = ["" if value is None else value for value in (one.eleven_points, one.area)]
        writer.writerow([for_spreadsheet(title), one.objects, one.detections, *values])
    return text.getvalue()
