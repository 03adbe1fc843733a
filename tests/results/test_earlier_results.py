"""Results of a release that logged only flat points: ``data/flat-points`` is such a study without its weights."""

import json
import shutil
from pathlib import Path

import pytest

import kdtune
from kdtune.analysis.data_frames import load_results
from kdtune.analysis.listing import runs
from kdtune.errors import ResultsError
from kdtune.planning.resume_checks import check_unchanged
from kdtune.planning.trial_plan import Next, Plan, make_strategies
from kdtune.results.carbon_settings import carbon_of
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.outcome import build_result
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.storage.records import as_record

EARLIER = Path(__file__).parent / "data" / "flat-points"
STRATEGIES = ["fixed", "random", "drawn", "again", "alone-longer"]
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


@pytest.fixture
def study(tmp_path):
    return StudyFolder(Path(shutil.copytree(EARLIER, tmp_path / "flat-points")))


def stopped_before_its_last_trial_ended(folder: StrategyFolder) -> Trial:
    """Remove the end of the last trial and all later lines from the log, as after a kill."""
    last = list(TrialLog.read(folder.trials).trials.values())[-1]
    lines = folder.trials.read_text().splitlines(keepends=True)
    kept = next(n for n, line in enumerate(lines) if '"end"' in line and json.loads(line)["trial_id"] == last.id)
    folder.trials.write_text("".join(lines[:kept]))
    (folder.path / "result.json").unlink()
    return last


def without_empty_additions(record, earlier):
    """Remove keys that the earlier release did not know and that hold nothing."""
    if not isinstance(record, dict):
        return record
    return {
        key: without_empty_additions(one, earlier.get(key, {})) for key, one in record.items() if key in earlier or one
    }


@every_strategy
def test_the_result_is_the_one_that_the_earlier_release_wrote(study, name):
    folder = study.strategy(name)
    earlier = json.loads(folder.result.read_text())
    result = without_empty_additions(as_record(build_result(folder, carbon_of(folder))), earlier)
    assert result == {key: one for key, one in earlier.items() if key != "crc32"}


def test_earlier_results_are_listed_and_compared(study):
    assert [record["status"] for record in runs(study.path.parent)] == ["completed"] * 5
    chosen = {result["strategy"]: result["repeats"][0]["chosen"] for result in kdtune.compare(study.path).results}
    assert chosen["fixed"] == {"tau": 4}
    assert chosen["drawn"] == {"temperature": "stochastic", "draw": "epoch", "scale": "log"}
    assert chosen["alone-longer"] == {"loss": "ce", "longer": 1.5}
    policies = load_results(study.path).trials.groupby("strategy")["policy"].first()
    assert policies[["fixed", "drawn", "alone-longer"]].tolist() == ["fixed", "stochastic", "none"]


@every_strategy
def test_a_plan_finds_all_trials_of_an_earlier_release(study, name):
    folder = study.strategy(name)
    frozen, before = folder.read_study(), folder.trials.read_bytes()
    check_unchanged(folder, frozen)
    plan = Plan(frozen, make_strategies(frozen, name), TrialLog.read(folder.trials))
    assert plan.next() is Next.DONE
    assert folder.trials.read_bytes() == before


@every_strategy
def test_only_unfinished_trials_are_suggested_again_with_their_earlier_ids(study, name):
    folder = study.strategy(name)
    last = stopped_before_its_last_trial_ended(folder)
    frozen, log = folder.read_study(), TrialLog.read(folder.trials)
    left = {trial.id for trial in log.trials.values() if not trial.is_final}
    plan = Plan(frozen, make_strategies(frozen, name), log)
    found = []
    while isinstance(trial := plan.next(), Trial):
        found.append(trial)
    assert last.id in left == {trial.id for trial in found}
    assert all(trial.spec and trial.spec.seed == trial.seed for trial in found)
    assert {trial.planned_epochs for trial in found} == {3 if name == "alone-longer" else 2}


def test_a_changed_point_is_detected(study):
    folder = study.strategy("fixed")
    log = TrialLog.read(folder.trials)
    next(iter(log.trials.values())).point["tau"] = 5
    with pytest.raises(ResultsError, match="does not belong to the study"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrialLog, "read", lambda path: log)
        check_unchanged(folder, folder.read_study())


def test_a_killed_study_of_an_earlier_release_is_resumed(study, tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    folder = study.strategy("alone-longer")
    ids = list(TrialLog.read(folder.trials).trials)
    last = stopped_before_its_last_trial_ended(folder)
    resumed = kdtune.resume_study(folder.path, inline=True)
    assert [result["status"] for result in resumed.results] == ["completed"]
    trials = TrialLog.read(folder.trials).trials
    assert list(trials) == ids
    assert (trials[last.id].attempts, trials[last.id].epochs) == (2, 3)
