"""Trials of releases that logged only a flat point and not the settings that it was resolved to."""

from typing import Any

from kdtune.catalog.builtin import DEFAULT_TEMPERATURE, LOSSES
from kdtune.specs.identity import digest
from kdtune.specs.study import Study

#: Fields of a study on which the settings of a training do not depend.
_NOT_TRAINING = {"name", "description", "repeats", "seed", "strategies", "attribution", "margin"}


def flat_trial_id(study: Study, point: dict[str, Any], seed: int) -> str:
    """Return the id of such a trial: a hash of point, seed and study, 12 hexadecimal digits."""
    return digest({"point": point, "seed": seed, "recipe": study.model_dump(mode="json", exclude=_NOT_TRAINING)})[:12]


def flat_needs_teacher(study: Study, point: dict[str, Any]) -> bool:
    """Return whether the training at a point used a teacher; True if its loss is not known in this installation."""
    return bool(LOSSES.facts_of(str(point.get("loss", study.loss.name))).get("needs_teacher", True))


def flat_temperature(point: dict[str, Any]) -> str | None:
    """Return the name of the temperature at a point; None if its loss had no teacher."""
    return None if "loss" in point else str(point.get("temperature", DEFAULT_TEMPERATURE))
