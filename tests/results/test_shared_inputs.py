import shutil

from kdtune.results.outcome import build_result
from kdtune.results.shared_inputs import read_shared, write_shared
from tests.results.finished import CARBON, finished


def test_a_session_with_deleted_ledgers_is_charged_from_shared_json(tmp_path):
    folder = finished(tmp_path)
    noted = read_shared(folder).sessions
    charged = build_result(folder, CARBON).as_json()["cost"]["charged_kwh"]
    shutil.rmtree(folder.study.path / "sessions")
    write_shared(folder, None)  # as a resume does
    assert read_shared(folder).sessions == noted and noted["s1"].charged_uj > 0
    assert build_result(folder, CARBON).as_json()["cost"]["charged_kwh"] == charged


def test_trials_that_are_missing_in_the_trial_log_are_flagged(tmp_path):
    folder = finished(tmp_path)
    assert "trial_unlogged" not in build_result(folder, CARBON).as_json()["cost"]["flags"]
    folder.trials.write_bytes(b"\x07junk")
    cost = build_result(folder, CARBON).as_json()["cost"]
    assert cost["flags"]["trial_unlogged"] == 3 and cost["trials"]["completed"] == 0
