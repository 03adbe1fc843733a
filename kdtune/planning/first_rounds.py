"""The first rounds of a study's strategies, asked for before anything is trained."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from kdtune.catalog.builtin import OPTION_CATALOGS, STRATEGIES, is_all_built_in
from kdtune.errors import Fault, KdtuneError, SpecError, UsageError
from kdtune.planning.rungs import until_problem
from kdtune.planning.trial_plan import make_strategies, settled_strategies
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.equal_cost import DistillationCost
from kdtune.training.resolution import resolved_recipe

#: Stands for a cost that is not known yet; no first round depends on it otherwise.
_ANY_COST = DistillationCost(flops=1.0, energy=1.0)


def foreign_labels(study: Study, labels: Iterable[str]) -> list[str]:
    """Return the labels of strategies that are not built in, or name a component that is not."""
    return [label for label in labels if not is_all_built_in(*study.labelled(label))]


def foreign_digests(study: Study) -> dict[str, list[str]]:
    """Return the digests of the sources of all strategies and temperatures that are not built in, by label."""
    digests = {}
    for label in foreign_labels(study, study.strategies):
        name, given = study.labelled(label)
        named = [
            (STRATEGIES, name),
            *((catalog, given[key]) for key, catalog in OPTION_CATALOGS.items() if key in given),
        ]
        digests[label] = [catalog.resolve(str(one)).digest for catalog, one in named]
    return digests


def first_rounds(study: Study, labels: Iterable[str], where: str) -> tuple[dict[str, list[Suggestion]], list[Fault]]:
    """Ask new instances of strategies for their first rounds.

    Args:
        study: The study, whose strategies are not changed.
        labels: Labels of the strategies.
        where: The study's file, for messages.

    Returns:
        By label, the suggestions with the smallest and the largest values; and the faults.
    """
    found: dict[str, list[Suggestion]] = {}
    faults: list[Fault] = []
    labels = list(labels)
    listed = {label: study.strategies[label] for label in labels if label in study.strategies}
    settled = settled_strategies(study.model_copy(update={"strategies": listed}), _ANY_COST)
    for label in labels:
        key = f"strategies.{label}"
        try:
            strategy = make_strategies(settled, label)[0]
            suggestions = strategy.ask()
            if not suggestions:
                raise UsageError(f"strategy {study.labelled(label)[0]}: its first round is empty: it trains nothing")
            strategy.expected_trials()
        except KdtuneError as error:
            faults.append(Fault(where, key, str(error)))
            continue
        found[label] = _extremes(suggestions)
        faults += [Fault(where, key, problem) for one in found[label] for problem in _problems(settled, label, one)]
        faults += [
            Fault(where, key, f"strategy {study.labelled(label)[0]} {problem}")
            for one in suggestions
            if (problem := until_problem(strategy, one))
        ][:1]
    return found, list(dict.fromkeys(faults))


def _problems(study: Study, label: str, suggestion: Suggestion) -> list[str]:
    """Return why a suggestion cannot be trained."""
    intro = f"strategy {study.labelled(label)[0]} suggests {suggestion.as_point()}"
    try:
        resolved_recipe(study, suggestion)
    except SpecError as error:
        return [f"{intro}: {': '.join(part for part in (fault.key, fault.problem) if part)}" for fault in error.faults]
    except KdtuneError as error:
        return [f"{intro}: {error}"]
    return []


def _extremes(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """Return the suggestions with the smallest and the largest of each value, for each way of training."""
    ways: dict[str, list[Suggestion]] = {}
    for one in suggestions:
        ways.setdefault(_way(one), []).append(one)
    found: dict[str, Suggestion] = {}
    for alike in ways.values():
        chosen = [alike[0]]
        for key in alike[0].values:
            ordered = sorted(alike, key=partial(_value, key))
            chosen += [ordered[0], ordered[-1]]
        found |= {one.model_dump_json(): one for one in chosen}
    return list(found.values())


def _value(key: str, suggestion: Suggestion) -> float:
    return suggestion.values[key]


def _way(suggestion: Suggestion) -> str:
    """Return what suggestions have in common that differ in their values alone."""
    table: dict[str, Any] = suggestion.model_dump(mode="json", exclude={"restart"})
    return json.dumps({**table, "values": sorted(suggestion.values)}, sort_keys=True)
