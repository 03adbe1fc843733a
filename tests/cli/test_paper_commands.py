"""compare --paper, compare --green and claims on the command line."""

import csv
import json

import pytest

from kdtune.results.source_commit import commit
from tests.results.several import CIFAR100_HKD, ran
from tests.studies import here


@pytest.fixture
def folder(tmp_path):
    ran(tmp_path / "results", "grid", [0.10, 0.12], trial_s=[4, 4], points=[{"tau": 2}, {"tau": 6}], **CIFAR100_HKD)
    ran(tmp_path / "results", "stochastic", [0.10, 0.11], trial_s=[4, 4], **CIFAR100_HKD)
    return tmp_path


def test_the_papers_tables_accept_studies_that_cannot_share_a_table(folder):
    ran(folder / "results", "grid", [0.9])
    assert here("compare", "results", cwd=folder).returncode == 2
    each = here("compare", cwd=folder)  # no folder is named, so each study has its own table
    assert each.returncode == 0
    assert "cifar100-hkd: cost of one model" in each.stdout and "small: cost of one model" in each.stdout
    done = here("compare", "--paper", "--json", "--preset", "paper", cwd=folder)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert [table["number"] for table in document["tables"]] == [1, 3, 4, 5, 6, 7, 8]
    row = document["tables"][2]["blocks"][1]["rows"][0]
    assert (row["study"], row["strategy"], row["n"], row["folder"]) == (
        "cifar100-hkd",
        "grid",
        2,
        "results/cifar100-hkd",
    )
    assert row["figures"]["accuracy"]["ours"] == pytest.approx(0.11)
    assert {result["strategy"] for result in document["results"]} == {"grid", "stochastic"}
    assert document["warnings"] == ["results/small: not a study of the paper, so it is in no row."]


def test_without_results_the_tables_have_dashes_and_the_next_command(tmp_path):
    done = here("compare", "--paper", "--markdown", cwd=tmp_path)
    assert done.returncode == 0
    assert "| Ours [3] | 91.67 | - | - | 0.21 | - | - | 61.76 | - |" in done.stdout
    assert "kdtune study cifar10-hkd -s grid -s stochastic -s none" in done.stdout
    claims = json.loads(here("claims", "--json", cwd=tmp_path).stdout)
    assert claims["schema_version"] == 1
    assert {one["verdict"] for claim in claims["claims"] for one in claim["evidence"]} == {"not run"}


@pytest.mark.parametrize("command", [["compare", "--paper"], ["claims"]])
def test_a_folder_without_results_is_refused(tmp_path, command):
    done = here(*command, "elsewhere", cwd=tmp_path)
    assert done.returncode == 2 and "elsewhere: no results here" in done.stderr and "Traceback" not in done.stderr


def test_flags_that_do_not_go_together_are_refused_at_once(folder):
    done = here("compare", "--paper", "--csv", "x.csv", "--green", "--baseline", "fixed", cwd=folder)
    assert done.returncode == 2 and "--baseline: does not go with --paper" in done.stderr
    assert "--csv: does not go with --paper" in done.stderr and "--green: does not go with --paper" in done.stderr
    assert not (folder / "x.csv").exists()


def test_the_green_index_is_an_additional_column_in_all_formats(folder):
    plain = here("compare", cwd=folder).stdout
    assert "green index" not in plain
    arguments = ["--green-weight", "3", "--csv", "costs.csv"]
    done = here("compare", *arguments, "--markdown", cwd=folder)
    # Twice the trainings take twice the energy, which subtracts 3 points from 11.
    cost_table = done.stdout.partition("\n\n")[0]
    lines = {line.split(" | ")[0]: line for line in cost_table.splitlines() if line.startswith("| ")}
    assert lines["| strategy"].endswith("| green index |")
    assert lines["| grid"].endswith("| 8.0 +- 1.4 |") and lines["| stochastic"].endswith("| 10.5 +- 0.7 |")
    assert "test accuracy in points - 3 x log2(energy as run / that of stochastic)" in done.stdout
    rows = {row["strategy"]: row for row in csv.DictReader((folder / "costs.csv").open())}
    assert float(rows["grid"]["green_index_points"]) == pytest.approx(8.0)
    assert float(rows["grid"]["green_index_points_std"]) == pytest.approx(2**0.5)
    results = json.loads(here("compare", "--green", "--json", cwd=folder).stdout)["results"]
    index = {result["strategy"]: result["green_index"] for result in results}
    assert index["grid"] == {
        "points": pytest.approx(10.0),
        "points_std": pytest.approx(2**0.5),
        "points_per_doubling": 1.0,
        "baseline": "stochastic",
    }


def test_a_weight_below_0_is_refused(folder):
    done = here("compare", "--green-weight", "-1", cwd=folder)
    assert done.returncode == 2 and "--green-weight: must be 0 or more" in done.stderr


def test_claims_name_the_study_that_tests_them(folder):
    document = json.loads(here("claims", "results", "--json", cwd=folder).stdout)
    assert document["commit"] == commit()
    claim = next(claim for claim in document["claims"] if claim["name"] == "hkd-matches")
    first = claim["evidence"][0]
    assert (first["studies"], first["is_papers"], first["verdict"]) == (["cifar100-hkd"], True, "not settled")
    assert first["interval"]["n"] == 2 and first["departs"][0].startswith("reduced run")
    assert "not settled  cifar100-hkd" in here("claims", "--why", cwd=folder).stdout
    row = next(line for line in here("claims", cwd=folder).stdout.splitlines() if line.startswith(" 1. "))
    assert "not settled" in row and "cifar100-hkd" in row and "n = 2)" in row
