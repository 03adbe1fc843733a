"""Which control of restarts belongs to a strategy of one training."""

from typing import Any

from kdtune.analysis.study_commands import definition
from kdtune.catalog.builtin import STRATEGIES
from kdtune.specs.study import Study
from kdtune.specs.temperature_range import HAS_RUN

#: Name of the strategy that restarts a training.
_CONTROL = "best-of"


def restarts_training(study: Study, control: str, label: str) -> bool:
    """Return whether a control restarts the training of a strategy.

    Args:
        study: The study of both.
        control: Label of a strategy.
        label: Label of the strategy of one training.
    """
    name, given = study.labelled(control)
    if STRATEGIES.facts_of(name).get("control") != "luck":
        return False
    restarted = STRATEGIES.load(name).restarted(given)
    return bool(restarted) and _complete(*restarted) == _complete(*study.labelled(label))


def control_options(study: Study, label: str) -> tuple[list[str], list[str]]:
    """Return the label of the control that restarts a strategy, and the options of ``kdtune study`` that define it.

    Args:
        study: The study.
        label: Label of the strategy of one training.

    Returns:
        No label for a strategy that cannot be restarted; no options for a control that the study lists.
    """
    listed = [one for one in study.strategies if restarts_training(study, one, label)]
    if listed:
        return listed[:1], []
    name, given = study.labelled(label)
    if not STRATEGIES.facts_of(name).get("restartable"):
        return [], []
    control = f"{_CONTROL}-{label}"
    table = {"strategy": _CONTROL, "of": name, **given}
    return [control], definition(control, table)


def _complete(name: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a strategy with all its options, given or by default."""
    model = STRATEGIES.load(name).options_model(given)
    return name, model.model_validate(given, context=HAS_RUN).model_dump()
