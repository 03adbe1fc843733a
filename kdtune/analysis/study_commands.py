"""Commands that run further strategies or repeats of a study under the same conditions as its results."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.specs.overrides import parse_override

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
    words += _definitions(frozen, labels)
    return shlex.join([*words, *options, "--out", str(out or folder.path.parent), *_conditions(frozen)])


def definition(label: str, table: Mapping[str, Any]) -> list[str]:
    """Return the options of ``kdtune study`` that define the strategy of a label."""
    return [word for text in _assignments(f"strategies.{label}", table) for word in ("--set", text)]


def _assignments(key: str, value: Any) -> list[str]:
    """Return what ``--set`` is given for a value, or for each value of a table."""
    if isinstance(value, Mapping):
        return [text for name, one in value.items() for text in _assignments(f"{key}.{name}", one)]
    return [f"{key}={_toml(value)}"]


def _definitions(frozen: StrategyFolder, labels: Sequence[str]) -> list[str]:
    """Return the options that define labels as they ran, if the frozen study does not: a later command set them."""
    listed = frozen.read_study().strategies
    ran = [one for label in labels if (one := frozen.study.strategy(label)).study_toml.is_file()]
    tables = {one.path.name: one.read_study().strategies.get(one.path.name, {}) for one in ran}
    changed = {label: table for label, table in tables.items() if table != listed.get(label, {})}
    return [word for label, table in changed.items() for word in definition(label, table)]


def _toml(value: Any) -> str:
    """Return an option as ``--set`` reads it, a word without quotation marks."""
    import tomli_w

    if isinstance(value, str) and parse_override(f"key={value}")[1] == value:
        return value
    if isinstance(value, list | tuple):  # in one line
        return "[" + ", ".join(tomli_w.dumps({"value": one}).partition("=")[2].strip() for one in value) + "]"
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


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
