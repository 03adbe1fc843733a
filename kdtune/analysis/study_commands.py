"""Commands that run further strategies or repeats of a study under the same conditions as its results."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from kdtune.results.folder import StrategyFolder, StudyFolder

#: Cores per trial unless the user gives another number.
_USUAL_CPUS = 1.0


def command_for(frozen: StrategyFolder, labels: Sequence[str], *options: str, out: Path | None = None) -> str:
    """Return the command that runs strategies of a study as its other results were run.

    It names the frozen study, since a study file may have changed since then, and ``--set`` may have changed the study.

    Args:
        frozen: Folder of a strategy whose study is to be run.
        labels: Labels of the strategies.
        options: Further options of the command.
        out: Results folder; by default the one that holds the study.
    """
    folder = frozen.study
    words = ["kdtune", "study", str(frozen.study_toml)]
    words += [word for label in labels for word in ("-s", label)]
    return shlex.join([*words, *options, "--out", str(out or folder.path.parent), *_conditions(frozen)])


def beside(folder: StudyFolder, suffix: str) -> Path:
    """Return a results folder beside the one that holds a study, named after it, for a command that keeps the study."""
    place = folder.path.parent
    if place.name in ("", ".."):
        place = place.resolve()
    return place.parent / f"{place.name or 'results'}-{suffix}"


def _conditions(frozen: StrategyFolder) -> list[str]:
    """Return the options with which the last command ran the study."""
    settings = frozen.study.noted_settings()
    if settings is None:
        return []
    words = ["--inline"] if settings.inline else []
    if settings.cpus_per_trial != _USUAL_CPUS:
        words += ["--cpus-per-trial", f"{settings.cpus_per_trial:g}"]
    if settings.gpus_per_trial % 1:
        words += ["--gpus-per-trial", f"{settings.gpus_per_trial:g}"]
    return [*words, "--teacher", settings.teacher] if settings.teacher else words
