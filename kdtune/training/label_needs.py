"""Finds out whether a training needs labels, which synthetic images do not have.

This module does not import torch, because plans are made without it.
"""

from kdtune.errors import Fault
from kdtune.specs.component import Component
from kdtune.specs.trial_spec import Recipe
from kdtune.temperature.loading import policy_class

_WHY = "and synthetic images have no labels"


def label_fault(recipe: Recipe) -> Fault | None:
    """Return why a training needs labels, with the key that decides it; None if it needs none.

    A loss that is not built in is judged by its ``alpha``, since it is not known how it uses labels.
    """
    if recipe.quantisation:
        problem = f"{recipe.quantisation.kind!r} quantises with labelled images, {_WHY}; leave this strategy out"
        return Fault("point", "quantised", problem)
    parts = [(phase.method, phase.temperature, phase.needs_teacher) for phase in recipe.phases]
    for method, temperature, needs_teacher in parts or [(recipe.method, recipe.temperature, recipe.needs_teacher)]:
        if not needs_teacher:
            of = f"{recipe.method.name!r}" if not parts else f"{recipe.method.name!r} has a phase that"
            return Fault("point", "loss", f"{of} trains on labels alone, {_WHY}; use a loss with a teacher")
        if fault := _of_weights(method):
            return fault
        if temperature and policy_class(temperature.name, temperature.digest).needs_labels:
            problem = f"{temperature.name!r} computes tau from labels, {_WHY}; use another temperature"
            return Fault("point", "temperature", problem)
    return None


def _of_weights(method: Component) -> Fault | None:
    """Return a fault if a method gives the loss with the labels any weight."""
    weight, key, remedy = method.options.get("label_weight"), "label_weight", "set label_weight = 0"
    if weight is None:
        alpha = float(method.options.get("alpha", 1.0))
        weight, key, remedy = 1.0 - alpha, "alpha", "set alpha = 1"
    if not weight:
        return None
    problem = f"gives the loss with the labels a weight of {weight:g} under {method.name!r}, {_WHY}; {remedy}"
    return Fault("point", key, problem)
