"""A small study of detection, from its table to the results."""

import csv
import json

import numpy as np
import pytest

import kdtune
from kdtune.report.cost_rows import columns, cost_rows
from kdtune.results.folder import StrategyFolder
from kdtune.results.outcome import build_result
from tests.tasks.detection.test_task import study_of

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    short = {"epochs": 1, "batch_size": 16, "learning_rate": 0.05}
    study = study_of(
        student="ssdlite_6_12_16_16",
        data={"train_limit": 80},
        validation=16,
        training=short,
        teacher_training=short,
        strategies={"fixed": {}},
        repeats=1,
    )
    result = kdtune.run_study(study, out=tmp_path_factory.mktemp("detection"), inline=True)
    assert result.exit_code == 0, result.errors
    return result


def test_a_study_of_detection_has_mean_average_precision_in_place_of_accuracy(run):
    folder = run.folder / "fixed"
    result = json.loads((folder / "result.json").read_text())
    [repeat] = result["repeats"]
    assert result["objective"] == "map" and result["status"] == "completed"
    assert repeat["val_accuracy"] is None and 0 <= repeat["val_objective"] <= 1
    assert repeat["test_objective"] == repeat["test"]["map"] and "accuracy" not in repeat["test"]
    assert list(repeat["test"]) == ["map", "map_area", "map_coco", "map_coco_50", "map_coco_75"]
    assert result["summary"]["test_accuracy_mean"] is None
    energy = result["cost"]["energy_uj"]
    assert sum(value for key, value in energy.items() if key != "node_total") == energy["node_total"]
    with np.load(folder / "predictions.npz") as kept:
        assert kept["seed_0"].shape == (300, 200, 6)
    assert (folder / "detections.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "per-class.csv").open()))
    assert [row["class"] for row in rows] == [*"0123456789"] and all(int(row["objects"]) > 0 for row in rows)


def test_tables_show_it(run):
    outcome = build_result(StrategyFolder(run.folder / "fixed"), run.outcomes[0].cost.carbon)
    assert (columns([outcome])[6], columns([outcome])[1]) == ("val. mAP %", "test mAP %")
    assert cost_rows([outcome])[0][1] == f"{100 * outcome.repeats[0].test['map']:.1f}"
