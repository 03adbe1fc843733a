from dataclasses import replace

import pytest

from kdtune.forecast.earlier_strategies import find_completed
from kdtune.forecast.strategy_estimate import TimeAndEnergy
from kdtune.results.folder import StudyFolder
from kdtune.results.trial_log import TrialLog
from tests.energy.simulated import J, two_cores
from tests.results.finished import finished


def test_strategies_that_ran_on_this_machine_are_found_newest_first(tmp_path):
    finished(tmp_path, "grid", age_s=100)
    finished(tmp_path, "fixed", trials=1, session="s2", age_s=10)
    finished(tmp_path, "grid", name="other", session="s3", age_s=50)
    found = find_completed(tmp_path, two_cores())
    assert [(one.study.name, one.strategy, one.trials, one.epochs) for one in found] == [
        ("small", "fixed", 1, 3),
        ("other", "grid", 3, 9),
        ("small", "grid", 3, 9),
    ]
    assert found[0].label == "small/fixed (session s2)"
    assert (found[0].cpus, found[0].gpus) == (1.0, 0.0)


def test_time_and_energy_are_read_from_its_ledgers(tmp_path):
    finished(tmp_path)
    (one,) = find_completed(tmp_path, two_cores())
    assert one.phases.epoch.wall_s == pytest.approx(6 / 9)
    assert one.phases.overhead.fixed.charged_uj == pytest.approx(4 * 4 * J + 6 * 20 * J)
    assert one.session == TimeAndEnergy(10.0, (4 + 200) * J, 200 * J)


def test_a_run_that_was_put_aside_by_fresh_is_found_too(tmp_path):
    finished(tmp_path)
    StudyFolder(tmp_path / "small").put_aside(["grid"])
    (one,) = find_completed(tmp_path, two_cores())
    assert one.strategy == "grid"
    assert one.label == "small/abandoned/grid-1 (session s1)"
    assert one.phases is not None and one.session is not None


@pytest.mark.parametrize(
    "other", [{"node": "elsewhere"}, {"cpu_model": "another CPU"}, {"cores": 64}, {"gpus": {"GPU-a": "a GPU"}}]
)
def test_results_of_another_machine_are_skipped(tmp_path, other):
    finished(tmp_path)
    assert find_completed(tmp_path, replace(two_cores(), **other)) == []


def test_interrupted_failed_and_resumed_strategies_are_skipped(tmp_path):
    finished(tmp_path, "grid", status="interrupted")
    failed = finished(tmp_path, "random")
    log = TrialLog.read(failed.trials)
    first = next(iter(log.trials.values()))
    first.status = None
    log.end(first, "failed", epochs=1, error="no")
    resumed = finished(tmp_path, "optuna")
    TrialLog.read(resumed.trials).session("s2")
    assert find_completed(tmp_path, two_cores()) == []


@pytest.mark.parametrize("damaged", ["result.json", "trials.jsonl", "study.toml"])
def test_damaged_results_are_skipped(tmp_path, damaged):
    folder = finished(tmp_path)
    (folder.path / damaged).write_text("{}\n")
    assert find_completed(tmp_path, two_cores()) == []


def test_a_damaged_ledger_gives_no_phases(tmp_path):
    folder = finished(tmp_path)
    for path in folder.ledger.iterdir():
        path.write_text("{}\n{}\n")
    (one,) = find_completed(tmp_path, two_cores())
    assert one.phases is None


def test_without_results_none_are_found(tmp_path):
    assert find_completed(tmp_path / "nowhere", two_cores()) == []


def test_what_ran_on_another_executor_says_nothing(tmp_path):
    folder = finished(tmp_path)
    assert find_completed(tmp_path, two_cores(), "inline") == []
    folder.write_study(folder.read_study(), {**folder.resolved(), "executor": "inline"})
    assert find_completed(tmp_path, two_cores()) == []
    assert len(find_completed(tmp_path, two_cores(), "inline")) == 1
