import shutil
from dataclasses import replace

from kdtune.results.outcome import build_result
from kdtune.results.shared_document import SharedInputs, TeacherEnergy
from kdtune.results.shared_inputs import read_shared, write_shared
from tests.results.finished import CARBON, finished
from tests.results.test_outcome import TEACHER


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


def test_the_record_of_several_teachers_has_no_figure_of_one_of_them():
    figures = ("val_accuracy", "val_loss", "chance_accuracy", "reordered_accuracy", "val_objective", "chance_objective")
    first, second = (
        replace(
            TEACHER,
            key=key,
            weights_sha256=key,
            mean=(value,),
            std=(value,),
            test={"accuracy": value},
            gflops_millions=value,
            energy=TeacherEnergy(round(100 * value)),
            **dict.fromkeys(figures, value),
        )
        for key, value in (("k1", 0.25), ("k2", 0.75))
    )
    found = SharedInputs(teacher=first, other_teachers={"k2": second}).mean_teacher
    expected = replace(first, key="k1,k2", count=2, test={"accuracy": 0.5}, gflops_millions=0.5)
    expected = replace(expected, weights_sha256=None, mean=None, std=None, energy=TeacherEnergy(50))
    assert found == replace(expected, **dict.fromkeys(figures, 0.5))
