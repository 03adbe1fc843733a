"""Trials of releases that logged a flat point alone, without the settings that it was resolved to."""

from typing import Any

from kdtune.catalog.builtin import DEFAULT_TEMPERATURE, LOSSES
from kdtune.specs.identity import digest
from kdtune.specs.study import Study

#: Fields of a study that say how it is run or described, not what one of its trainings is.
_NOT_TRAINING = {"name", "description", "repeats", "seed", "strategies", "attribution"}


def flat_trial_id(study: Study, point: dict[str, Any], seed: int) -> str:
    """The identity of such a trial: a hash of point, seed and study, 12 hexadecimal digits."""
    return digest({"point": point, "seed": seed, "recipe": study.model_dump(mode="json", exclude=_NOT_TRAINING)})[:12]


def flat_needs_teacher(study: Study, point: dict[str, Any]) -> bool:
    """Whether the training at a point compared with a teacher; so it did if its loss is not known here."""
    return bool(LOSSES.facts_of(str(point.get("loss", study.loss.name))).get("needs_teacher", True))


def flat_temperature(point: dict[str, Any]) -> str | None:
    """Name of the temperature at a point; None where its loss had no teacher."""
    return None if "loss" in point else str(point.get("temperature", DEFAULT_TEMPERATURE))
