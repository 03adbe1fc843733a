"""Tests of the claims about dynamic temperatures, method by method and study by study."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from kdtune.analysis.green_index import DEFAULT_WEIGHT, energy_multiple
from kdtune.analysis.verdicts import Interval, Verdict, lies_within
from kdtune.catalog.builtin import METHOD_STRATEGIES
from kdtune.paper.claim_tests import MARGIN, of_accuracies
from kdtune.paper.evidence import Evidence, PairComparison
from kdtune.paper.study_runs import StrategyRun, StudyRun

#: Fewest studies in which a method has to win for a consistent win.
FEWEST_STUDIES = 2


def not_worth_their_energy(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare each method with a tau drawn for each batch, by test accuracy less points for the energy."""
    return [_net_gain(method, drawn) for method, drawn in _pairs(studies, "stochastic")]


def _net_gain(method: StrategyRun, drawn: StrategyRun) -> Evidence:
    label = method.result.strategy
    multiple = energy_multiple(method.result, drawn.result, "charged_kwh")
    measure = f"{label} - stochastic, test accuracy less {DEFAULT_WEIGHT:g} point for each doubling of energy"
    comparison = PairComparison((method, drawn), measure, "fraction")
    if multiple is None:
        return comparison.unsettled("energy was not measured")
    price = DEFAULT_WEIGHT / 100 * math.log2(multiple)
    net = {seed: accuracy - price for seed, accuracy in method.by_seed("test_accuracy").items()}
    names = (f"{label}, at {multiple:.2f} x the energy", "stochastic")
    sides = [net, drawn.by_seed("test_accuracy")]
    return comparison.of_pairs(names, sides, _no_gain, method.an_image("test_accuracy"))


def none_beats_fixed(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare each method with one fixed tau; a method that wins has to win in every study."""
    found: dict[str, list[Evidence]] = defaultdict(list)
    for method, fixed in _pairs(studies, "fixed"):
        label = method.result.strategy
        comparison = PairComparison((method, fixed), f"{label} - fixed, test accuracy", "fraction")
        found[label].append(of_accuracies(comparison, (method, fixed), _does_not_beat))
    return [one for of_method in found.values() for one in _consistent(of_method)]


def _consistent(of_method: list[Evidence]) -> list[Evidence]:
    """Return the evidence on one method, in which wins count only if the method wins consistently."""
    wins = sum(one.verdict == "contradicted" for one in of_method)
    if wins >= FEWEST_STUDIES and all(one.verdict != "supported" for one in of_method):
        return of_method
    reason = "it beats the fixed tau here, but not in at least two studies and without a failure in others"
    return [
        replace(one, verdict="not settled", reason=reason) if one.verdict == "contradicted" else one
        for one in of_method
    ]


def _pairs(studies: Sequence[StudyRun], other: str) -> Iterator[tuple[StrategyRun, StrategyRun]]:
    """Yield every strategy of one training under a method, with another strategy of its study."""
    for study in studies:
        for label, run in study.strategies.items():
            if run.study.labelled(label)[0] in METHOD_STRATEGIES:
                yield from study.both(label, other)


def _no_gain(interval: Interval) -> Verdict:
    return lies_within(interval, -math.inf, MARGIN)


def _does_not_beat(interval: Interval) -> Verdict:
    if interval.low > 0:
        return "contradicted"
    return "supported" if interval.high < MARGIN else "not settled"
