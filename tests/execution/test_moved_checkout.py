"""A study of a user's own files goes on after they were moved, and names what has changed."""

import shutil
import threading

import pytest

import kdtune
from kdtune.errors import Remark, ResultsError
from tests.execution.own_components import DATA, HEADS, LOSSES, NETS, OWN
from tests.studies import small_study

TAU = """
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import Temperature, TemperaturePolicy


class Options(FrozenModel):
    high: Tau = 8


class Confidence(TemperaturePolicy):
    Options = Options

    def __init__(self, options, context):
        self.options = options

    def __call__(self, student_logits, teacher_logits, step):
        return Temperature.same(1 + teacher_logits.softmax(dim=1).amax(dim=1, keepdim=True) * self.options.high)
"""

SEARCH = """
from pathlib import Path

from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneRound

TAU = f"{Path(__file__).parent}/tau.py:Confidence"


class Highs(OneRound):
    def suggestions(self):
        return [Suggestion(temperature=Component(name=TAU, options={"high": high})) for high in (4, 6)]
"""

FILES = {
    "nets.py": NETS,
    "heads.py": HEADS,
    "data.py": DATA,
    "losses.py": LOSSES,
    "tau.py": TAU,
    "search.py": SEARCH,
}


TRAINING = {"epochs": 1, "batch_size": 64, "learning_rate": 0.05}
SHORT = {**OWN, "training": TRAINING, "teacher_training": TRAINING}


class StopAfterOne(kdtune.Watcher):
    """Stops a study when its second trial starts."""

    def __init__(self) -> None:
        self.cancel, self.started_trials = threading.Event(), 0

    def trial_started(self, trial):
        self.started_trials += 1
        if self.started_trials == 2:
            self.cancel.set()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a checkout whose study was stopped; its cache lies elsewhere."""
    place = tmp_path_factory.mktemp("moved")
    checkout = place / "checkout"
    checkout.mkdir()
    for name, source in FILES.items():
        (checkout / name).write_text(source)
    strategies = {
        "highs": {"strategy": "./search.py:Highs"},
        "warm": {"strategy": "single", "temperature": "./tau.py:Confidence", "high": 5},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        patch.setenv("KDTUNE_CACHE_DIR", str(place / "cache"))
        watcher = StopAfterOne()
        study = small_study(**{**SHORT, "strategies": strategies})
        found = kdtune.run_study(study, inline=True, watcher=watcher, cancel=watcher.cancel)
        assert found.exit_code == 130
    return checkout


@pytest.fixture
def moved(stopped, tmp_path, monkeypatch):
    """The checkout at another path; the earlier one is gone."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(stopped, copy)
    hidden = stopped.rename(stopped.with_name("hidden"))
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(stopped.parent / "cache"))
    yield copy
    hidden.rename(stopped)


def test_a_moved_study_goes_on_with_its_teacher_and_its_trials(moved, monkeypatch, stopped):
    teachers = sorted((stopped.parent / "cache" / "teachers").iterdir())
    (moved / "search.py").write_text(SEARCH + "\n# edited\n")
    with pytest.warns(Remark) as remarks:
        resumed = kdtune.resume_study(moved / "results" / "small")
    assert [
        f"{moved}/results/small/highs: strategy search.py:Highs has been edited since the study began; trials that "
        "it has suggested are kept"
    ] == [str(one.message) for one in remarks if isinstance(one.message, Remark)]
    assert resumed.exit_code == 0, resumed.errors
    trials = {result["strategy"]: result["cost"]["trials"] for result in resumed.results}
    assert (trials["highs"]["completed"], trials["warm"]["completed"]) == (2, 1)
    assert sorted((stopped.parent / "cache" / "teachers").iterdir()) == teachers
    assert len(teachers) == 1
    # A strategy may be added, since the study of the moved files is the same.
    monkeypatch.chdir(moved)
    added = kdtune.run_study(small_study(**{**SHORT, "strategies": {"fixed": {}}}), inline=True)
    assert added.exit_code == 0, added.errors
    assert sorted((stopped.parent / "cache" / "teachers").iterdir()) == teachers
    assert {result["strategy"] for result in kdtune.compare("results").results} == {"highs", "warm", "fixed"}


def test_an_edited_temperature_is_named_when_the_study_is_resumed(moved):
    (moved / "tau.py").write_text(TAU.replace("1 + teacher", "2 + teacher"))
    with pytest.raises(ResultsError) as refused:
        kdtune.resume_study(moved / "results" / "small")
    assert str(refused.value) == (
        f"{moved}/results/small/highs: cannot be resumed here: temperature tau.py:Confidence has been edited since the "
        "study began; restore the earlier source, or begin the study anew with run_study(fresh=True)"
    )


def test_an_edited_loss_and_a_missing_file_are_named(moved):
    (moved / "losses.py").write_text(LOSSES + "\n# edited\n")
    with pytest.raises(ResultsError, match=r"losses\.py:soft has been edited since the study began"):
        kdtune.resume_study(moved / "results" / "small")
    (moved / "losses.py").write_text(LOSSES)
    (moved / "nets.py").unlink()
    with pytest.raises(ResultsError, match=r"student: .*nets\.py cannot be read \(No such file or directory\)"):
        kdtune.resume_study(moved / "results" / "small")


def test_where_the_images_lie_may_change_when_a_study_is_resumed(moved):
    run = moved / "results" / "small" / "run.toml"
    run.write_text(run.read_text() + "\n[study.data]\nresident = false\n")
    resumed = kdtune.resume_study(moved / "results" / "small" / "highs")
    assert resumed.exit_code == 0, resumed.errors
