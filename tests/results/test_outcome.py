import json
import math
from dataclasses import replace
from typing import Any

import pytest

from kdtune.energy import ledger
from kdtune.energy.carbon import Carbon
from kdtune.errors import ResultsError
from kdtune.results.documents import read_document
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.outcome import build_result, inputs_of_students, write_result
from kdtune.results.shared_document import CompilationInput, Teacher, TeacherEnergy
from kdtune.results.shared_inputs import ledger_summary, write_shared
from kdtune.results.strategy_result import StrategyResult
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.storage.checksums import with_checksum
from tests.damage import resealed
from tests.energy.simulated import J, Node, trial, two_cores
from tests.results.finished import finished
from tests.studies import small_study

CARBON = Carbon(pue=1.5, intensity_g_per_kwh=400.0, source="a test")

WORKLOAD = {"teacher_macs": 10, "student_macs": 3, "train_images": 100, "val_images": 50, "test_images": 20}

TEACHER = Teacher(
    model="big",
    key="k1",
    epochs=3,
    val_accuracy=0.9,
    val_loss=0.4,
    test={"accuracy": 0.8},
    gflops_millions=1.0,
    energy=TeacherEnergy(50 * J),
)

TEST_METRICS = {"accuracy": 0.75, "precision": 0.7, "recall": 0.65, "specificity": 0.9, "kappa": 0.6}


def frozen(tmp_path, strategy: str = "grid", **changes: Any) -> StrategyFolder:
    folder = StudyFolder(tmp_path / "small").strategy(strategy)
    folder.path.mkdir(parents=True)
    folder.write_study(load_study(small_study(**changes)), {"workload": WORKLOAD})
    return folder


def write_ledger(node: Node, folder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for record in node.records:
        ledger.write(folder / f"{node.hardware.node}.jsonl", record)


def end(log: TrialLog, name: str, repeat: int, index: int, status: str, **what: Any) -> None:
    """Write one attempt of a trial, from its suggestion to its end."""
    log.suggestion(name, repeat, repeat, index, {"tau": 2 + 4 * index})
    log.attempt(log.trials[name])
    log.end(log.trials[name], status, **what)


def energy_of_the_grid() -> Node:
    """Ten seconds on a GPU, 20 W of memory, and two cores of 8 W together, so that a busy core second is 4 J."""
    gpu = {"GPU-a": 1.0}
    node = Node(two_cores(gpus=("GPU-a",))).start().work(1, study=1)
    node.open(trial("a/1", gpus=gpu)).work(2, {"a/1": 2}, gpu_j={"GPU-a": 100}).close("a/1")
    node.open(trial("b/1", gpus=gpu)).work(1, {"b/1": 1}, other=1, gpu_j={"GPU-a": 30}).close("b/1")
    for attempt in ("c/1", "c/2"):
        node.open(trial(attempt, gpus=gpu)).work(1, {attempt: 1}, gpu_j={"GPU-a": 50}).close(attempt)
    for name in ("evaluation-0/1", "evaluation-1/1", "evaluation-1/2"):
        cpus = 2 if name == "evaluation-0/1" else 1
        node.open(trial(name, cpus, bucket="evaluation")).work(1, {name: 1}).close(name)
    return node.work(1, gpu_j={"GPU-a": 7}).stop()


@pytest.fixture
def grid(tmp_path) -> StrategyFolder:
    """Two repeats: the first has a failed trial, the second one that was interrupted and resumed."""
    folder = frozen(tmp_path)
    study_folder = StudyFolder(folder.path.parent)
    log = TrialLog.read(folder.trials)
    log.session("s1")
    log.session("s2")
    end(log, "a", 0, 0, "completed", epochs=3, val_accuracy=0.8, val_loss=0.5)
    end(log, "b", 0, 1, "failed", epochs=1, error="RuntimeError: no")
    log.plan_complete(0)
    end(log, "c", 1, 0, "interrupted", epochs=2)
    end(log, "c", 1, 0, "completed", epochs=3, val_accuracy=0.6, val_loss=0.9)
    log.plan_complete(1)
    for repeat, attempts in ((0, 1), (1, 2)):
        for _ in range(attempts):
            log.evaluation_attempt(repeat)
    log.evaluation(0, "a", TEST_METRICS)
    log.evaluation(1, "c", {**TEST_METRICS, "accuracy": 0.25})
    log.stopped("completed")
    write_ledger(energy_of_the_grid(), folder.ledger)
    write_ledger(Node(two_cores()).start().work(0.5).stop(), study_folder.session("s1"))
    write_ledger(Node(two_cores(ram_uw=1)).start().work(3).stop(), study_folder.session("s2"))
    write_ledger(Node(two_cores()).start().work(99).stop(), study_folder.session("of another strategy"))
    write_shared(folder, TEACHER)
    return folder


# --- calculated by hand ----------------------------------------------------------------------------------------


def test_the_buckets_of_the_result_are_those_of_the_ledger(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["energy_uj"] == {
        # CPU + memory + GPU of the four attempts: (8 + 20 + 100) + (4 + 10 + 30) + 2 x (4 + 10 + 50)
        "trials": 300 * J,
        "evaluation": ((4 + 20) + 2 * (4 + 10)) * J,
        "orchestration": 4 * J,
        # Memory that no window held, for 10 s, and the GPU's last 7 J.
        "idle": (200 - 20 - 10 - 20 - 40 + 7) * J,
        "other": 4 * J,
        # 10 busy core seconds, 10 s of memory, the GPU.
        "node_total": (40 + 200 + 237) * J,
    }


def without_evaluations(trials, of=lambda line: True) -> None:
    """Remove the evaluations of some repeats from a log."""
    lines = [json.loads(line) for line in trials.read_text().splitlines()]
    trials.write_bytes(resealed([line for line in lines if line["type"] != "evaluation" or not of(line)]))


def test_a_repeat_without_a_model_increases_the_cost_of_a_model(grid):
    without_evaluations(grid.trials, lambda line: line["repeat"] == 1)
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["per_repeat_kwh"] == cost["charged_kwh"]


def test_without_a_model_there_is_no_cost_of_one_model(grid):
    without_evaluations(grid.trials)
    assert build_result(grid, CARBON).as_json()["cost"]["per_repeat_kwh"] is None


def test_the_shared_energy_covers_the_sessions_of_the_strategy(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["shared_uj"] == {"session": 10 * J + 3, "teacher_logits": 0, "compilation": 0, "synthesis": 0}


def test_a_compilation_is_charged_and_does_not_count_as_training(grid):
    without = build_result(grid, CARBON).as_json()["cost"]
    write_ledger(Node(two_cores()).start().work(10, study=10).stop(), grid.path.parent / "code")
    energy = ledger_summary(grid.path.parent / "code", dedicated=True)
    write_shared(grid, TEACHER, None, {"c1": CompilationInput(energy)})
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["shared_uj"]["compilation"] == 240 * J
    assert cost["shared_parts_uj"]["compilation"] == {"c1": 240 * J}
    assert cost["charged_kwh"] == pytest.approx(without["charged_kwh"] + CARBON.kwh(240 * J))
    assert cost["training_kwh"] == without["training_kwh"]
    assert cost["uncertainty_uj"]["charged"] > without["uncertainty_uj"]["charged"]


def test_the_energy_of_an_unmetered_compilation_is_unknown(grid):
    write_shared(grid, TEACHER, None, {"c1": CompilationInput(None)})
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["shared_uj"]["compilation"] is None and cost["shared_parts_uj"]["compilation"] == {}


def test_shared_json_without_compilations_is_readable(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    shared = json.loads(grid.shared.read_text())
    grid.shared.write_text(json.dumps({key: shared[key] for key in ("sessions", "teacher", "teacher_logits")}))
    assert build_result(grid, CARBON).as_json()["cost"] == cost


def test_each_repeat_is_charged_its_own_windows_and_half_of_the_rest(grid):
    first, second = build_result(grid, CARBON).as_json()["repeats"]
    # Common: 477 J less 4 J of others', less 352 J in windows, and the sessions.
    assert first["charged_uj"] == (128 + 44 + 24) * J + 65_500_002
    assert second["charged_uj"] == (64 + 64 + 28) * J + 65_500_001


def test_charges_of_repeats_sum_to_the_charge_of_the_strategy(grid):
    result = build_result(grid, CARBON).as_json()
    energy = result["cost"]["energy_uj"]
    shared = sum(result["cost"]["shared_uj"].values())
    assert sum(r["charged_uj"] for r in result["repeats"]) == energy["node_total"] - energy["other"] + shared


def test_the_charge_in_kilowatt_hours_includes_the_pue(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    charged_kwh = (477 - 4 + 10.000003) / 3.6e6 * 1.5
    assert cost["charged_kwh"] == pytest.approx(charged_kwh, rel=1e-12)
    assert cost["per_repeat_kwh"] == pytest.approx(charged_kwh / 2, rel=1e-12)
    assert cost["training_kwh"] == pytest.approx((300 + 52) / 3.6e6 * 1.5, rel=1e-12)
    assert cost["charged_co2_g"] == pytest.approx(charged_kwh * 400, rel=1e-12)
    assert cost["car_km"] == pytest.approx(charged_kwh * 400 / 120.4, rel=1e-12)


def test_the_teacher_is_reported_separately(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["teacher_kwh"] == pytest.approx(50 / 3.6e6 * 1.5, rel=1e-12)
    assert cost["with_teacher_kwh"] == pytest.approx(cost["charged_kwh"] + cost["teacher_kwh"], rel=1e-12)
    assert cost["with_teacher_co2_g"] == pytest.approx(cost["with_teacher_kwh"] * 400, rel=1e-12)


def test_time_covers_the_strategy_and_gpu_time_its_windows(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["wall_s"] == 10.0
    assert cost["gpu_hours"] == pytest.approx(5 / 3600, rel=1e-12)


def test_flops_count_each_epoch_that_the_trials_reached(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    # 3 + 1 + 3 epochs of 100 training and 50 validation images; forward only, and with the backward passes.
    assert cost["gflops_millions"] == pytest.approx(7 * 2 * (10 * 100 + 3 * 150) / 1e15, rel=1e-12)
    assert cost["training_flops"] == 7 * 2 * (10 * 100 + 3 * (3 * 100 + 50))


def test_trials_are_counted_by_how_they_ended(grid):
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert cost["trials"] == {"completed": 2, "pruned": 0, "failed": 1, "interrupted": 0}


def test_a_repeat_contains_the_chosen_point_and_its_accuracy(grid):
    first, second = build_result(grid, CARBON).as_json()["repeats"]
    assert {key: first[key] for key in ("seed", "chosen", "val_accuracy", "val_loss", "trials", "test")} == {
        "seed": 0,
        "chosen": {"tau": 2},
        "val_accuracy": 0.8,
        "val_loss": 0.5,
        "trials": 2,
        "test": TEST_METRICS,
    }
    assert (second["seed"], second["trials"], second["test"]["accuracy"]) == (1, 1, 0.25)


def test_accuracies_are_means_and_sample_deviations_over_repeats(grid):
    summary = build_result(grid, CARBON).as_json()["summary"]
    assert summary["test_accuracy_mean"] == pytest.approx(0.5)
    assert summary["test_accuracy_std"] == pytest.approx(math.sqrt(2 * 0.25**2))
    assert summary["val_accuracy_mean"] == pytest.approx(0.7)
    assert summary["val_accuracy_std"] == pytest.approx(math.sqrt(2 * 0.1**2))


def test_a_result_names_study_strategy_and_quality(grid):
    result = build_result(grid, CARBON).as_json()
    assert (result["schema_version"], result["study"], result["strategy"]) == (1, "small", "grid")
    assert result["status"] == "completed"
    assert result["cost"]["quality"] == "modelled"
    assert result["cost"]["gap_uj"] == 0
    assert result["cost"]["carbon"] == {
        "pue": 1.5,
        "intensity_g_per_kwh": 400.0,
        "source": "a test",
        "preset": None,
    }


def test_a_failed_trial_is_listed_with_its_error(grid):
    [failure] = build_result(grid, CARBON).as_json()["failures"]
    assert failure == {"trial_id": "b", "seed": 0, "point": {"tau": 6}, "error": "RuntimeError: no"}


def test_the_file_contains_the_result_and_can_be_built_again(grid):
    result = write_result(grid, CARBON)
    assert read_document(grid.result, StrategyResult) == result
    assert json.loads(grid.result.read_text()) == with_checksum(result.as_json())
    grid.result.unlink()
    assert write_result(grid, CARBON) == result


def test_another_country_changes_the_carbon_and_not_the_energy(grid):
    here, there = (build_result(grid, Carbon(1.0, grams, "")).as_json()["cost"] for grams in (400.0, 20.0))
    assert there["charged_co2_g"] == pytest.approx(here["charged_co2_g"] / 20)
    assert there["charged_kwh"] == here["charged_kwh"]


# --- failures, abandoned runs and unknown values ---------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "pruned", "interrupted"])
def test_a_failed_trial_is_charged_to_its_repeat(tmp_path, status):
    folder = frozen(tmp_path, repeats=2)
    end(TrialLog.read(folder.trials), "b", 1, 0, status, epochs=1)
    node = Node(two_cores()).start().open(trial("b/1", cpus=2)).work(3, {"b/1": 3}).close("b/1").work(1).stop()
    write_ledger(node, folder.ledger)
    first, second = build_result(folder, CARBON).as_json()["repeats"]
    assert (first["charged_uj"], second["charged_uj"]) == (10 * J, 10 * J + 72 * J)


def test_energy_after_a_killed_meter_is_reported_as_a_gap(tmp_path):
    folder = frozen(tmp_path)
    node = Node(two_cores()).start().work(4, study=4).sample().work(100).start().work(1).stop()
    write_ledger(node, folder.ledger)
    cost = build_result(folder, CARBON).as_json()["cost"]
    # The last power was 4 + 20 W: one second of it is charged, the rest of 100 s x 20 W is not.
    assert cost["gap_uj"] == (2000 - 24) * J
    assert cost["energy_uj"]["node_total"] == (4 * 24 + 24 + 20) * J


def test_energy_of_abandoned_runs_is_reported(grid, tmp_path):
    before = build_result(grid, CARBON).as_json()["cost"]
    study_folder = StudyFolder(grid.path.parent)
    grid.path.rename(study_folder.path / "now")
    for seconds in (1, 2):
        earlier = frozen(tmp_path)
        write_ledger(Node(two_cores()).start().work(seconds, other=1).stop(), earlier.ledger)
        study_folder.put_aside(["grid"])
    (study_folder.path / "now").rename(grid.path)
    after = build_result(grid, CARBON).as_json()["cost"]
    assert before["abandoned_uj"] == 0
    assert after["abandoned_uj"] == (20 + 40) * J
    assert after["charged_kwh"] == before["charged_kwh"]


@pytest.mark.parametrize("teacher", [replace(TEACHER, energy=None), replace(TEACHER, given="0123456789abcdef")])
def test_a_teacher_of_unknown_cost_makes_the_sum_unknown(grid, teacher):
    write_shared(grid, teacher)
    cost = build_result(grid, CARBON).as_json()["cost"]
    assert [cost[key] for key in ("teacher_kwh", "with_teacher_kwh", "with_teacher_co2_g")] == [None, None, None]
    assert cost["charged_kwh"] > 0
    # The name of a teacher whose weights the user gave explains why its cost is unknown.
    assert ("teacher_unmetered" in cost["flags"]) == (teacher.given is None)


def test_a_teacher_that_was_never_looked_up_has_no_known_cost(tmp_path):
    folder = frozen(tmp_path)
    end(TrialLog.read(folder.trials), "a", 0, 0, "interrupted", epochs=1)
    assert build_result(folder, CARBON).as_json()["cost"]["teacher_kwh"] is None


def test_a_strategy_without_a_teacher_has_no_teacher_cost(tmp_path):
    folder = frozen(tmp_path, "none", repeats=1)
    log = TrialLog.read(folder.trials)
    log.suggestion("n", 0, 0, 0, {"loss": "ce"})
    log.attempt(log.trials["n"])
    log.end(log.trials["n"], "completed", epochs=3, val_accuracy=0.5, val_loss=1.0)
    write_ledger(Node(two_cores()).start().work(1).stop(), folder.ledger)
    write_shared(folder, None)
    cost = build_result(folder, CARBON).as_json()["cost"]
    assert cost["teacher_kwh"] == 0
    assert cost["with_teacher_kwh"] == cost["charged_kwh"] > 0
    assert cost["training_flops"] == 3 * 2 * 3 * (3 * 100 + 50)


def test_one_repeat_has_no_deviation(tmp_path):
    folder = frozen(tmp_path, repeats=1)
    log = TrialLog.read(folder.trials)
    end(log, "a", 0, 0, "completed", epochs=3, val_accuracy=0.8, val_loss=0.5)
    log.evaluation(0, "a", TEST_METRICS)
    assert build_result(folder, CARBON).as_json()["summary"] == {
        "test_accuracy_mean": 0.75,
        "test_accuracy_std": None,
        "val_accuracy_mean": 0.8,
        "val_accuracy_std": None,
    }


def test_missing_results_are_null_and_not_0(tmp_path):
    folder = frozen(tmp_path)
    end(TrialLog.read(folder.trials), "a", 0, 0, "failed", epochs=0, error="no")
    result = build_result(folder, CARBON).as_json()
    for repeat in result["repeats"]:
        for key in ("chosen", "val_accuracy", "val_loss", "test"):
            assert repeat[key] is None
    assert set(result["summary"].values()) == {None}


def test_a_repeat_without_an_evaluation_is_left_out_of_the_test_accuracy(tmp_path):
    folder = frozen(tmp_path)
    log = TrialLog.read(folder.trials)
    end(log, "a", 0, 0, "completed", epochs=3, val_accuracy=0.8, val_loss=0.5)
    end(log, "c", 1, 0, "completed", epochs=3, val_accuracy=0.4, val_loss=0.5)
    log.evaluation(0, "a", TEST_METRICS)
    result = build_result(folder, CARBON).as_json()
    assert result["repeats"][1]["chosen"] == {"tau": 2}
    assert result["repeats"][1]["test"] is None
    assert result["summary"]["test_accuracy_mean"] == 0.75
    assert result["summary"]["val_accuracy_mean"] == pytest.approx(0.6)


def test_a_pruned_trial_is_not_chosen(tmp_path):
    folder = frozen(tmp_path, repeats=1)
    log = TrialLog.read(folder.trials)
    end(log, "a", 0, 0, "pruned", epochs=1, val_accuracy=0.9, val_loss=0.1)
    end(log, "b", 0, 1, "completed", epochs=3, val_accuracy=0.5, val_loss=0.5)
    assert build_result(folder, CARBON).as_json()["repeats"][0]["chosen"] == {"tau": 6}


def test_without_a_measurement_there_is_no_quality(tmp_path):
    assert build_result(frozen(tmp_path), CARBON).as_json()["cost"]["quality"] is None


def test_an_unmeasured_cost_is_null_and_not_0(tmp_path):
    cost = build_result(frozen(tmp_path), CARBON).as_json()["cost"]
    assert cost["charged_kwh"] is None


def test_the_worst_quality_of_strategy_and_sessions_counts(tmp_path):
    folder = frozen(tmp_path)
    TrialLog.read(folder.trials).session("s1")
    study_folder = StudyFolder(folder.path.parent)
    write_ledger(Node(two_cores(rapl={"package-0": 10**9})).start().work(1).stop(), folder.ledger)
    write_ledger(Node(two_cores()).start().work(1).stop(), study_folder.session("s1"))
    write_shared(folder, None)
    assert build_result(folder, CARBON).as_json()["cost"]["quality"] == "modelled"


def test_an_unmetered_session_has_no_summary(tmp_path):
    assert ledger_summary(tmp_path / "no such folder", dedicated=True) is None


def test_a_folder_without_a_study_is_an_error(tmp_path):
    with pytest.raises(ResultsError, match="study.toml"):
        build_result(StrategyFolder(tmp_path), CARBON).as_json()


def test_a_damaged_shared_json_is_an_error_that_names_the_file(grid):
    grid.shared.write_text("{")
    with pytest.raises(ResultsError, match=r"shared\.json"):
        build_result(grid, CARBON).as_json()


def test_a_point_without_an_attempt_does_not_count_as_a_trial(tmp_path):
    folder = frozen(tmp_path, repeats=1)
    log = TrialLog.read(folder.trials)
    end(log, "a", 0, 0, "interrupted", epochs=1)
    log.suggestion("b", 0, 0, 1, {"tau": 6})
    assert build_result(folder, CARBON).as_json()["repeats"][0]["trials"] == 1


# --- attribution -----------------------------------------------------------------------------------------------


def test_shared_attribution_does_not_charge_idle_energy(tmp_path):
    folder = frozen(tmp_path, attribution="shared")
    write_ledger(energy_of_the_grid(), folder.ledger)
    result = build_result(folder, CARBON).as_json()
    assert sum(r["charged_uj"] for r in result["repeats"]) == (300 + 52 + 4) * J
    assert result["cost"]["charged_kwh"] == pytest.approx(356 / 3.6e6 * 1.5, rel=1e-12)
    assert result["cost"]["energy_uj"]["idle"] == 117 * J


def test_shared_attribution_does_not_charge_idle_energy_of_a_session(tmp_path):
    folder = frozen(tmp_path, attribution="shared")
    TrialLog.read(folder.trials).session("s1")
    study_folder = StudyFolder(folder.path.parent)
    write_ledger(Node(two_cores()).start().work(1, study=1).stop(), study_folder.session("s1"))
    write_shared(folder, None)
    assert build_result(folder, CARBON).as_json()["cost"]["shared_uj"]["session"] == 4 * J


# --- the status ------------------------------------------------------------------------------------------------


def status_after(folder: StrategyFolder, *, planned: bool, tested: bool, last: str | None, ended: str) -> str:
    log = TrialLog.read(folder.trials)
    end(log, "a", 0, 0, "completed", epochs=3, val_accuracy=0.8, val_loss=0.5)
    end(log, "b", 0, 1, ended, epochs=3, **({"val_accuracy": 0.1, "val_loss": 2.0} if ended == "completed" else {}))
    if planned:
        log.plan_complete(0)
    if tested:
        log.evaluation(0, "a", TEST_METRICS)
    if last:
        log.stopped(last)
    return build_result(folder, CARBON).as_json()["status"]


@pytest.mark.parametrize(
    ("planned", "tested", "last", "ended", "expected"),
    [
        (True, True, "completed", "completed", "completed"),
        (True, True, "completed", "failed", "completed"),  # it failed for good, so it is settled
        (True, True, None, "completed", "completed"),  # killed after all was done
        (True, False, "interrupted", "completed", "interrupted"),
        (True, True, "interrupted", "interrupted", "interrupted"),
        (False, False, "budget", "completed", "budget"),
        (False, False, None, "completed", "incomplete"),  # killed
        (True, False, "incomplete", "completed", "incomplete"),
        (False, True, "completed", "completed", "incomplete"),  # what a log claims is not enough
    ],
)
def test_the_status_follows_from_the_log(tmp_path, planned, tested, last, ended, expected):
    folder = frozen(tmp_path, repeats=1)
    assert status_after(folder, planned=planned, tested=tested, last=last, ended=ended) == expected


def test_a_study_is_not_completed_before_every_repeat_is(tmp_path):
    folder = frozen(tmp_path, repeats=2)
    assert status_after(folder, planned=True, tested=True, last="completed", ended="completed") == "incomplete"


# --- shared inputs after a command was killed ------------------------------------------------------------------


def with_a_session(folder: StrategyFolder, name: str = "s1") -> StudyFolder:
    TrialLog.read(folder.trials).session(name)
    study_folder = StudyFolder(folder.path.parent)
    write_ledger(Node(two_cores()).start().work(1, study=1).stop(), study_folder.session(name))
    return study_folder


def test_a_session_of_a_killed_command_counts_before_a_resume(tmp_path):
    folder = frozen(tmp_path)
    write_ledger(energy_of_the_grid(), folder.ledger)
    without = build_result(folder, CARBON).as_json()["cost"]
    with_a_session(folder)  # and no shared.json
    cost = build_result(folder, CARBON).as_json()["cost"]
    assert (without["shared_uj"]["session"], cost["shared_uj"]["session"]) == (None, 24 * J)
    assert cost["charged_kwh"] > without["charged_kwh"]


def test_the_ledger_of_a_session_replaces_an_outdated_copy(tmp_path):
    folder = frozen(tmp_path)
    write_ledger(energy_of_the_grid(), folder.ledger)
    study_folder = with_a_session(folder)
    write_shared(folder, None)
    (study_folder.session("s1") / "node.jsonl").unlink()
    write_ledger(Node(two_cores()).start().work(5, study=5).stop(), study_folder.session("s1"))
    assert build_result(folder, CARBON).as_json()["cost"]["shared_uj"]["session"] > 24 * J


def test_a_strategy_folder_without_its_study_uses_the_copy(tmp_path):
    folder = frozen(tmp_path)
    write_ledger(energy_of_the_grid(), folder.ledger)
    with_a_session(folder)
    write_shared(folder, None)
    moved = tmp_path / "elsewhere" / "study" / "grid"
    moved.parent.mkdir(parents=True)
    folder.path.rename(moved)
    assert build_result(StrategyFolder(moved), CARBON).as_json()["cost"]["shared_uj"]["session"] == 24 * J


def test_an_abandoned_killed_run_includes_its_session(tmp_path):
    folder = frozen(tmp_path)
    write_ledger(energy_of_the_grid(), folder.ledger)
    study_folder = with_a_session(folder)
    study_folder.put_aside(["grid"])
    again = frozen(tmp_path)
    write_ledger(energy_of_the_grid(), again.ledger)
    cost = build_result(again, CARBON).as_json()["cost"]
    assert cost["abandoned_uj"] == round(cost["charged_kwh"] * 3.6e12 / CARBON.pue) + 24 * J


def test_meta_gradients_of_the_search_for_a_float_student_are_counted_with_it(tmp_path):
    searched = finished(
        tmp_path, "single", point={"temperature": "meta"}, strategies={"single": {"temperature": "meta"}}
    )
    cost = build_result(searched, CARBON).cost
    own = finished(tmp_path, "qat", point={"loss": "ce", "quantised": "qat", "after": "single"}, strategies={"qat": {}})
    without = build_result(own, CARBON).cost
    write_shared(own, None, before=inputs_of_students(searched, CARBON))
    whole = build_result(own, CARBON).cost
    assert (without.meta_flops, whole.meta_flops) == (None, cost.meta_flops)
    assert whole.training_flops - without.training_flops == cost.training_flops > cost.meta_flops > 0
