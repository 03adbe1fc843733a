"""Accuracies that the authors of methods published for settings of kdtune's studies."""

import tomllib
from collections.abc import Collection
from functools import cache
from importlib.resources import files


@cache
def _figures() -> dict[str, dict[str, str]]:
    """Return the published figures by study and label, as printed, with the ``setting`` of each study in words."""
    text = (files("kdtune.paper") / "published_accuracies.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def published_accuracies(study: str, labels: Collection[str]) -> str | None:
    """Return a note with the published accuracies of a study's strategies and teacher; None if there are none.

    Args:
        study: Name of the study.
        labels: Labels of the strategies that the note is about.
    """
    figures = _figures().get(study, {})
    shown = [f"{label} {figure}" for label, figure in figures.items() if label in {*labels, "teacher"}]
    if len(shown) < 2:  # the teacher alone
        return None
    return (
        f"Published test accuracies in % ({figures['setting']}, on all training images, without a validation part): "
        f"{', '.join(shown)}."
    )
