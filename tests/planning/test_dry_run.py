"""The plan of a study, made in this process: nothing is written and Ray is not started."""

import json
import re
from dataclasses import replace

import psutil
import pytest
import ray
import torch

import kdtune
from kdtune import api
from kdtune.errors import SpecError, UsageError
from kdtune.execution.inspection_job import inspect_study
from kdtune.planning.usable_cores import usable_cores
from kdtune.results.folder import StudyFolder
from tests.data.sets import write_tiny_imagenet
from tests.recipes import points_of
from tests.studies import small_study


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a plan starts no Ray")

    monkeypatch.setattr(ray, "init", refuse)


def files_under(folder):
    return sorted(path for path in folder.rglob("*"))


def test_a_plan_writes_nothing_does_not_start_ray_and_lists_every_strategy(tmp_path, cache_folder):
    teachers, children = files_under(cache_folder / "teachers"), psutil.Process().children(recursive=True)
    strategies = {"grid": {}, "random": {"trials": 2}, "optuna": {"trials": 4}, "none": {}}
    plan = kdtune.plan_study(small_study(strategies=strategies), out=tmp_path / "results")
    assert files_under(tmp_path) == [] and files_under(cache_folder / "teachers") == teachers
    assert not ray.is_initialized() and {*psutil.Process().children(recursive=True)} <= {*children}
    assert [(one.strategy, one.trials) for one in plan.estimates] == [
        ("grid", 6), ("random", 4), ("optuna", 8), ("none", 2)
    ]  # fmt: skip
    assert [points_of(repeat) for repeat in plan.suggestions["grid"]] == [[{"tau": 2}, {"tau": 6}, {"tau": 10}]] * 2
    assert [len(repeat) for repeat in plan.suggestions["random"]] == [2, 2]
    assert plan.suggestions["optuna"] is None
    assert all(one.wall_s > 0 and not one.complete for one in plan.estimates)
    assert plan.teacher.model == "convnet_32" and plan.remarks == ()


def test_a_study_with_a_single_image_left_over_is_planned_and_one_with_batches_of_one_refused(tmp_path):
    asked = {"study": small_study(student="shufflenet_v2"), "strategy": "fixed", "out": tmp_path}
    sizes = ["data.train_limit=101", "validation=20"]
    assert kdtune.plan_study(**asked, overrides=[*sizes, "training.batch_size=40"]).estimates[0].wall_s > 0
    with pytest.raises(SpecError, match=r"training\.batch_size: shufflenet_v2 cannot be trained on one image a step"):
        kdtune.plan_study(**asked, overrides=[*sizes, "training.batch_size=1"])


def test_the_document_is_json_with_units_in_its_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))  # in which there is no teacher
    carbon = kdtune.energy.carbon.Carbon(pue=2.0, intensity_g_per_kwh=100.0, source="a test")
    document = kdtune.plan_study(small_study(), out=tmp_path, carbon=carbon).as_json()
    plan = json.loads(json.dumps(document, allow_nan=False))["plan"]
    grid = plan["strategies"][0]
    assert document["schema_version"] == 1
    assert grid["charged_kwh"] == pytest.approx(2.0 * grid["charged_uj"] / 3.6e12)
    assert grid["charged_co2_g"] == pytest.approx(100 * grid["charged_kwh"])
    assert {"wall_s", "gflops_millions", "training_flops", "trials", "basis", "complete", "points"} <= grid.keys()
    assert plan["total"]["trials"] == sum(one["trials"] for one in plan["strategies"])
    # The teacher is asked once for both strategies that have one, and each is charged for it.
    assert plan["teacher_logits"]["charged_uj"] == plan["teacher_logits"]["due_uj"] > 0
    assert plan["total"]["charged_uj"] == pytest.approx(
        plan["teacher"]["charged_uj"]
        + sum(one["charged_uj"] for one in plan["strategies"])
        - plan["teacher_logits"]["charged_uj"],
        abs=3,
    )


def test_a_plan_with_a_live_teacher_has_no_logits(tmp_path):
    plan = kdtune.plan_study(small_study(teacher_logits="live"), out=tmp_path).as_json()["plan"]
    assert plan["teacher_logits"] is None
    assert plan["numerics"] == {"precision": "float32", "memory_layout": "contiguous", "compile": "off"}


def test_the_same_faults_are_found_as_before_a_run(tmp_path):
    with pytest.raises(SpecError, match="gird"):
        kdtune.plan_study(small_study(), "gird", out=tmp_path)
    with pytest.raises(SpecError, match="max_kwh"):
        kdtune.plan_study(small_study(), out=tmp_path, max_kwh=-1)
    with pytest.raises(UsageError, match="cpus_per_trial"):
        kdtune.plan_study(small_study(), out=tmp_path, cpus_per_trial=4096)
    with pytest.raises(UsageError, match="gpus_per_trial"):
        kdtune.plan_study(small_study(), out=tmp_path, gpus_per_trial=64)


def test_a_split_that_is_too_large_for_a_subset_is_refused(tmp_path):
    write_tiny_imagenet(tmp_path / "data", train=4)
    study = small_study(dataset="tiny_imagenet", validation=400)
    with pytest.raises(UsageError, match="tiny_imagenet: validation: holding out 400 of 12 training images"):
        kdtune.plan_study(study, "none", out=tmp_path, data_dir=tmp_path / "data")


def test_earlier_results_and_a_budget_that_is_too_small_are_mentioned(tmp_path):
    (tmp_path / "small" / "none").mkdir(parents=True)
    plan = kdtune.plan_study(small_study(), "none", out=tmp_path, max_co2_g=1e-9, address="auto")
    shown = "\n".join(plan.remarks)
    for words in ("--fresh", "--max-co2", "auto"):
        assert words in shown
    assert plan.teacher is None
    assert files_under(tmp_path) == [tmp_path / "small", tmp_path / "small" / "none"]


def test_the_remark_about_a_small_budget_does_not_replace_those_of_the_inspection(tmp_path, monkeypatch):
    def inspect(*arguments):
        return replace(inspect_study(*arguments), remarks=("The disk is small.",))

    monkeypatch.setattr(api, "inspect_study", inspect)
    plan = kdtune.plan_study(small_study(), "none", out=tmp_path, max_co2_g=1e-9)
    assert plan.remarks[0] == "The disk is small." and "--max-co2" in plan.remarks[1]


def test_the_state_of_torch_is_restored(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3).tolist()
    torch.manual_seed(5)
    kdtune.plan_study(small_study(), "none", out=tmp_path, cpus_per_trial=min(2, usable_cores()))
    assert torch.rand(3).tolist() == expected
    assert torch.get_num_threads() == 1


def test_concurrent_trials_are_limited(tmp_path):
    assert kdtune.plan_study(small_study(), "none", out=tmp_path, max_concurrent=1).slots == 1


def test_epochs_by_energy_are_timed_and_a_recorded_factor_is_reused(tmp_path):
    study = small_study(strategies={"equal": {"strategy": "none", "longer": "energy"}, "grid": {}})
    timed = kdtune.plan_study(study, "equal", out=tmp_path)
    (remark,) = timed.remarks
    (multiple,) = re.findall(r"takes ([0-9.]+) times the training energy of the student alone\. A run", remark)
    (first,), (second,) = timed.suggestions["equal"]
    assert first == second and first.longer == pytest.approx(max(1.0, float(multiple)), abs=0.006)
    frozen = StudyFolder(tmp_path / "small").strategy("grid")
    frozen.path.mkdir(parents=True)
    frozen.write_study(timed.study, {"energy_multiple": 2.5})
    kept = kdtune.plan_study(study, "equal", out=tmp_path)
    assert [points_of(repeat) for repeat in kept.suggestions["equal"]] == [[{"loss": "ce", "longer": 2.5}]] * 2
    assert kept.remarks == ()
