"""``kdtune study --dry-run`` as a user types it."""

import json
import shlex

from tests.studies import SMALL, here

STUDY = ["study", "digits-hkd", "-s", "grid", "-s", "optuna", *SMALL]


def test_a_dry_run_shows_the_plan_and_the_next_command_and_leaves_no_files(tmp_path):
    done = here(*STUDY, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "points",
        "energy (",
        "CO2 (",
        "grid: tau 2, 6, 10",
        "adaptive",
        "The session's start",
        "teacher (convnet_32)",
    ):
        assert words in done.stdout
    assert f"Nothing was run. To run it: kdtune {shlex.join(STUDY)}" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_with_json_standard_output_is_one_document(tmp_path):
    done = here(*STUDY, "--dry-run", "--json", "--country", "FRA", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)["plan"]
    assert [one["strategy"] for one in plan["strategies"]] == ["grid", "optuna"]
    assert plan["strategies"][0]["points"] == [[{"tau": 2}, {"tau": 6}, {"tau": 10}]] * 3
    assert plan["carbon"]["source"].startswith("France")
    assert "Nothing was run" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_a_run_refuses(tmp_path):
    done = here("study", "digits-hkd", "-s", "gird", "--max-kwh", "0", "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert "grid" in done.stderr and "--max-kwh" in done.stderr and done.stdout == ""
