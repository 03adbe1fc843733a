"""``--teacher FILE`` on the command line, with real training in this process."""

import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest
import torch

from kdtune.artifacts.given_teacher import kept_weights
from kdtune.catalog.builtin import MODELS
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.folder import StrategyFolder
from tests.studies import SMALL, here, results_of

SHORT = ["--repeats", "1", *SMALL[:-1], "1", "--inline"]
STUDY = ["study", "digits-hkd", "-s", "grid", "-s", "none", *SHORT]


def write_teacher(path: Path, seed: int = 0, classes: int = 10) -> Path:
    torch.manual_seed(seed)
    torch.save({"state_dict": MODELS.load("convnet_32")(1, classes).state_dict(), "epoch": 9}, path)
    return path


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A study with a given teacher that is untrained and accepted: its folder and the output of the command."""
    place = tmp_path_factory.mktemp("given")
    write_teacher(place / "mine.pt")
    refused = here(*STUDY, "--teacher", "mine.pt", "--json", cwd=place)
    assert refused.returncode == 2 and refused.stdout == ""
    error = refused.stderr.splitlines()[-1]
    assert "--teacher: the given teacher is no better than chance" in error and "--accept-teacher" in error
    assert "training" not in refused.stderr.replace(error, "")
    assert [path.name for path in (place / "results" / "digits-hkd").iterdir() if path.name != ".lock"] == ["sessions"]
    done = here(*STUDY, "--teacher", "mine.pt", "--accept-teacher", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "results" / "digits-hkd", done


def cached(key: str) -> Path:
    return Path(os.environ["KDTUNE_CACHE_DIR"]) / "teachers" / key


def teacher_of(folder: Path) -> dict:
    return json.loads((folder / "grid" / "shared.json").read_text())["teacher"]


def test_the_training_energy_of_the_teacher_is_null_and_not_0(given):
    results = results_of(given[1])
    cost = results["grid"]["cost"]
    assert [cost[key] for key in ("teacher_kwh", "with_teacher_kwh", "with_teacher_co2_g")] == [None] * 3
    assert cost["charged_kwh"] > 0
    assert results["none"]["cost"]["teacher_kwh"] == 0  # it has none


def test_the_teacher_is_evaluated_and_not_trained(given):
    teacher = teacher_of(given[0])
    assert teacher["epochs"] is None and teacher["gflops_millions"] is None
    assert 0 < teacher["val_accuracy"] < 1 and 0 < teacher["test"]["accuracy"] < 1
    assert sorted(path.name for path in cached(teacher["key"]).iterdir()) == [
        ".in-use",
        ".lock",
        "ledger",
        "record.json",
    ]


def test_the_energy_of_evaluating_the_teacher_is_only_in_its_own_ledger(given):
    teacher = teacher_of(given[0])
    account = account_of_nodes(read_folder(cached(teacher["key"]) / "ledger"))
    assert account.buckets["evaluation"] > 0 and account.buckets["trials"] == 0
    assert teacher["energy"]["charged_uj"] == account.charged_uj() > 0
    card = json.loads((given[0] / "grid" / "cost.json").read_text())["teacher"]
    assert card == {
        "model": "convnet_32",
        "key": teacher["key"],
        "given_weights": teacher["given"],
        "kwh": None,
        "measuring_kwh": pytest.approx(account.charged_uj() / 3.6e12),
    }


def test_the_table_has_a_dash_and_a_reason(given):
    shown = given[1].stderr
    (line,) = (line for line in shown.splitlines() if "teacher (convnet_32), given" in line)
    assert line.split()[-2:] == ["-"] * 2
    assert "the energy of its training is unknown" in shown and "Its evaluation took" in shown
    assert "was trained once" not in shown and "training the teacher" not in shown


def test_study_toml_records_the_weights_and_run_toml_their_file(given):
    folder, digest = given[0], teacher_of(given[0])["given"]
    run = tomllib.loads((folder / "run.toml").read_text())
    assert run["study"]["teacher_weights"] == digest
    assert run["options"]["teacher"] == str(folder.parents[1] / "mine.pt")
    for name in ("grid", "none"):
        frozen = (folder / name / "study.toml").read_text()
        assert tomllib.loads(frozen)["teacher_weights"] == digest
        assert "mine.pt" not in frozen


def test_the_energy_of_evaluating_a_refused_teacher_is_charged_to_the_study_that_uses_it(given):
    shared = json.loads((given[0] / "grid" / "shared.json").read_text())
    sessions = {path.name for path in (given[0] / "sessions").iterdir() if not path.name.endswith("-waiting")}
    assert len(sessions) == 2 and set(shared["sessions"]) == sessions


def test_a_plan_with_a_teacher_that_is_known_to_be_at_chance_says_so(given, tmp_path):
    write_teacher(tmp_path / "mine.pt")
    done = here(*STUDY, "--teacher", "mine.pt", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0 and "unless it has --accept-teacher" in done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "sessions" not in path.parts
    }


def test_a_fresh_study_that_is_refused_leaves_the_earlier_one_unchanged(given, tmp_path):
    folder = shutil.copytree(given[0], tmp_path / "results" / "digits-hkd")
    before, sessions = contents(folder), len(list((folder / "sessions").iterdir()))
    write_teacher(tmp_path / "other.pt", seed=3)
    done = here(*STUDY, "--teacher", "other.pt", "--fresh", cwd=tmp_path)
    assert done.returncode == 2 and "no better than chance" in done.stderr and "resume" not in done.stderr
    assert contents(folder) == before
    assert len(list((folder / "sessions").iterdir())) == sessions + 1  # the inspection
    # The same holds for a study that stops before it trains, and a resume continues the earlier study.
    write_teacher(tmp_path / "mine.pt")
    again = [*STUDY, "--teacher", "mine.pt", "--accept-teacher", "--fresh", "--max-co2", "1e-9"]
    done = here(*again, cwd=tmp_path)
    assert done.returncode == 4 and "No strategy was started. To start one, run the same command" in done.stdout
    assert contents(folder) == before
    compared = here("compare", str(folder), "--json", cwd=tmp_path)
    assert set(results_of(compared)) == {"grid", "none"}
    resumed = here("resume", str(folder), "--no-report", "--json", cwd=tmp_path)
    assert resumed.returncode == 0 and set(results_of(resumed)) == {"grid", "none"}


@pytest.fixture
def copy(given, tmp_path):
    """A copy of the study with an unfinished strategy, without the user's file."""
    folder = shutil.copytree(given[0], tmp_path / "results" / "digits-hkd")
    shutil.rmtree(folder / "grid")
    text = (folder / "run.toml").read_text()
    (folder / "run.toml").write_text(text.replace(str(given[0].parents[1]), str(tmp_path)))
    return folder


def test_a_study_resumes_with_the_same_teacher_after_the_file_was_removed(given, copy):
    before = teacher_of(given[0])
    done = here("resume", str(copy), "--no-report", "--json", cwd=copy.parents[1])
    assert done.returncode == 0, done.stderr
    assert not (copy / "report.html").exists()
    assert here("resume", str(copy), "--json", cwd=copy.parents[1]).returncode == 0
    assert (copy / "report.html").exists()
    assert teacher_of(copy) == before  # evaluated once
    assert results_of(done)["grid"]["repeats"][0]["test"] == results_of(given[1])["grid"]["repeats"][0]["test"]
    assert tomllib.loads((copy / "run.toml").read_text())["options"]["teacher"].endswith("mine.pt")


@pytest.fixture
def cleaned(given):
    """The cache without the weights, evaluation and logits of that teacher."""
    shared = json.loads((given[0] / "grid" / "shared.json").read_text())
    shutil.rmtree(kept_weights(shared["teacher"]["given"]).parent)
    shutil.rmtree(cached(shared["teacher"]["key"]))
    for name in shared["teacher_logits"]:
        shutil.rmtree(Path(os.environ["KDTUNE_CACHE_DIR"]) / "teacher-logits" / name)


def test_after_the_cache_was_cleaned_the_file_is_requested_and_can_be_given_again(copy, cleaned, tmp_path):
    done = here("resume", str(copy), cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"which were in {tmp_path / 'mine.pt'} when the study was started, with --teacher FILE" in line
    other = write_teacher(tmp_path / "other.pt", seed=1)
    done = here("resume", str(copy), "--teacher", str(other), cwd=tmp_path)
    assert done.returncode == 2 and "contains other weights" in done.stderr
    again = write_teacher(tmp_path / "again.pt")
    done = here("resume", str(copy), "--teacher", "again.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tomllib.loads((copy / "run.toml").read_text())["options"]["teacher"] == str(again)


def test_results_of_another_teacher_are_refused(given, tmp_path):
    folder, out = given[0], given[0].parent
    other = write_teacher(tmp_path / "other.pt", seed=1)
    fixed = ["study", "digits-hkd", "-s", "fixed", *SHORT]
    for more in (["--teacher", str(other)], []):
        done = here(*fixed, *more, "--out", str(out), cwd=tmp_path)
        assert done.returncode == 2 and "differs in teacher_weights" in done.stderr
    elsewhere = shutil.copytree(folder, tmp_path / "results" / "digits-hkd")
    for one in map(StrategyFolder, elsewhere.glob("[!.]*/")):
        if one.study_toml.exists():
            study = one.read_study().model_copy(update={"teacher_weights": "f" * 16})
            one.write_study(study, {k: v for k, v in one.resolved().items() if k != "crc32"})
    compared = here("compare", str(folder), str(elsewhere), cwd=tmp_path)
    assert compared.returncode == 2
    told = next(line for line in compared.stderr.splitlines() if "teacher's weights" in line)
    assert f"teacher {teacher_of(folder)['given']} (" in told and f"teacher {'f' * 16} (" in told


def teachers() -> set[str]:
    return {path.name for path in cached("").iterdir()}


def test_a_strategy_without_a_teacher_needs_and_caches_none(given, tmp_path):
    before = teachers()
    write_teacher(tmp_path / "mine.pt", seed=2)
    none = ["study", "digits-hkd", "-s", "none", *SHORT, "--teacher", "mine.pt", "--json"]
    done = here(*none, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert results_of(done)["none"]["cost"]["with_teacher_kwh"] > 0
    assert teachers() == before


def test_a_dry_run_plans_the_evaluation_and_caches_nothing(tmp_path):
    write_teacher(tmp_path / "mine.pt")
    content = torch.load(tmp_path / "mine.pt")
    average = {name: value + 1 for name, value in content["state_dict"].items()}
    torch.save({**content, "ema_state_dict": average}, tmp_path / "mine.pt")
    cache = {"KDTUNE_CACHE_DIR": str(tmp_path / "cache")}
    done = here(*STUDY, "--teacher", "mine.pt", "--dry-run", "--json", cwd=tmp_path, **cache)
    assert done.returncode == 0, done.stderr
    teacher = json.loads(done.stdout)["plan"]["teacher"]
    assert teacher["given"] and not teacher["cached"] and teacher["gflops_millions"] == 0 < teacher["charged_uj"]
    assert "teacher (convnet_32), given: to be evaluated" in done.stderr
    assert done.stderr.startswith(
        "note: --teacher mine.pt: the weights in 'state_dict' were used, not their moving average in 'ema_state_dict'"
    )
    assert done.stderr.count("note:") == 1
    assert not (tmp_path / "cache" / "teachers").exists()


@pytest.mark.parametrize("command", [STUDY, [*STUDY, "--dry-run"], [*STUDY[:2], "-s", "none", *STUDY[6:]]])
def test_an_unusable_file_gives_one_message_before_anything_begins(tmp_path, command):
    write_teacher(tmp_path / "mine.pt", classes=7)
    done = here(*command, "--teacher", "mine.pt", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: --teacher mine.pt: is for 7 classes, digits has 10: ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.pt"]


def test_a_missing_file_is_reported_with_all_other_faults(tmp_path):
    done = here("study", "digits-hkd", "-s", "gird", "--teacher", "gone.pt", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: --teacher gone.pt: there is no such file\n" in done.stderr and "gird" in done.stderr


def test_a_study_that_trains_its_teacher_is_not_resumed_with_another(tmp_path, given):
    folder = tmp_path / "results" / "digits-hkd"
    folder.mkdir(parents=True)  # stopped before any strategy was begun
    kept = [line for line in (given[0] / "run.toml").read_text().splitlines() if "teacher_weights" not in line]
    (folder / "run.toml").write_text("\n".join(kept))
    write_teacher(tmp_path / "mine.pt")
    done = here("resume", str(folder), "--teacher", "mine.pt", cwd=tmp_path)
    assert done.returncode == 2 and "the study trains its teacher" in done.stderr
