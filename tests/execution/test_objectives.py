"""A study that another metric than the accuracy decides, from its file to the comparison."""

import json

import pytest

import kdtune
from kdtune.analysis.comparison import compare
from kdtune.errors import UsageError
from kdtune.report.cost_rows import columns
from kdtune.results.folder import StrategyFolder
from kdtune.results.outcome import build_result
from tests.studies import small_study

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("objective")
    study = small_study(strategies={"grid": {}}, repeats=1, objective="balanced_accuracy")
    result = kdtune.run_study(study, out=out, inline=True)
    assert result.exit_code == 0, result.errors
    return result


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_objective_chooses_the_trial_and_stands_beside_the_accuracy(run):
    folder = run.folder / "grid"
    ends = [line for line in lines(folder / "trials.jsonl") if line["type"] == "end"]
    points = {
        line["trial_id"]: line["point"] for line in lines(folder / "trials.jsonl") if line["type"] == "suggestion"
    }
    winner = min(ends, key=lambda line: (-line["val_objective"], line["val_loss"]))
    result = json.loads((folder / "result.json").read_text())
    [repeat] = result["repeats"]
    assert result["objective"] == "balanced_accuracy"
    assert repeat["chosen"] == points[winner["trial_id"]] and repeat["val_objective"] == winner["val_objective"]
    assert repeat["test_objective"] == repeat["test"]["balanced_accuracy"] == result["summary"]["test_objective_mean"]
    assert any(line["val_objective"] != line["val_accuracy"] for line in ends)
    last = {line["trial_id"]: line for line in lines(folder / "epochs.jsonl")}
    assert {key: line["val_objective"] for key, line in last.items()} == {
        line["trial_id"]: line["val_objective"] for line in ends
    }
    outcome = build_result(StrategyFolder(folder), run.outcomes[0].cost.carbon)
    assert (columns([outcome])[6], columns([outcome])[1]) == ("val. balanced acc. %", "test balanced acc. %")
    frames = kdtune.load_results(folder)
    assert frames.trials.val_objective.notna().all() and frames.epochs.val_objective.notna().all()


def test_different_objectives_are_not_compared(run, tmp_path):
    other = kdtune.run_study(small_study(strategies={"grid": {}}, repeats=1), out=tmp_path, inline=True)
    assert other.exit_code == 0, other.errors
    known = json.loads((other.folder / "grid" / "result.json").read_text())
    assert "objective" not in known and "val_objective" not in known["repeats"][0]
    assert "val_objective" not in (other.folder / "grid" / "epochs.jsonl").read_text()
    with pytest.raises(UsageError, match="objective: objective balanced_accuracy .*; objective accuracy "):
        compare([run.folder, other.folder])
