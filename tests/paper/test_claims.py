"""Verdicts on results with known figures."""

from dataclasses import replace
from unittest.mock import patch

import pytest

from kdtune.analysis.baseline_comparisons import statistics_of
from kdtune.analysis.comparison import compare
from kdtune.paper import claims as all_claims
from kdtune.paper.claims import CLAIMS, judge_claims
from tests.energy.simulated import two_cores
from tests.results.several import CIFAR100_HKD, ran
from tests.studies import small_study

GRID = [{"tau": tau} for tau in (2, 6, 10)]
TRAINING = small_study()["training"]


def judged(name, *places):
    """One of the claims, which is judged alone."""
    with patch.object(all_claims, "CLAIMS", [claim for claim in CLAIMS if claim.id == name]):
        [found] = judge_claims(list(places))
    return found


def evidence(name, *places):
    found = judged(name, *places).evidence
    assert len(found) == 1
    return found[0]


def both(tmp_path, grid, stochastic, **study):
    ran(tmp_path, "grid", grid, **study)
    ran(tmp_path, "stochastic", stochastic, **study)


@pytest.mark.parametrize(
    ("stochastic", "verdict"),
    [
        ([0.700, 0.701, 0.699, 0.700], "supported"),
        ([0.690, 0.710, 0.680, 0.720], "not settled"),
        ([0.600, 0.601, 0.599, 0.600], "contradicted"),
        ([0.720, 0.721, 0.719, 0.720], "supported"),  # 'similarly or, at times, better'
    ],
)
def test_a_match_is_judged_by_paired_differences(tmp_path, stochastic, verdict):
    both(tmp_path, [0.700, 0.700, 0.700, 0.700], stochastic)
    found = evidence("hkd-matches", tmp_path)
    assert found.verdict == verdict
    assert found.interval.n == 4 and not found.is_papers
    assert found.interval.mean == pytest.approx(sum(stochastic) / 4 - 0.7)
    assert found.sides["grid"] == pytest.approx(0.7)


def test_a_task_without_accuracy_is_judged_by_its_objective(tmp_path):
    detection = {"task": "detection", "dataset": "digits_on_canvases", "validation": 300}
    detection |= {"teacher": "ssd_16_32_64_64", "student": "ssdlite_4_6_8_8"}
    both(tmp_path, [0.500, 0.501, 0.499], [0.501, 0.500, 0.500], **detection)
    found = evidence("hkd-matches", tmp_path)
    assert (found.verdict, found.measure) == ("supported", "stochastic - grid, test mAP")


def test_differences_are_between_the_same_seeds(tmp_path):
    both(tmp_path, [0.5, 0.6, 0.7], [0.501, 0.599, 0.701])  # apart by 0.1 points, among each other by 20
    assert evidence("hkd-matches", tmp_path).verdict == "supported"


def test_one_repeat_settles_nothing(tmp_path):
    both(tmp_path, [0.9], [0.1])
    found = evidence("hkd-matches", tmp_path)
    assert (found.verdict, found.interval.n, found.as_json()["interval"]["low"]) == ("not settled", 1, None)


def test_two_repeats_that_agree_settle_nothing_and_three_do(tmp_path):
    both(tmp_path / "two", [0.700, 0.700], [0.6001, 0.600])
    found = evidence("hkd-matches", tmp_path / "two")
    assert (found.verdict, found.reason) == ("not settled", "2 repeats may agree by chance: 3 are needed")
    both(tmp_path / "three", [0.700] * 3, [0.600] * 3)  # without any spread: an image's is taken
    found = evidence("hkd-matches", tmp_path / "three")
    assert found.verdict == "contradicted"
    assert found.interval.high - found.interval.mean == pytest.approx(4.302653 * 0.001 / 3**0.5, rel=1e-6)


def test_results_that_compare_refuses_settle_nothing(tmp_path):
    ran(tmp_path, "stochastic", [0.700, 0.701, 0.699])
    for strategy in ("grid", "random"):
        ran(tmp_path, strategy, [0.600, 0.601, 0.599], resolved={"cpus_per_trial": 2.0, "teacher": "another"})
    assert evidence("hkd-matches", tmp_path).verdict == "not settled"
    reason = evidence("hkd-matches", tmp_path).reason
    assert "teacher's weights: teacher none (small/stochastic); teacher another (small/grid)" in reason
    assert "cores for each trial: cpus_per_trial 1.0 (small/stochastic); cpus_per_trial 2.0 (small/grid)" in reason


def test_the_commits_of_both_sides_are_shown(tmp_path):
    ran(tmp_path, "grid", [0.7], resolved={"versions": {"commit": "0123456789ab"}})
    ran(tmp_path, "stochastic", [0.7])
    assert evidence("hkd-matches", tmp_path).as_json()["commits"] == (None, "0123456789ab")


def test_repeats_that_are_not_tested_yet_are_left_out(tmp_path):
    both(tmp_path, [0.7, None, None], [None, 0.7, None])
    found = evidence("hkd-matches", tmp_path)
    assert (found.verdict, found.interval) == ("not settled", None)
    assert "no seed has a finished repeat" in found.reason


def test_each_loss_has_its_claim(tmp_path):
    both(tmp_path, [0.700, 0.702, 0.701], [0.600, 0.601, 0.602], loss="cmc")
    assert evidence("cmc-gains", tmp_path).verdict == "supported"
    assert not judged("hkd-matches", tmp_path).evidence and not judged("dml-matches", tmp_path).evidence


def test_a_gain_too_small_to_matter_contradicts_a_gain(tmp_path):
    both(tmp_path, [0.700, 0.701, 0.699], [0.701, 0.700, 0.700], loss="cmc")
    assert evidence("cmc-gains", tmp_path).verdict == "contradicted"


def test_distillation_against_the_student_alone_and_random_against_grid(tmp_path):
    ran(tmp_path, "grid", [0.70, 0.71, 0.72])
    ran(tmp_path, "none", [0.60, 0.62, 0.61], points=({"loss": "ce"},))
    ran(tmp_path, "random", [0.701, 0.709, 0.720], strategies={"random": {"trials": 2}})
    assert evidence("kd-beats-alone", tmp_path).verdict == "supported"
    found = evidence("random-unsuitable", tmp_path)
    assert (found.verdict, found.measure) == ("contradicted", "grid - random of 2 trials, test accuracy")
    assert found.departs == ("random with trials 2 instead of 10",)


@pytest.mark.parametrize(("trials", "why"), [(1, "not a search"), (3, "the grid has 3"), (10, "the grid has 3")])
def test_random_search_of_one_point_or_of_all_settles_nothing(tmp_path, trials, why):
    ran(tmp_path, "grid", [0.70, 0.71, 0.72])
    ran(tmp_path, "random", [0.60, 0.611, 0.622], strategies={"random": {"trials": trials}})
    found = evidence("random-unsuitable", tmp_path)
    assert (found.verdict, found.interval) == ("not settled", None)
    assert why in found.reason


@pytest.mark.parametrize("study", [{}, CIFAR100_HKD], ids=["another", "paper's"])
def test_unusual_options_are_shown(tmp_path, study):
    strategies = {"grid": {}, "stochastic": {"draw": "sample"}, "none": {"longer": 4}}
    for strategy in strategies:
        ran(tmp_path, strategy, [0.7, 0.6], strategies=strategies, **study)
    assert "stochastic with draw sample instead of batch" in evidence("hkd-matches", tmp_path).departs
    assert "none with longer 4.0 instead of 1.0" in evidence("kd-beats-alone", tmp_path).departs


def test_other_search_precision_and_epochs_are_shown(tmp_path):
    space = {"tau": {"low": 2, "high": 20, "step": 1, "log": True}}
    training = {**CIFAR100_HKD["training"], "epochs": 300}
    numerics = {"precision": "bfloat16"}
    changes = {**CIFAR100_HKD, "search_space": space, "training": training, "numerics": numerics}
    both(tmp_path, [0.7, 0.7], [0.7, 0.6], **changes)
    assert evidence("hkd-matches", tmp_path).departs[1:] == (
        "300 epochs instead of 100",
        "tau on a logarithmic scale, so small ones are drawn more often",
        "networks computed in bfloat16 instead of float32",
    )


def nineteen(tmp_path, grid_s, stochastic_s, start_s=0.0, of_grid=(), claim="cost", **study):
    points = [{"tau": tau} for tau in range(2, 21)]
    n = [0.7] * len(grid_s)
    how = {"trial_s": grid_s, "search_space": "tau-2-20", "start_s": start_s, **study, **dict(of_grid)}
    ran(tmp_path, "grid", n, points=points, **how)
    ran(tmp_path, "stochastic", n, trial_s=stochastic_s, search_space="tau-2-20", start_s=start_s, **study)
    return {one.measure.rpartition(", ")[2]: one for one in judged(claim, tmp_path).evidence}


@pytest.mark.parametrize(("start_s", "verdict"), [(1000.0, "contradicted"), (0.0, "supported"), (3.0, "not settled")])
def test_without_data_the_images_count_as_run_and_not_in_training(tmp_path, start_s, verdict):
    """Energy before the trainings (20 W) stands for the images; it is varied by 2, together with 10 W of idle power."""
    images = {"ref": "noise", "images": 48, "held_out": 16, "batch_size": 24}
    times = [10.0, 10.1, 9.9], [10.0, 10.0, 10.0]
    found = nineteen(tmp_path, *times, start_s=start_s, claim="data-free-cost", synthesis=images)
    assert found["training only"].verdict == "supported"
    whole = found["as run with the images"]
    low, mean, high = (
        (570 * 14 + times * (570 * 10 + 20 * start_s)) / (30 * 14 + times * (30 * 10 + 20 * start_s))
        for times in (2, 1, 0.5)
    )
    assert whole.verdict == verdict and whole.interval.mean == pytest.approx(mean, rel=1e-3)
    assert low * 0.97 < whole.interval.low < low and high < whole.interval.high < high * 1.03
    assert not judged("cost", tmp_path).evidence


def test_the_cost_is_a_ratio_for_each_repeat(tmp_path):
    found = nineteen(tmp_path, [10.0, 10.1, 9.9], [10.0, 10.0, 10.0])["training only"]
    assert found.verdict == "supported"
    assert found.interval.mean == pytest.approx(19 * (1 * 1.01 * 0.99) ** (1 / 3), rel=1e-6)


def test_a_dearer_stochastic_contradicts_the_cost(tmp_path):
    found = nineteen(tmp_path, [10.0, 10.1, 9.9], [20.0, 20.0, 20.0])
    assert found["training only"].verdict == "contradicted"


def test_shared_energy_is_not_an_independent_measurement(tmp_path):
    found = nineteen(tmp_path, [10.0, 10.1, 9.9], [10.0, 10.0, 10.0], start_s=100.0)
    assert found["training only"].verdict == "supported"
    assert found["as run"].verdict == "not settled" and "common to the repeats" in found["as run"].reason
    # Grid: 570 s of 24 W and 100 s of 20 W; stochastic: 30 s and 100 s.
    assert found["as run"].interval.mean == pytest.approx((570 * 24 + 2000) / (30 * 24 + 2000), rel=1e-3)


def test_a_small_grid_does_not_settle_the_cost(tmp_path):
    ran(tmp_path, "grid", [0.7, 0.7], points=GRID, trial_s=[1, 1])
    ran(tmp_path, "stochastic", [0.7, 0.7], trial_s=[1, 1])
    assert {one.reason for one in judged("cost", tmp_path).evidence} == {"the grid has 3 points, not 19"}


def test_a_replayed_teacher_does_not_settle_the_cost(tmp_path):
    found = nineteen(tmp_path, [10.0, 10.1, 9.9], [10.0, 10.0, 10.0], teacher_logits="replay")
    assert {one.verdict for one in found.values()} == {"not settled"}
    assert found["as run"].reason == (
        "the teacher's logits were computed once for all points, but the paper ran the teacher in each step: use "
        "--set teacher_logits=live"
    )
    to_type = judged("cost", tmp_path).to_type
    assert to_type == "kdtune study cifar10-hkd -s grid -s stochastic --set teacher_logits=live"


@pytest.mark.parametrize(
    ("of_grid", "why"),
    [
        ({"attribution": "shared"}, "idle power is charged to one of them only (attribution)"),
        ({"neighbours": True}, "another study was metered on the node"),
        ({"hardware": replace(two_cores(), cpu_model="another CPU")}, "different machines: 2 cores of a"),
        ({"resolved": {"cpus_per_trial": 2.0}}, "cores for each trial: cpus_per_trial 2.0 (small/grid)"),
    ],
)
def test_energies_that_differ_in_origin_do_not_settle_the_cost(tmp_path, of_grid, why):
    found = nineteen(tmp_path, [10.0, 10.1, 9.9], [10.0, 10.0, 10.0], of_grid=of_grid)["training only"]
    assert found.verdict == "not settled" and why in found.reason


def test_unmeasured_energy_does_not_settle_the_cost(tmp_path):
    both(tmp_path, [0.7, 0.7], [0.7, 0.7], search_space="tau-2-20")
    assert {one.reason for one in judged("cost", tmp_path).evidence} == {"energy was not measured"}


def test_the_second_best_tau_comes_from_the_other_repeats(tmp_path):
    # By the mean of the others tau 6 is second in each repeat, though tau 10 is second in the first one's own.
    val = [[0.90, 0.70, 0.75], [0.90, 0.81, 0.70], [0.90, 0.82, 0.60]]
    ran(tmp_path, "grid", [0.7] * 3, points=GRID, val=val)
    ran(tmp_path, "stochastic", [0.7] * 3, val=[[0.70], [0.80], [0.80]])
    found = evidence("second-best", tmp_path)
    assert found.interval.mean == pytest.approx(-(0.00 + 0.01 + 0.02) / 3)
    assert found.sides["second-best"] == pytest.approx((0.70 + 0.81 + 0.82) / 3)
    assert found.verdict == "not settled"


@pytest.mark.parametrize(
    ("drawn", "verdict"),
    [
        ([0.60, 0.60, 0.60], "contradicted"),
        ([0.800, 0.812, 0.819], "contradicted"),  # as good as the second: the paper says better
        ([0.83, 0.84, 0.85], "supported"),
    ],
)
def test_the_drawn_tau_has_to_be_better_than_the_second_best(tmp_path, drawn, verdict):
    val = [[0.90, 0.80, 0.1], [0.90, 0.81, 0.1], [0.90, 0.82, 0.1]]
    ran(tmp_path, "grid", [0.7] * 3, points=GRID, val=val, images=(100, 1000))
    ran(tmp_path, "stochastic", [0.7] * 3, val=[[one] for one in drawn], images=(100, 1000))
    assert evidence("second-best", tmp_path).verdict == verdict


def test_chosen_taus_under_larger_and_smaller_teachers_are_compared(tmp_path):
    low, middle, high = [0.9, 0.2, 0.1], [0.1, 0.9, 0.2], [0.1, 0.2, 0.9]
    weak = {"name": "weak", "teacher": "convnet_4_8_16", "teacher_weights": "a" * 16}
    strong = {"name": "strong", "teacher_weights": "b" * 16}
    ran(tmp_path, "grid", [0.7] * 5, points=GRID, val=[low, low, low, low, middle], teacher_macs=5, **weak)
    ran(tmp_path, "grid", [0.7] * 5, points=GRID, val=[high] * 5, teacher_macs=50, **strong)
    ran(tmp_path, "grid", [0.7] * 5, points=GRID, teacher_macs=500, name="other", student="convnet_16_32_64")
    found = evidence("stronger-teacher", tmp_path / "weak", tmp_path / "strong", tmp_path / "other")
    assert found.studies == ("strong", "weak")
    assert found.interval.mean == pytest.approx((8 * 4 + 4) / 5)
    assert found.sides == {"under convnet_32": 10, "under convnet_4_8_16": pytest.approx(14 / 5)}
    # Deviation 1.79, less than a step of the grid, 4; t 2.776: 7.2 +- 4.97.
    assert found.interval.low == pytest.approx(7.2 - 2.776445 * 4 / 5**0.5, rel=1e-6)
    assert found.verdict == "supported"


def test_batch_sizes_are_compared_with_128(tmp_path):
    for batch, accuracies in {32: [0.701, 0.699, 0.7], 64: [0.6, 0.61, 0.6], 128: [0.7, 0.7, 0.7]}.items():
        training = {**TRAINING, "batch_size": batch}
        ran(tmp_path, "stochastic", accuracies, name=f"of-{batch}", training=training)
    ran(tmp_path, "stochastic", [0.1] * 3, name="another", training={**TRAINING, "batch_size": 16, "epochs": 9})
    places = [tmp_path / name for name in ("of-32", "of-64", "of-128", "another")]
    found = judged("batch-size", *places).evidence
    verdicts = [(one.studies, one.verdict) for one in found]
    assert verdicts == [(("of-32", "of-128"), "supported"), (("of-64", "of-128"), "contradicted")]


def test_pairs_with_different_numerics_settle_nothing(tmp_path):
    for batch, precision in {64: "bfloat16", 128: "float32"}.items():
        training = {**TRAINING, "batch_size": batch}
        numerics = {"precision": precision, "memory_layout": "contiguous", "compile": "off"}
        how = {"training": training, "numerics": numerics, "resolved": {"precision": precision}}
        ran(tmp_path, "stochastic", [0.70, 0.71, 0.70], name=f"of-{batch}", **how)
    found = evidence("batch-size", tmp_path / "of-64", tmp_path / "of-128")
    assert found.verdict == "not settled"
    assert "precision: precision bfloat16 (of-64/stochastic); precision float32 (of-128/stochastic)" in found.reason


def test_studies_that_are_no_pair_say_in_what_they_differ(tmp_path):
    for batch, epochs in {64: 3, 128: 9}.items():
        training = {**TRAINING, "batch_size": batch, "epochs": epochs}
        ran(tmp_path, "stochastic", [0.7, 0.71], name=f"of-{batch}", training=training)
    claim = judged("batch-size", tmp_path / "of-64", tmp_path / "of-128")
    assert not claim.evidence
    assert claim.unpaired == "of-64 and of-128 are no pair: they differ in training.epochs (3 and 9)"
    assert claim.as_json()["unpaired"] == claim.unpaired
    assert not judged("stronger-teacher", tmp_path / "of-64", tmp_path / "of-128").unpaired


def test_studies_of_different_data_sets_say_so_and_no_hash_of_files(tmp_path):
    ran(tmp_path, "stochastic", [0.7])
    ran(tmp_path, "stochastic", [0.7], resolved={"data": "0123456789ab"}, **CIFAR100_HKD)
    told = judged("batch-size", tmp_path / "small", tmp_path / "cifar100-hkd").unpaired
    assert "dataset (digits and cifar100)" in told and "0123456789ab" not in told


def test_the_papers_own_study_comes_first_and_says_how_it_was_cut_short(tmp_path):
    both(tmp_path, [0.7, 0.7], [0.7, 0.6])
    both(tmp_path, [0.7, 0.7], [0.7, 0.6], **CIFAR100_HKD)
    claim = judged("hkd-matches", tmp_path / "small", tmp_path / "cifar100-hkd")
    assert [(one.studies, one.is_papers) for one in claim.evidence] == [(("cifar100-hkd",), True), (("small",), False)]
    cut, space = claim.evidence[0].departs
    assert cut.startswith("reduced run: 3 of 100 epochs, 150 of 50,000 images")
    assert space == "3 temperatures from 2 to 10 instead of 19 from 2 to 20"
    assert "cifar100-hkd" not in claim.not_run
    assert claim.to_type == "kdtune study cifar10-hkd -s grid -s stochastic"


def test_a_study_of_the_papers_is_its_own_test_only_of_what_the_paper_drew_from_it(tmp_path):
    batch_64 = {**CIFAR100_HKD, "name": "cifar100-hkd-batch-64", "training": {**TRAINING, "batch_size": 64}}
    both(tmp_path, [0.7, 0.7], [0.7, 0.6], **batch_64)
    both(tmp_path, [0.7, 0.7], [0.7, 0.6], **CIFAR100_HKD)
    places = [tmp_path / "cifar100-hkd-batch-64", tmp_path / "cifar100-hkd"]
    assert [one.is_papers for one in judged("hkd-matches", *places).evidence] == [True, False]
    assert [one.is_papers for one in judged("batch-size", *places).evidence] == [True]
    assert [one.is_papers for one in judged("second-best", *places).evidence] == [False, False]


def test_a_study_that_has_been_run_and_waits_for_its_pair_is_not_asked_for_again(tmp_path):
    ran(tmp_path, "stochastic", [0.7], **CIFAR100_HKD)
    claim = judged("batch-size", tmp_path / "cifar100-hkd")
    assert not claim.evidence
    assert claim.to_type == "kdtune study cifar100-hkd-batch-32 -s stochastic"


def test_with_nothing_run_every_claim_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claims = judge_claims()
    assert [claim.claim for claim in claims] == list(CLAIMS)
    assert all(not claim.evidence and claim.to_type.startswith("kdtune study ") for claim in claims)
    document = claims[0].as_json()
    assert {one["verdict"] for one in document["evidence"]} == {"not run"}
    assert len({claim.claim.id for claim in claims}) == 12


METHOD = {"tau": 8, "temperature": "dts"}


#: Test accuracies of a method that beats 0.70.
WINS = [0.75, 0.751, 0.749, 0.75, 0.752, 0.748]


def with_method(tmp_path, method, fixed, trial_s=None, **study):
    times = {"trial_s": trial_s} if trial_s else {}
    ran(tmp_path, "dts", method, points=[METHOD], strategies={"dts": {}}, **times, **study)
    ran(tmp_path, "fixed", fixed, strategies={"dts": {}}, **study)
    times = {"trial_s": [4.0] * 4} if trial_s else {}
    ran(tmp_path, "stochastic", fixed, strategies={"dts": {}}, **times, **study)


@pytest.mark.parametrize(
    ("others", "verdicts"),
    [
        ([WINS], ["contradicted", "contradicted"]),
        ([[0.70, 0.701, 0.699, 0.70, 0.701, 0.699]], ["not settled", "supported"]),
        ([WINS, [0.75, 0.65, 0.77, 0.63, 0.74, 0.66]], ["not settled"] * 3),
        ([], ["not settled"]),
    ],
)
def test_a_method_has_to_beat_the_fixed_tau_in_every_study(tmp_path, others, verdicts):
    for number, values in enumerate([WINS, *others]):
        with_method(tmp_path, values, [0.70] * 6, name=f"study-{number}")
    found = judged("none-beats-fixed", tmp_path).evidence
    assert [one.verdict for one in found] == verdicts
    assert all(one.measure == "dts - fixed, test accuracy" for one in found)


def test_wins_are_corrected_for_the_methods_of_a_study_as_by_compare(tmp_path):
    methods = {"strategies": {"dts": {}, "normkd": {}}}
    barely = [0.702, 0.703, 0.710, 0.715, 0.730, 0.740]  # p = 0.044
    for name in ("one", "two"):
        ran(tmp_path, "dts", barely, name=name, **methods)
        ran(tmp_path, "fixed", [0.70] * 6, name=name, **methods)
    assert [one.verdict for one in judged("none-beats-fixed", tmp_path).evidence] == ["contradicted"] * 2
    ran(tmp_path, "normkd", [0.69, 0.71, 0.68, 0.72, 0.69, 0.71], name="one", **methods)
    of_compare = statistics_of(compare(tmp_path / "one"), "fixed").comparisons
    assert {one.strategy: one.verdict for one in of_compare} == {"dts": "open", "normkd": "open"}
    found = judged("none-beats-fixed", tmp_path).evidence
    of_dts = {one.studies: one for one in found if one.measure.startswith("dts")}
    assert {one.verdict for one in of_dts.values()} == {"not settled"} and of_dts["one",].interval.low > 0
    assert of_dts["one",].reason.startswith("the tests of kdtune compare, corrected for all methods, do not establish")


@pytest.mark.parametrize(
    ("trial_s", "verdict", "price"),
    [([4.0] * 4, "contradicted", 0.0), ([32.0] * 4, "supported", 0.03), (None, "not settled", None)],
)
def test_the_gain_of_a_method_is_less_a_point_for_each_doubling_of_its_energy(tmp_path, trial_s, verdict, price):
    with_method(tmp_path, [0.72, 0.721, 0.719, 0.72], [0.70] * 4, trial_s)
    found = evidence("dynamic-not-worth-it", tmp_path)
    assert found.verdict == verdict
    if price is None:
        assert found.reason == "energy was not measured"
    else:
        assert found.interval.mean == pytest.approx(0.02 - price, abs=1e-3)


@pytest.mark.parametrize("name", ["grid", "cosine", "multi", "ttm", "wttm", "ea"])
def test_a_fixed_tau_a_search_and_the_control_are_no_dynamic_temperatures(tmp_path, name):
    for one in (name, "fixed", "stochastic"):
        ran(tmp_path, one, [0.8] * 4, strategies={name: {}})
    assert judged("dynamic-not-worth-it", tmp_path).evidence == judged("none-beats-fixed", tmp_path).evidence == ()


DYNAMIC = ["dts", "ctkd", "annealing", "meta", "instance", "dtkd", "normkd", "standardized", "max-logit"]


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_tau_that_moves_or_differs_between_images_is_dynamic(tmp_path, name):
    for one in (name, "fixed"):
        ran(tmp_path, one, [0.8] * 4, strategies={name: {}})
    assert evidence("none-beats-fixed", tmp_path).measure == f"{name} - fixed, test accuracy"


@pytest.mark.parametrize(
    ("options", "is_compared"),
    [
        ({"strategy": "single", "temperature": "normkd"}, True),
        ({"strategy": "single", "temperature": "cosine", "tau": 4}, False),
        ({"strategy": "best-of", "of": "single", "temperature": "normkd"}, False),  # many trainings
    ],
)
def test_a_temperature_that_an_option_names_is_compared_in_one_training(tmp_path, options, is_compared):
    for one in ("mine", "fixed"):
        ran(tmp_path, one, [0.8] * 4, strategies={"mine": options})
    found = judged("none-beats-fixed", tmp_path).evidence
    assert [one.measure for one in found] == ["mine - fixed, test accuracy"] * is_compared
