"""Results that name components which are not installed here can still be read."""

import pytest
from pydantic import ConfigDict

import kdtune
from kdtune.analysis.data_frames import load_results
from kdtune.analysis.listing import runs
from kdtune.catalog.builtin import TEMPERATURES
from kdtune.catalog.catalog import Entry
from kdtune.errors import ResultsError, SpecError
from kdtune.planning.trial_plan import Plan, make_strategies
from kdtune.report.number_formats import describe_point
from kdtune.results.folder import StudyFolder
from kdtune.results.outcome import write_result
from kdtune.results.shared_inputs import write_shared
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.frozen_model import FrozenModel
from kdtune.temperature.base import TemperaturePolicy
from tests.results.finished import CARBON, WORKLOAD, finished
from tests.studies import small_study

STRATEGIES = {"cooled": {"strategy": "single", "temperature": "cooling", "rate": 0.5}, "grid": {}}


class Options(FrozenModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"rate": 0.1}]})

    rate: float


class Cooling(TemperaturePolicy):
    Options = Options


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study in which one strategy used a temperature that is not installed any more."""
    monkeypatch.setitem(TEMPERATURES._built_in, "cooling", Entry("temperature", "cooling", "", lambda: Cooling))
    spec = load_study(small_study(repeats=1, strategies=STRATEGIES))
    folder = StudyFolder(tmp_path / spec.name).strategy("cooled")
    folder.path.mkdir(parents=True)
    folder.write_study(spec, {"workload": WORKLOAD, "cpus_per_trial": 1.0, "gpus_per_trial": 0.0})
    log = TrialLog.read(folder.trials)
    log.session("s1")
    plan = Plan(spec, make_strategies(spec, "cooled"), log)
    trial = plan.next()
    assert isinstance(trial, Trial)
    log.attempt(trial)
    log.end(trial, "completed", epochs=3, val_accuracy=0.5, val_loss=1.0)
    assert plan.done
    log.evaluation(0, trial.id, {"accuracy": 0.5})
    log.stopped("completed")
    write_shared(folder, None)
    write_result(folder, CARBON)
    monkeypatch.undo()
    assert "cooling" not in TEMPERATURES
    finished(tmp_path, "grid", strategies={"grid": {}})
    study = StudyFolder(tmp_path / spec.name)
    study.write_run(
        {
            "strategies": ["cooled"],
            "options": {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0},
            "carbon": {key: value for key, value in CARBON.as_record().items() if value is not None},
            "study": spec.model_dump(mode="json", exclude_none=True),
        }
    )
    return study


def test_results_with_a_missing_temperature_are_read_listed_and_compared(study):
    assert [record["name"] for record in runs(study.path.parent)] == ["small/cooled", "small/grid"]
    compared = {result["strategy"]: result for result in kdtune.compare(study.path).results}
    assert compared["cooled"]["repeats"][0]["chosen"] == {"temperature": "cooling", "rate": 0.5}
    assert compared["cooled"]["cost"]["gflops_millions"] == compared["grid"]["cost"]["gflops_millions"] / 3
    assert describe_point({"temperature": "cooling", "rate": 0.5}) == "cooling rate=0.5"
    trials = load_results(study.path).trials.set_index("strategy")
    assert trials.loc["cooled", "policy"] == "cooling" and trials.loc["cooled", "rate"] == 0.5


def test_a_study_with_a_missing_temperature_cannot_be_resumed(study):
    with pytest.raises(ResultsError, match="unknown temperature 'cooling'") as caught:
        kdtune.resume_study(study.path)
    assert "cannot be resumed here" in str(caught.value)


def test_a_study_with_a_missing_temperature_cannot_be_run_again(study):
    with pytest.raises(SpecError, match="strategies.cooled.temperature: unknown temperature 'cooling'"):
        kdtune.run_study(study.strategy("cooled").study_toml, "cooled")
