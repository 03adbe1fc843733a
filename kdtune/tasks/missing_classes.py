"""Remarks on classes of a data set that a part of it lacks."""

from collections.abc import Callable

from kdtune.data.batches import ImageSet, Splits


def missing_classes(splits: Splits, classes: int, found: Callable[[ImageSet], int], what: str) -> list[str]:
    """Name how many classes the training and the validation part lack.

    Args:
        splits: The parts.
        classes: Number of classes of the data set.
        found: Returns how many of the classes are in a part.
        what: What has a class: ``image`` or ``object``.
    """
    remarks = []
    for name, part, consequence in (
        ("training", splits.train, "no network learns them"),
        ("validation", splits.validation, "they do not influence the choice between trials"),
    ):
        if missing := classes - found(part):
            remarks.append(f"{missing} of {classes} classes have no {name} {what}: {consequence}")
    return remarks
