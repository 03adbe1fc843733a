"""Remarks about settings of a study that have no effect, made before energy is spent on them."""

from collections.abc import Collection

from kdtune.catalog.builtin import LOSSES, STRATEGIES
from kdtune.planning.trial_plan import uses_teacher
from kdtune.specs.study import Study


def study_remarks(study: Study, labels: Collection[str]) -> list[str]:
    """Return remarks for the user about the given strategies of a study; components of others are not imported.

    Args:
        study: The study.
        labels: Labels of the strategies that are to run.
    """
    if study.training.class_weights is None or not _ignores_labels(study):
        return []
    without = [one for one in labels if study.labelled(one)[0] in STRATEGIES and uses_teacher(study, one)]
    if not without:
        return []
    where = "" if len(without) == len(labels) else f" in {', '.join(without)}"
    return [
        f"training.class_weights has no effect{where}: with alpha = 1, the loss {study.loss} does not use the labels; "
        "set alpha below 1, or remove class_weights"
    ]


def _ignores_labels(study: Study) -> bool:
    """Return whether the study's loss is one of kdtune's own and gives the loss with the labels no weight."""
    alpha = study.loss.options.get("alpha", study.alpha)
    return study.loss.name in LOSSES and alpha == 1 and "alpha" not in study.search_space
