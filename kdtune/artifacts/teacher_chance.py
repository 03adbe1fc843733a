"""Check that a given teacher is better than chance. Like the teacher's record, this module does not import torch.

A teacher whose classes are in another order, that was trained on other images, or that was never trained has weights of
the right shapes. Only its predictions show the mistake.
"""

from collections.abc import Mapping
from typing import Any

from kdtune.energy.flops import Workload
from kdtune.errors import UsageError
from kdtune.specs.study import Study
from kdtune.tasks.loading import objective_of

#: Significance level: probability with which a teacher at chance passes the test.
SIGNIFICANCE = 1e-3


def is_at_chance(right: int, images: int, chance: float) -> bool:
    """Return whether an accuracy is not significantly above chance, by a one-sided binomial test.

    Args:
        right: Number of correctly classified images.
        images: Number of images.
        chance: Accuracy that needs no knowledge of the images, such as the share of the most frequent class.
    """
    # Of SciPy, the distributions would take more than a second to import in every study.
    from scipy.special import bdtrc

    return right <= 0 or bool(bdtrc(right - 1, images, chance) > SIGNIFICANCE)


def chance_problem(study: Study, record: Mapping[str, Any], workload: Workload) -> str | None:
    """Return the message about a given teacher that is at chance; None if it is better, or if that is not known.

    Validation and test images are used together, since more images recognise weaker teachers. No choice depends on the
    result.

    Args:
        study: Study of the teacher.
        record: Record written by :func:`kdtune.artifacts.teacher.measure_teacher`. Records of earlier releases lack the
            share of the most frequent class, so classes of equal size are assumed for them.
        workload: Sizes of the validation and test parts.
    """
    images = workload.val_images + workload.test_images
    if record["val_accuracy"] is None:  # a task without accuracy
        return _objective_problem(study, record, workload)
    right = round(record["val_accuracy"] * workload.val_images + record["test"]["accuracy"] * workload.test_images)
    chance = record.get("chance_accuracy") or 1 / study.data_info.classes
    if not is_at_chance(right, images, chance):
        return None
    reordered = record.get("reordered_accuracy")
    order = "its classes are in another order"
    if reordered is not None:
        order += f" (with the best-fitting order, {reordered:.1%} of its predictions would be right)"
    return (
        f"the given teacher is no better than chance: it classifies {right / images:.1%} of {images:,} validation and "
        f"test images correctly, and always predicting the most frequent class gives {chance:.1%}. Perhaps {order}, "
        "it was trained on another data set or on images normalised in another way, or it was never trained"
    )


def _objective_problem(study: Study, record: Mapping[str, Any], workload: Workload) -> str | None:
    """Return the message about a given teacher whose objective is no better than that of other images' predictions."""
    chance, validated = record.get("chance_objective"), record.get("val_objective")
    tested = record["test"].get(study.objective)
    if chance is None or validated is None or tested is None:
        return None
    images = workload.val_images + workload.test_images
    value = (validated * workload.val_images + tested * workload.test_images) / images
    metric = objective_of(study)
    if metric.score(value) > metric.score(chance):
        return None
    return (
        f"the given teacher is no better than chance: its {metric.title} on {images:,} validation and test images is "
        f"{value:.1%}, and that of its predictions for other images is {chance:.1%}. Perhaps its classes are in "
        "another order, it was trained on another data set or on images normalised in another way, or it was never "
        "trained"
    )


def refuse_at_chance(problem: str | None) -> None:
    """Refuse a study whose given teacher is at chance.

    Args:
        problem: The message of :func:`chance_problem`; None if there is no such teacher.

    Raises:
        UsageError: The teacher's accuracy is at chance.
    """
    if problem:
        raise UsageError(
            f"--teacher: {problem}. Nothing was trained; give another file, or --accept-teacher to distil from it "
            "anyway"
        )
