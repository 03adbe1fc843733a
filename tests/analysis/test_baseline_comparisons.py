"""Statistics of a cost table, from hand-written results."""

import json
import random

import pytest

from kdtune.analysis.baseline_comparisons import statistics_of
from kdtune.analysis.comparison import compare
from kdtune.analysis.difference_verdicts import paired_comparison, with_verdicts
from kdtune.catalog.metric import Metric
from kdtune.errors import UsageError
from tests.results.several import ran

SECONDS = [4.0, 4.2, 4.1, 4.0, 4.3, 4.1]
BASE = [0.600, 0.612, 0.595, 0.604, 0.588, 0.607]


def shifted(*by):
    return [round(base + one, 3) for base, one in zip(BASE, by, strict=True)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A clear gain for twice the energy, a tiny difference, and a noisy one."""
    results = tmp_path_factory.mktemp("results")
    ran(results, "stochastic", BASE, trial_s=SECONDS)
    longer = [2.1 * second for second in SECONDS[:-1]] + [2 * SECONDS[-1]]
    ran(results, "grid", shifted(0.03, 0.02, 0.025, 0.031, 0.022, 0.028), trial_s=longer)
    ran(results, "fixed", shifted(0.001, -0.001, 0.0, 0.0, 0.001, 0.0), trial_s=SECONDS)
    ran(results, "none", shifted(0.01, -0.02, 0.015, 0.0, -0.01, 0.02), trial_s=SECONDS)
    return statistics_of(compare(results / "small"), "stochastic")


def comparison(found, strategy):
    return next(one for one in found.comparisons if one.strategy == strategy)


def test_a_clear_difference_an_equivalence_and_an_open_comparison(found):
    assert (found.baseline, found.metric, found.margin) == ("stochastic", "accuracy", 0.005)
    verdicts = {one.strategy: (one.verdict, one.within_margin) for one in found.comparisons}
    assert verdicts == {"grid": ("better", False), "fixed": ("equivalent", True), "none": ("open", False)}
    grid, none = comparison(found, "grid"), comparison(found, "none")
    assert grid.difference.mean == pytest.approx(0.026) and grid.difference.low > 0 and grid.bootstrap.low > 0
    assert (grid.sign_flip_p, grid.smallest_sign_flip_p, grid.better_share.mean) == (0.03125, 0.03125, 1.0)
    assert grid.repeats_to_settle is None and none.repeats_to_settle > 6
    assert all(one.t_p <= one.t_p_holm for one in found.comparisons)


def test_energies_are_ratios_of_repeats_with_an_interval_of_the_logarithm(found):
    ratio = comparison(found, "grid").energy_as_run
    assert ratio.low < ratio.mean < ratio.high and ratio.mean == pytest.approx(2.08, abs=0.01)
    assert comparison(found, "fixed").energy_training.mean == pytest.approx(1.0)


def test_repeats_with_energy_in_common_give_no_interval_of_the_ratio(tmp_path):
    for strategy, seconds in (("stochastic", [4, 5, 6]), ("fixed", [5, 5, 5])):
        ran(tmp_path, strategy, BASE[:3], trial_s=seconds, start_s=10)
    [one] = statistics_of(compare(tmp_path / "small"), "stochastic").comparisons
    assert one.energy_as_run.n == 3 and not one.energy_as_run.is_bounded and one.energy_training.is_bounded


def test_each_strategy_has_its_interval_and_the_gap_of_its_chosen_models(found):
    grid = found.strategies[0]
    assert grid.strategy == "grid" and grid.test.mean == pytest.approx(0.627) and grid.test_std > 0
    assert grid.test_bootstrap.low < grid.test.mean < grid.test_bootstrap.high
    assert grid.gap.mean == pytest.approx(0.5 - 0.627)


def test_the_record_is_json_without_infinities(found, tmp_path):
    record = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert record["comparisons"][0]["difference"]["n"] == 6
    ran(tmp_path, "stochastic", [0.6])
    single = statistics_of(compare(tmp_path / "small"), "stochastic").as_json()
    assert single["strategies"][0]["test"]["low"] is None and single["comparisons"] == []


def test_five_repeats_cannot_establish_a_difference_but_equivalence(tmp_path):
    ran(tmp_path, "stochastic", BASE[:5])
    ran(tmp_path, "grid", [one + 0.1 for one in BASE[:5]])
    ran(tmp_path, "fixed", BASE[:5])
    found = statistics_of(compare(tmp_path / "small"), "stochastic")
    assert {one.strategy: one.verdict for one in found.comparisons} == {"grid": "open", "fixed": "equivalent"}
    assert comparison(found, "grid").repeats_to_settle == 6


def test_without_the_baseline_or_a_common_seed_nothing_is_compared(tmp_path):
    ran(tmp_path, "grid", [0.6, None])
    ran(tmp_path, "fixed", [None, 0.6])
    assert statistics_of(compare(tmp_path / "small"), "stochastic").comparisons == ()
    [one] = statistics_of(compare(tmp_path / "small"), "fixed").comparisons
    assert one.difference is None and one.verdict == "open" and one.repeats_to_settle is None


def test_studies_with_different_margins_are_not_compared(tmp_path):
    ran(tmp_path / "a", "grid", [0.6], margin=0.01)
    ran(tmp_path / "b", "fixed", [0.6])
    with pytest.raises(UsageError, match=r"margin: margin 0\.01 .*small/grid\); margin 0\.005 "):
        compare([tmp_path / "a" / "small", tmp_path / "b" / "small"])


def test_verdicts_are_seldom_wrong():
    """Tables of three comparisons with six repeats; ``benchmarks/results/statistics.json`` has more of them."""
    random_ = random.Random(1)
    metric, margin, tables = Metric("accuracy"), 0.005, 60
    wrong = {"no difference": 0, "at the margin": 0}
    for _ in range(tables):
        for what, mean in (("no difference", 0.0), ("at the margin", margin)):
            drawn = [[random_.gauss(mean, 0.004) for _ in range(6)] for _ in range(3)]
            compared = [paired_comparison(str(place), one, metric, margin, 1e-4) for place, one in enumerate(drawn)]
            judged = with_verdicts(compared, metric, margin)
            errors = [one.verdict in ("better", "worse") if not mean else one.within_margin for one in judged]
            wrong[what] += any(errors)
    # At most 5 % are expected; 8 or more of 60 would have a probability below 1 %.
    assert all(count < 8 for count in wrong.values()), wrong
