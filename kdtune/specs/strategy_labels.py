"""The labels under which a study lists its strategies, and the strategies behind them."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import Fault, UsageError
from kdtune.specs.temperature_range import HAS_RUN
from kdtune.specs.validation_messages import faults_of

#: What a strategy may be called in a study: the name of its folder, and a key that ``--set`` can reach.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

#: Labels that mean something else on the command line or in a study's folder.
RESERVED_LABELS = frozenset({"all", "sessions", "abandoned"})


def check_strategies(table: Any, where: str, *, has_run: bool = False) -> list[Fault]:
    """What is wrong with the strategies that a study lists: their labels, names and options.

    Args:
        table: By label: the options, and the strategy's name as ``strategy`` where the label is another.
        where: The file or flag that has them.
        has_run: They ran, so temperatures such as theirs are not refused.
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
            hint = "" if named else ' (a label of your own names the strategy behind it: strategy = "...")'
            faults.append(Fault(where, f"{key}.strategy" if named else key, problem + hint))
        else:
            try:
                model = STRATEGIES.load(name).options_model(given)
            except UsageError as error:
                faults.append(Fault(where, f"{key}.strategy", str(error)))
                continue
            try:
                model.model_validate(given, context=HAS_RUN if has_run else None)
            except ValidationError as error:
                faults += faults_of(error, model, where, key)
    return faults


def _misnamed(label: str, name: Any) -> str | None:
    """Why a label cannot stand for a strategy; None where it can."""
    if not LABEL.fullmatch(label):
        return "a label consists of letters, digits, '-' and '_', 64 at most: it names a folder"
    if label in RESERVED_LABELS:
        return "is taken: kdtune calls something else so; choose another label"
    if label in STRATEGIES and name != label:
        return f"is the name of a strategy, so it cannot be the label of {name!r}; choose another"
    return None
