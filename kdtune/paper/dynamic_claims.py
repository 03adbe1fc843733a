"""Tests of the claims about dynamic temperatures, method by method and study by study."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from kdtune.analysis.difference_verdicts import paired_comparison, with_verdicts
from kdtune.analysis.green_index import DEFAULT_WEIGHT, energy_multiple
from kdtune.analysis.verdicts import Interval, Verdict, lies_within, paired
from kdtune.catalog.builtin import STRATEGIES, TEMPERATURES
from kdtune.paper.claim_tests import MARGIN, for_gain, of_accuracies
from kdtune.paper.evidence import Evidence, PairComparison
from kdtune.paper.study_runs import StrategyRun, StudyRun

#: Fewest studies in which a method has to win for a consistent win.
FEWEST_STUDIES = 2


def not_worth_their_energy(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare each method with a tau drawn for each batch, by test accuracy less points for the energy."""
    return [_net_gain(method, drawn) for study in studies for method, drawn in _pairs(study, "stochastic")]


def _net_gain(method: StrategyRun, drawn: StrategyRun) -> Evidence:
    label = method.result.strategy
    multiple = energy_multiple(method.result, drawn.result, "charged_kwh")
    measure = f"{label} - stochastic, test {method.measured} less {DEFAULT_WEIGHT:g} point for each doubling of energy"
    comparison = PairComparison((method, drawn), measure, method.metric.unit)
    if multiple is None:
        return comparison.unsettled("energy was not measured")
    price = method.metric.score(DEFAULT_WEIGHT / method.metric.scale * math.log2(multiple))
    net = {seed: accuracy - price for seed, accuracy in method.by_seed("test_accuracy").items()}
    names = (f"{label}, at {multiple:.2f} x the energy", "stochastic")
    sides = [net, drawn.by_seed("test_accuracy")]
    return comparison.of_pairs(names, sides, for_gain(_no_gain, method), method.an_image("test_accuracy"))


def none_beats_fixed(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare each method with one fixed tau; a method that wins has to win in every study."""
    found: dict[str, list[Evidence]] = defaultdict(list)
    for study in studies:
        pairs = list(_pairs(study, "fixed"))
        winners = _better_than_fixed(pairs)
        for method, fixed in pairs:
            label = method.result.strategy
            found[label].append(_against_fixed(method, fixed, is_better=label in winners))
    return [one for of_method in found.values() for one in _consistent(of_method)]


def _better_than_fixed(pairs: Sequence[tuple[StrategyRun, StrategyRun]]) -> set[str]:
    """Return the methods of a study that ``kdtune compare`` calls better, with Holm's correction over these methods."""
    compared = []
    for method, fixed in pairs:
        differences = paired(method.by_seed("test_accuracy"), fixed.by_seed("test_accuracy"))
        resolution = max(method.an_image("test_accuracy"), fixed.an_image("test_accuracy"))
        compared.append(paired_comparison(method.result.strategy, differences, method.metric, MARGIN, resolution))
    verdicts = with_verdicts(compared, pairs[0][0].metric, MARGIN) if pairs else ()
    return {one.strategy for one in verdicts if one.verdict == "better"}


def _against_fixed(method: StrategyRun, fixed: StrategyRun, *, is_better: bool) -> Evidence:
    label = method.result.strategy
    comparison = PairComparison((method, fixed), f"{label} - fixed, test {method.measured}", method.metric.unit)
    one = of_accuracies(comparison, (method, fixed), partial(_does_not_beat, is_better=is_better))
    gain = one.interval and one.interval.gain(method.metric)
    if one.verdict == "not settled" and not one.reason and gain and gain.low > 0:
        return replace(one, reason="the tests of kdtune compare, corrected for all methods, do not establish the gain")
    return one


def _consistent(of_method: list[Evidence]) -> list[Evidence]:
    """Return the evidence on one method, in which wins count only if the method wins consistently."""
    if len(of_method) >= FEWEST_STUDIES and all(one.verdict == "contradicted" for one in of_method):
        return of_method
    reason = "it beats the fixed tau here, but not in every study and in at least two"
    return [
        replace(one, verdict="not settled", reason=reason) if one.verdict == "contradicted" else one
        for one in of_method
    ]


def _pairs(study: StudyRun, other: str) -> Iterator[tuple[StrategyRun, StrategyRun]]:
    """Yield every strategy of one training under a dynamic temperature, with another strategy of its study."""
    for label, run in study.strategies.items():
        if _is_dynamic(run, label):
            yield from study.both(label, other)


def _is_dynamic(run: StrategyRun, label: str) -> bool:
    """Return whether a strategy is one training under a dynamic temperature, by its own name or by an option's."""
    name, options = run.study.labelled(label)
    facts = STRATEGIES.facts_of(name)
    of_option = TEMPERATURES.facts_of(str(options.get("temperature")))
    return not facts.get("control") and bool(facts.get("dynamic") or of_option.get("dynamic"))


def _no_gain(interval: Interval) -> Verdict:
    return lies_within(interval, -math.inf, MARGIN)


def _does_not_beat(interval: Interval, *, is_better: bool) -> Verdict:
    if is_better:
        return "contradicted"
    return "supported" if interval.high < MARGIN else "not settled"
