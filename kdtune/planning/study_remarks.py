"""Remarks about settings of a study that have no effect, made before energy is spent on them."""

from collections.abc import Collection
from contextlib import suppress

from kdtune.catalog.builtin import LOSSES, is_all_built_in
from kdtune.errors import KdtuneError
from kdtune.planning.trial_plan import first_recipe, uses_teacher
from kdtune.specs.study import Study
from kdtune.training.resolution import representative_recipe

#: How a weight of zero for the labels is avoided, by the setting that gives it.
_REMEDIES = {"alpha = 1": "set alpha below 1", "label_weight = 0": "set label_weight above 0"}


def study_remarks(study: Study, labels: Collection[str]) -> list[str]:
    """Return remarks for the user about the given strategies of a study; components of others are not imported.

    Args:
        study: The study.
        labels: Labels of the strategies that are to run.
    """
    if study.training.class_weights is None:
        return []
    without: dict[tuple[str, str], list[str]] = {}  # labels, by the setting and the loss
    for label in labels:
        if is_all_built_in(*study.labelled(label)) and uses_teacher(study, label):
            with suppress(KdtuneError):  # what cannot be trained is reported elsewhere
                if found := _loss_without_labels(study, label):
                    without.setdefault(found, []).append(label)
    remarks = []
    for (setting, loss), some in without.items():
        where = "" if len(some) == len(labels) else f" in {', '.join(some)}"
        remarks.append(
            f"training.class_weights has no effect{where}: with {setting}, the loss {loss} does not use the labels; "
            f"{_REMEDIES[setting]}, or remove class_weights"
        )
    return remarks


def _loss_without_labels(study: Study, label: str) -> tuple[str, str] | None:
    """Return the setting that gives the labels no weight, and the loss that a strategy trains with.

    It is None if the labels have a weight, or the loss is not one of kdtune's own.
    """
    recipe = first_recipe(study, label) or representative_recipe(study, with_teacher=True)
    method = recipe.method
    if method.name not in LOSSES or not all(phase.needs_teacher for phase in recipe.phases):
        return None
    weight = method.options.get("label_weight")
    if weight is not None:
        return None if weight else ("label_weight = 0", method.name)
    return ("alpha = 1", method.name) if recipe.alpha == 1 and "alpha" not in study.search_space else None
