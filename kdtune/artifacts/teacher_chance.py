"""Whether a teacher that a user gave knows more of the data than chance; imports no torch, as its record does not.

A teacher whose classes are in another order, that was trained on other images, or that was never trained fits the
network and the data set all the same. Only its answers show it.
"""

from collections.abc import Mapping
from typing import Any

from kdtune.energy.flops import Workload
from kdtune.errors import UsageError
from kdtune.specs.study import Study

#: How likely a teacher that answers at chance may be to pass for one that does not.
SIGNIFICANCE = 1e-3


def is_at_chance(right: int, images: int, chance: float) -> bool:
    """Whether so many right answers are no evidence of more than chance: a one-sided binomial test.

    Args:
        right: Images that were classified rightly.
        images: Images in all.
        chance: Share that is right without knowing the images, such as that of the most frequent class.
    """
    from scipy.stats import binom

    return bool(binom.sf(right - 1, images, chance) > SIGNIFICANCE)


def chance_problem(study: Study, record: Mapping[str, Any], workload: Workload) -> str | None:
    """What to say of a given teacher whose accuracy is at chance; None where it is better.

    Validation and test images count together: the more there are, the weaker a teacher may be and still be
    recognised. Nothing is chosen by it.

    Args:
        study: Whose teacher.
        record: As :func:`kdtune.artifacts.teacher.measure_teacher` wrote it; earlier releases did not note the share of
            the most frequent class, for which that of a class among equals stands in.
        workload: Sizes of the validation and test parts.
    """
    images = workload.val_images + workload.test_images
    right = round(record["val_accuracy"] * workload.val_images + record["test"]["accuracy"] * workload.test_images)
    chance = record.get("chance_accuracy") or 1 / study.data_info.classes
    if not is_at_chance(right, images, chance):
        return None
    reordered = record.get("reordered_accuracy")
    order = "its classes are in another order"
    if reordered is not None:
        order += f" (in the order that fits best {reordered:.1%} of its answers would be right)"
    return (
        f"the teacher that was given is no better than chance: it classifies {right / images:.1%} of {images:,} "
        f"validation and test images rightly, and naming always the most frequent class {chance:.1%}. Perhaps {order}, "
        "it was trained on another data set or on images normalised in another way, or it was never trained"
    )


def refuse_at_chance(study: Study, record: Mapping[str, Any], workload: Workload) -> None:
    """Stop a study whose given teacher knows nothing; see :func:`chance_problem` for the arguments.

    Raises:
        UsageError: Its accuracy is at chance.
    """
    if problem := chance_problem(study, record, workload):
        raise UsageError(
            f"--teacher: {problem}. Nothing was trained; give another file, or --accept-teacher to distil from it "
            "all the same"
        )
