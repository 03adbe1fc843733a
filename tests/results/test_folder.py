import fcntl
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from kdtune.errors import BusyError, ResultsError, ResultsExistError
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.run_document import RunPaths
from kdtune.specs import load_study
from kdtune.storage import files
from tests.studies import small_study

RESOLVED = {"precision": "float32", "workload": {"teacher_macs": 10}}


@pytest.fixture
def folder(tmp_path) -> StudyFolder:
    return StudyFolder(tmp_path / "small")


def run_before(folder: StudyFolder, name: str, **changes) -> StrategyFolder:
    """A folder of a strategy that has been run."""
    strategy = folder.strategy(name)
    strategy.path.mkdir(parents=True)
    strategy.write_study(load_study(small_study(**changes)), RESOLVED)
    return strategy


# --- what ran --------------------------------------------------------------------------------------------------


def test_the_frozen_study_is_the_study_that_ran(folder):
    strategy = run_before(folder, "grid")
    assert strategy.read_study() == load_study(small_study())
    assert strategy.resolved() == RESOLVED


def test_a_folder_without_study_toml_is_not_a_strategy_folder(folder):
    with pytest.raises(ResultsError, match=r"study\.toml"):
        folder.strategy("grid").read_study()


def test_only_strategies_are_listed_in_the_order_of_the_registry(folder):
    for name in ("none", "fixed", "grid", "ours"):
        run_before(folder, name)
    (folder.path / "sessions" / "s1").mkdir(parents=True)
    (folder.path / "empty").mkdir()
    assert [strategy.path.name for strategy in folder.strategies()] == ["grid", "fixed", "none", "ours"]


def test_strategies_are_listed_in_the_order_of_run_toml(folder):
    for name in ("none", "hot", "grid", "cold"):
        run_before(folder, name)
    folder.write_run({"study": {"strategies": {"hot": {"strategy": "fixed"}, "none": {}, "cold": {}}}})
    assert [strategy.path.name for strategy in folder.strategies()] == ["hot", "none", "cold", "grid"]


@pytest.mark.parametrize("damage", ["not toml", "study = 3", "[study]\nstrategies = 3"])
def test_without_a_readable_run_toml_there_are_no_labels(folder, damage):
    assert folder.noted_options() == {}
    folder.path.mkdir()
    folder.run_toml.write_text(damage)
    assert folder.noted_options() == {}


def test_labels_with_the_same_ending_are_put_aside_separately(folder):
    for label in ("fixed", "fixed-1"):
        run_before(folder, label)
    folder.put_aside(["fixed", "fixed-1"])
    run_before(folder, "fixed")
    folder.put_aside(["fixed"])
    assert [one.path.name for one in folder.abandoned("fixed")] == ["fixed-1", "fixed-2"]
    assert [one.path.name for one in folder.abandoned("fixed-1")] == ["fixed-1-1"]


@pytest.mark.parametrize("damage", ["not toml", 'name = "no resolved table"', "resolved = 3"])
def test_a_damaged_frozen_study_is_an_error_that_names_it(folder, damage):
    strategy = run_before(folder, "grid")
    strategy.study_toml.write_text(damage)
    with pytest.raises(ResultsError, match=r"study\.toml"):
        strategy.resolved()


def test_run_toml_contains_strategies_and_options(folder):
    assert folder.noted_labels() == [] and folder.noted_paths() == RunPaths()
    folder.path.mkdir()
    folder.write_run({"strategies": ["grid", "none"], "repeats": 2, "options": {"data_dir": "/data"}})
    assert folder.noted_labels() == ["grid", "none"] and folder.noted_paths() == RunPaths(data_dir="/data")


@pytest.mark.parametrize("damage", ["not toml", "repeats = 2", "strategies = 3"])
def test_a_damaged_run_toml_is_an_error_that_names_the_file(folder, damage):
    folder.path.mkdir()
    folder.run_toml.write_text(damage)
    for read in (folder.noted_labels, folder.noted_paths):
        with pytest.raises(ResultsError, match=r"run\.toml"):
            read()


def test_the_model_of_the_first_repeat_has_no_seed_in_its_name(folder):
    strategy = folder.strategy("grid")
    assert strategy.weights(5, 5).name == "student.pt"
    assert strategy.weights(6, 5).name == "student-6.pt"


# --- checks before a run ---------------------------------------------------------------------------------------


def test_a_folder_that_does_not_exist_is_free(folder):
    folder.check_free(load_study(small_study()), ["grid"], fresh=False)
    assert not folder.path.exists()


def test_a_strategy_that_ran_before_is_refused_with_all_remedies(folder):
    run_before(folder, "grid")
    with pytest.raises(ResultsExistError) as error:
        folder.check_free(load_study(small_study()), ["stochastic", "grid"], fresh=False)
    for remedy in (str(folder.strategy("grid").path), "kdtune resume", "--out", "--fresh"):
        assert remedy in str(error.value)
    assert "stochastic" not in str(error.value)


def test_another_strategy_may_join_the_same_study(folder):
    run_before(folder, "grid", strategies={"grid": {}}, description="yesterday")
    folder.check_free(load_study(small_study()), ["stochastic"], fresh=False)


def test_fresh_allows_strategies_that_ran_before(folder):
    run_before(folder, "grid")
    folder.check_free(load_study(small_study()), ["grid"], fresh=True)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"alpha": 0.5}, "alpha (0.5 there, 0.95 now)"),
        ({"seed": 9}, "seed (9 there, 0 now)"),
        ({"repeats": 5}, "repeats (5 there, 2 now)"),
        ({"search_space": {"tau": {"values": [3]}}}, "search_space.tau.values ([3] there, [2, 6, 10] now)"),
        (
            {"training": {"epochs": 4, "batch_size": 100, "learning_rate": 0.05, "weight_decay": 5e-4}},
            "training.epochs (4 there, 3 now)",
        ),
    ],
)
def test_results_of_another_study_are_refused_with_the_key_that_differs(folder, change, key, fresh):
    run_before(folder, "grid", **change)
    with pytest.raises(ResultsExistError) as error:
        folder.check_free(load_study(small_study()), ["stochastic"], fresh=fresh)
    assert f"differs in {key}." in str(error.value)


def test_the_error_about_existing_results_names_the_changes_of_the_study(folder):
    run_before(folder, "grid", alpha=0.5)
    with pytest.raises(
        ResultsExistError, match=r"exist already .*differs from theirs in alpha \(0.5 there, 0.95 now\)"
    ):
        folder.check_free(load_study(small_study()), ["grid"], fresh=False)
    with pytest.raises(ResultsExistError, match=r"never overwritten\. Continue with 'kdtune resume"):
        folder.check_free(load_study(small_study(alpha=0.5)), ["grid"], fresh=False)


def test_abandoned_runs_are_kept_and_found(folder):
    strategy = run_before(folder, "grid")
    (strategy.path / "trials.jsonl").write_text("what was done\n")
    folder.put_aside(["grid", "stochastic"])
    assert not strategy.path.exists()
    [aside] = folder.abandoned("grid")
    assert aside.trials.read_text() == "what was done\n"
    assert aside.read_study() == load_study(small_study())
    assert folder.abandoned("stochastic") == []


def test_abandoned_runs_do_not_replace_earlier_ones(folder):
    for note in ("first", "second", "third"):
        run_before(folder, "grid").trials.write_text(note)
        folder.put_aside(["grid"])
    assert sorted(aside.trials.read_text() for aside in folder.abandoned("grid")) == ["first", "second", "third"]


def test_an_abandoned_run_is_not_a_strategy_of_the_study(folder):
    run_before(folder, "grid")
    folder.put_aside(["grid"])
    assert folder.strategies() == []
    folder.check_free(load_study(small_study(alpha=0.1)), ["stochastic"], fresh=False)


def test_strategies_with_the_same_prefix_have_separate_abandoned_runs(folder):
    run_before(folder, "random-search")
    folder.put_aside(["random-search"])
    assert folder.abandoned("random") == []


def test_put_aside_works_after_an_earlier_run_was_deleted(folder):
    for _ in range(2):
        run_before(folder, "grid")
        folder.put_aside(["grid"])
    first = folder.abandoned("grid")[0].path
    (first / "study.toml").unlink()
    first.rmdir()
    run_before(folder, "grid")
    folder.put_aside(["grid"])
    assert len(folder.abandoned("grid")) == 2


# --- the lock --------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from kdtune.results.folder import StudyFolder
with StudyFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_by_another_process(folder: StudyFolder):
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_another_process_is_refused_and_the_error_names_the_holder(folder):
    with held_by_another_process(folder) as holder:
        with pytest.raises(BusyError, match=str(holder.pid)), folder.locked():
            pass
        # A refused attempt must not release the lock.
        with pytest.raises(BusyError), folder.locked():
            pass


def test_a_lock_ends_with_its_process(folder):
    with held_by_another_process(folder) as holder:
        holder.kill()
        holder.wait()
        with folder.locked():
            assert folder.path.is_dir()


def test_a_lock_is_released_afterwards(folder):
    for _ in range(2):
        with folder.locked():
            pass


def test_a_lock_is_released_after_an_error(folder):
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError
    with folder.locked():
        pass


def test_a_lock_also_applies_inside_the_same_process(folder):
    with folder.locked(), pytest.raises(BusyError), StudyFolder(folder.path).locked():
        pass


def meanwhile(monkeypatch, happens) -> None:
    """Call a function between the next opening of the lock file and its locking."""

    def lock(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        happens()
        fcntl.flock(descriptor, operation)

    monkeypatch.setattr(files, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": lock}))


def test_locking_while_another_process_unlocks_still_excludes_a_third(folder, monkeypatch):
    run_before(folder, "grid")
    first = folder.locked()
    first.__enter__()
    meanwhile(monkeypatch, lambda: first.__exit__(None, None, None))
    with folder.locked(), pytest.raises(BusyError), folder.locked():
        pass


def test_locking_while_another_process_removes_the_folder_creates_it_again(folder, monkeypatch):
    first = folder.locked()
    first.__enter__()
    meanwhile(monkeypatch, lambda: first.__exit__(None, None, None))
    with folder.locked():
        assert folder.path.is_dir()
        with pytest.raises(BusyError), folder.locked():
            pass


def test_a_refused_process_does_not_remove_the_folder(folder, monkeypatch):
    first = folder.locked()
    meanwhile(monkeypatch, first.__enter__)
    with pytest.raises(BusyError), folder.locked():
        pass
    assert folder.path.is_dir()
    with pytest.raises(BusyError), folder.locked():
        pass


def test_a_created_folder_that_stays_empty_is_removed(folder):
    with folder.locked():
        assert folder.path.is_dir()
    assert not folder.path.exists()


def test_created_parent_folders_are_removed_too(tmp_path):
    with StudyFolder(tmp_path / "new" / "results" / "small").locked():
        pass
    assert not (tmp_path / "new").exists()


def test_a_folder_with_results_stays_and_can_be_locked_again(folder):
    with folder.locked():
        run_before(folder, "grid")
    with folder.locked():
        assert (folder.path / "grid").is_dir()


def test_an_existing_empty_folder_stays(folder):
    folder.path.mkdir()
    with folder.locked():
        pass
    assert folder.path.is_dir()


def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="--out"), StudyFolder(tmp_path / "file" / "small").locked():
        pass
