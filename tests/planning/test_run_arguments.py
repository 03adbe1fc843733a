"""Strategies are asked for by the study's labels, or by name."""

from pathlib import Path

import pytest

from kdtune.errors import SpecError, UsageError
from kdtune.planning.budget import Budget
from kdtune.planning.run_arguments import check_resources, validate_run_arguments
from tests.recipes import points_of
from tests.studies import small_study

STUDY = small_study(strategies={"hot": {"strategy": "fixed", "tau": 20}, "cold": {"strategy": "fixed", "tau": 1}})


def asked(*strategies, **changes):
    """The first repeat's points, by label."""
    _, made = validate_run_arguments(STUDY, strategies, Budget(), **changes)
    return {label: points_of(one[0].ask()) for label, one in made.items()}


def faults(*strategies, study=STUDY, **changes):
    with pytest.raises(SpecError) as caught:
        validate_run_arguments(study, strategies, Budget(), **changes)
    return [(fault.where, fault.key, fault.problem) for fault in caught.value.faults]


def test_all_selects_every_label():
    assert asked("all") == {"hot": [{"tau": 20}], "cold": [{"tau": 1}]}


def test_labels_and_names_of_unlisted_strategies_can_be_selected():
    assert asked("cold", "fixed", "cold") == {"cold": [{"tau": 1}], "fixed": [{"tau": 4}]}


def test_a_label_may_come_from_the_command_line():
    assert asked("warm", overrides=["strategies.warm.strategy=fixed"]) == {"warm": [{"tau": 4}]}


def test_an_unknown_label_is_refused_with_a_suggestion():
    assert faults("cld", "gird") == [
        ("--strategy", "", "unknown strategy 'cld'; did you mean 'cold'?"),
        ("--strategy", "", "unknown strategy 'gird'; did you mean 'grid'?"),
    ]


def test_an_unlisted_strategy_that_needs_an_option_is_refused_unless_the_option_is_given():
    ((where, key, problem),) = faults("single")
    assert (where, key) == ("--strategy single", "strategies.single.temperature") and problem == "is missing"
    assert list(asked("single", overrides=["strategies.single.temperature=stochastic"])) == ["single"]


def test_a_label_of_a_study_with_faults_is_not_reported_as_unknown():
    wrong = {"overrides": ["alpha=7"]}
    assert [fault[0] for fault in faults("cold", **wrong)] == ["--set"]
    assert [fault[0] for fault in faults("cold", "cld", **wrong)] == ["--set", "--strategy"]


def test_labels_of_a_missing_study_are_not_reported_as_unknown():
    ((_, _, problem),) = faults("cold", study="no-such-study")
    assert "no-such-study" in problem


@pytest.mark.parametrize("gpus", [2.0, 1.5, 0.00001, -1.0, float("nan"), float("inf")])
def test_more_gpus_than_a_training_uses_or_less_than_ray_can_give_are_refused(gpus):
    with pytest.raises(UsageError) as caught:
        check_resources(1.0, gpus, "10.0.0.1:6379")
    told = f"--gpus-per-trial {gpus:g}: a training uses one GPU or a share of one; give 0, or a number from 0.0001 to 1"
    assert str(caught.value) == told


@pytest.mark.parametrize("cpus", [0.0, 0.00001, 1.5, float("nan"), float("inf")])
def test_cores_that_are_neither_whole_nor_a_fraction_are_refused(cpus):
    with pytest.raises(UsageError, match="--cpus-per-trial: has to be a whole number, or a fraction from 0.0001 to 1"):
        check_resources(cpus, None, "10.0.0.1:6379")


def test_a_share_of_a_gpu_a_whole_one_and_none_are_accepted():
    for gpus in (None, 0.0, 0.0001, 0.25, 1.0):
        check_resources(0.5, gpus, "10.0.0.1:6379")


def test_an_unknown_option_of_a_built_in_loss_is_refused():
    (found,) = faults("all", study=small_study(loss={"ref": "hkd", "power": 2}, strategies={"fixed": {}}))
    assert found == ("study small", "loss.power", "is no option of loss 'hkd'; its only option is alpha")


def test_a_method_can_be_tuned_by_its_reference_under_a_label_that_names_a_folder():
    spec, made = validate_run_arguments(small_study(strategies={"fixed": {}}), ["tuned:ea"], Budget())
    assert list(made) == ["tuned-ea"] and spec.labelled("tuned-ea") == ("tuned:ea", {})
    assert made["tuned-ea"][0].expected_trials() == len(spec.search_space.points())


OWN = """
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneRound


class Ends(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tau": tau}) for tau in (2, 10)]
"""


def test_a_strategy_in_a_file_gets_a_label_that_names_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN)
    assert asked("./mine.py:Ends") == {"mine-Ends": [{"tau": 2}, {"tau": 10}]}
    assert "has no 'Middle'" in faults("./mine.py:Middle")[0][2]
    assert "yours.py" in faults("./yours.py:Ends")[0][2]


def test_a_reference_whose_label_means_something_else_is_refused():
    study = small_study(strategies={"tuned-ea": {"strategy": "tuned:ea", "upper_bound": 2}})
    assert [problem for _, _, problem in faults("tuned:ea", study=study)] == [
        "unknown strategy 'tuned:ea'; did you mean 'tuned-ea'?"
    ]


def test_a_method_without_a_tau_cannot_be_tuned():
    assert "nothing to tune" in faults("tuned:stochastic")[0][2]


def test_a_strategy_that_begins_with_anothers_student_is_listed_so_that_its_network_is_checked():
    pytest.importorskip("torchao")
    study, _ = validate_run_arguments(STUDY, ["hot", "none", "qat"], Budget())
    assert list(study.strategies) == ["hot", "cold", "qat"]


def test_a_study_without_data_has_no_labels_to_quantise_with():
    pytest.importorskip("torchao")
    without_data = small_study(synthesis={"ref": "noise", "images": 48, "held_out": 16, "batch_size": 24})
    found = faults("fixed", "qat", study={**without_data, "strategies": {"qat": {"after": "fixed"}}})
    assert any("'qat' quantises with labelled images" in problem for _, _, problem in found)
