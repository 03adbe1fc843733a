"""Repeats over other splits and teachers: each is the plain study of its seeds, and each teacher is billed."""

from pathlib import Path

import pytest

import kdtune
from kdtune.artifacts.given_teacher import with_given_teacher
from kdtune.errors import StudyInterrupted, UsageError
from kdtune.results.folder import StudyFolder
from kdtune.results.shared_inputs import read_shared
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from tests.studies import outcome_of, small_study

STRATEGIES = {"fixed": {}, "none": {}}
TRAINING = {"epochs": 2, "batch_size": 64, "learning_rate": 0.05}
SHORT = {"strategies": STRATEGIES, "training": TRAINING, "teacher_training": TRAINING}
VARIED = small_study(**SHORT, vary=["teacher", "split"])


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """A finished study whose two repeats differ in split and teacher."""
    found = kdtune.run_study(VARIED, out=tmp_path_factory.mktemp("varied"), inline=True)
    assert found.exit_code == 0, found.errors
    return found


def folders(found):
    return [StudyFolder(found.folder).strategy(name) for name in STRATEGIES]


def test_each_repeat_is_the_plain_study_with_its_seeds(varied, tmp_path):
    seeds = dict.fromkeys(("seed", "split_seed", "teacher_seed"), 1)
    plain = kdtune.run_study(small_study(**SHORT, repeats=1, **seeds), out=tmp_path, inline=True)
    second = [outcome_of(one)["repeats"][1] for one in varied.results]
    assert second == [outcome_of(one)["repeats"][0] for one in plain.results]
    one, other = folders(varied)[0], folders(plain)[0]
    trials = [next(reversed(TrialLog.read(folder.trials).trials)) for folder in (one, other)]
    assert trials[0] == trials[1]  # the same identity, so the same teacher and split
    assert read_shared(other).teacher.key == list(read_shared(one).teachers)[1]


def test_every_teacher_is_billed_and_the_intervals_say_what_varied(varied):
    with_teacher, alone = folders(varied)
    teachers = read_shared(with_teacher).teachers
    cost = varied.outcomes[0].cost
    assert len(teachers) == cost.teachers == len(read_shared(with_teacher).teacher_logits) == 2
    assert cost.teacher_kwh == pytest.approx(sum(one.energy.charged_uj for one in teachers.values()) / 3.6e12)
    assert list(with_teacher.resolved()["teachers"].values()) == list(teachers)
    assert not read_shared(alone).teachers and varied.outcomes[1].cost.teacher_kwh == 0
    mean = varied.teacher()
    accuracies = [one.test["accuracy"] for one in teachers.values()]
    assert mean.count == 2 and mean.test["accuracy"] == pytest.approx(sum(accuracies) / 2)
    found = kdtune.compare(varied.folder)
    assert found.teacher == mean


def test_a_resumed_study_keeps_the_teacher_of_each_repeat(varied, tmp_path):
    class Stopping(kdtune.Watcher):
        def trial_ended(self, trial):
            raise StudyInterrupted("enough")

    stopped = kdtune.run_study(VARIED, ["fixed"], out=tmp_path, inline=True, watcher=Stopping())
    assert stopped.exit_code == 130
    resumed = kdtune.resume_study(stopped.folder, inline=True)
    assert [outcome_of(one) for one in resumed.results] == [outcome_of(varied.results[0])]
    assert list(read_shared(folders(resumed)[0]).teachers) == list(read_shared(folders(varied)[0]).teachers)


def test_a_plan_counts_the_teachers_that_are_due(tmp_path):
    plan = kdtune.plan_study({**VARIED, "teacher_seed": 50}, ["fixed"], out=tmp_path, inline=True)
    assert (plan.teacher.missing, plan.teacher.cached) == (2, False)
    again = kdtune.plan_study({**VARIED, "vary": []}, ["fixed"], out=tmp_path, inline=True)
    assert (again.teacher.missing, again.teacher.cached) == (0, True)


def test_a_given_teacher_cannot_vary():
    with pytest.raises(UsageError, match="--teacher x.pt: the study varies the teacher .*from vary"):
        with_given_teacher(load_study(VARIED), Path("x.pt"))
