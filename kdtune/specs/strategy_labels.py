"""Validation of the strategies that a study lists, and of their labels."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import Fault, UsageError
from kdtune.specs.temperature_range import HAS_RUN
from kdtune.specs.validation_messages import faults_of

#: Valid labels of strategies, which are names of folders and keys for ``--set``.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

#: Labels with another meaning on the command line or in the folder of a study.
RESERVED_LABELS = frozenset({"all", "sessions", "abandoned"})


def check_strategies(table: Any, where: str, *, has_run: bool = False) -> list[Fault]:
    """Return the faults in the labels, names and options of the strategies that a study lists.

    Args:
        table: Options by label, with the name of the strategy as ``strategy`` if it differs from the label.
        where: The file or flag that holds them, for messages.
        has_run: Whether the study has run, so that temperatures out of range are accepted.
    """
    faults: list[Fault] = []
    if not isinstance(table, Mapping):
        return faults
    if not table:
        faults.append(Fault(where, "strategies", "is empty: list at least one, such as [strategies.stochastic]"))
    for label, options in table.items():
        key = f"strategies.{label}"
        given = dict(options) if isinstance(options, Mapping) else {}
        named = "strategy" in given
        name = given.pop("strategy", label)
        if problem := _misnamed(label, name):
            faults.append(Fault(where, key, problem))
        elif problem := STRATEGIES.problem(str(name)):
            hint = "" if named else ' (for a label of your own, name the strategy: strategy = "...")'
            faults.append(Fault(where, f"{key}.strategy" if named else key, problem + hint))
        else:
            try:
                kind = STRATEGIES.load(name)
                if not hasattr(kind, "options_model"):
                    raise UsageError(f"{name} has to be a class derived from kdtune.strategies.base.Strategy")
                model = kind.options_model(given)
            except UsageError as error:
                faults.append(Fault(where, f"{key}.strategy", str(error)))
                continue
            try:
                model.model_validate(given, context=HAS_RUN if has_run else None)
            except ValidationError as error:
                faults += faults_of(error, model, where, key)
    return faults


def _misnamed(label: str, name: Any) -> str | None:
    """Return why a label is not valid for a strategy; None if it is valid."""
    if not LABEL.fullmatch(label):
        return "a label names a folder, so it has to consist of at most 64 letters, digits, '-' and '_'"
    if label in RESERVED_LABELS:
        return "is reserved by kdtune; choose another label"
    if label in STRATEGIES and name != label:
        return f"is the name of a strategy, so it cannot be the label of {name!r}; choose another"
    return None
