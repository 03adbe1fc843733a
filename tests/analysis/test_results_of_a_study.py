"""Comparison and data frames of a real study's results."""

import csv
import json
import shutil
from dataclasses import replace

import pytest

import kdtune
from kdtune.energy.ledger import read, write
from kdtune.errors import ResultsError, UsageError
from kdtune.results.documents import read_object
from kdtune.results.folder import StrategyFolder
from kdtune.specs.component import Component
from kdtune.specs.data_options import DataOptions
from kdtune.storage.checksums import with_checksum
from kdtune.storage.files import write_json
from tests.studies import here, small_study

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a finished study: Optuna and stochastic, two repeats."""
    out = tmp_path_factory.mktemp("finished")
    strategies = {"optuna": {"trials": 4}, "stochastic": {}}
    training = {"epochs": 2, "batch_size": 64, "learning_rate": 0.05}
    study = small_study(strategies=strategies, training=training, teacher_training=training)
    result = kdtune.run_study(study, out=out, inline=True)
    assert result.exit_code == 0
    return result.folder


@pytest.fixture
def copy(finished, tmp_path):
    """Return a copy that a test may change."""
    return shutil.copytree(finished, tmp_path / "small")


def test_compare_makes_the_same_results_again_from_the_files(finished):
    found = kdtune.compare([finished])
    assert [result["strategy"] for result in found.results] == ["optuna", "stochastic"]
    for result in found.results:
        assert result == read_object(finished / result["strategy"] / "result.json")
    assert found.warnings == []
    assert found.teacher.model == "convnet_32"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": Component(name="dml")}, ["loss", "dml", "hkd"]),
        ({"split_seed": 5}, ["split", "5"]),
        ({"data": DataOptions(train_limit=700)}, ["data set", "train_limit 700", "train_limit none"]),
        ({"resolved": {"data": "0123456789ab"}}, ["data set's files", "0123456789ab"]),
        ({"training": {"epochs": 9}}, ["training", "epochs", "9"]),
        ({"resolved": {"precision": "bfloat16"}}, ["precision", "bfloat16"]),
        ({"resolved": {"teacher_logits": "live"}}, ["teacher logits", "live", "replay"]),
    ],
)
def test_compare_refuses_what_differs_and_names_it(copy, change, words):
    folder = StrategyFolder(copy / "optuna")
    study, resolved = folder.read_study(), folder.resolved()
    resolved |= change.pop("resolved", {})
    training = study.training.model_copy(update=change.pop("training", {}))
    folder.write_study(study.model_copy(update={**change, "training": training}), resolved)
    with pytest.raises(UsageError) as refused:
        kdtune.compare([copy])
    for word in [*words, "allow_mismatch=True"]:
        assert word in str(refused.value)
    allowed = kdtune.compare([copy], allow_mismatch=True)
    assert len(allowed.results) == 2 and words[0] in allowed.warnings[0]


@pytest.mark.parametrize(("weights", "refused"), [("a" * 16, False), ("b" * 16, True)])
def test_of_teachers_that_were_given_the_weights_alone_have_to_agree(copy, weights, refused):
    for name, given in (("optuna", "a" * 16), ("stochastic", weights)):
        folder = StrategyFolder(copy / name)
        study = folder.read_study().model_copy(update={"teacher_weights": given})
        folder.write_study(study, {**folder.resolved(), "teacher": f"measured for {name}"})
    if not refused:
        assert len(kdtune.compare([copy]).results) == 2
        return
    with pytest.raises(UsageError, match=f"teacher's weights: teacher {'a' * 16} .*; teacher {weights}"):
        kdtune.compare([copy])


def test_compare_tells_that_energy_was_obtained_in_different_ways(copy):
    for file in (copy / "stochastic" / "ledger").glob("*.jsonl"):
        records = read(file)
        file.unlink()
        for record in records:
            told = record.hardware and replace(record.hardware, cpu_quality="counter")
            write(file, replace(record, hardware=told))
    shutil.rmtree(copy / "sessions")  # as of folders that were moved away: they have copies
    shared = copy / "stochastic" / "shared.json"
    write_json(shared, with_checksum(json.loads(json.dumps(read_object(shared)).replace('"modelled"', '"counter"'))))
    if "modelled" not in (copy / "optuna" / "shared.json").read_text():
        pytest.skip("this machine has counters, so the two were obtained in the same way")
    warning = kdtune.compare([copy]).warnings[0]
    assert "counter" in warning and "modelled" in warning


def test_another_country_changes_carbon_and_not_energy(finished, tmp_path):
    ours, french = (
        json.loads(here("compare", str(finished), "--json", *extra, cwd=tmp_path).stdout)["results"][0]["cost"]
        for extra in ([], ["--country", "FRA"])
    )
    assert french["charged_kwh"] == ours["charged_kwh"]
    assert french["charged_co2_g"] < ours["charged_co2_g"]
    assert "France" in french["carbon"]["source"]


def test_compare_writes_csv_and_markdown(finished, tmp_path):
    done = here("compare", str(finished), "--markdown", "--csv", "costs.csv", cwd=tmp_path)
    assert done.returncode == 0
    rows = list(csv.DictReader((tmp_path / "costs.csv").open()))
    assert [row["strategy"] for row in rows] == ["optuna", "stochastic"]
    expected = json.loads((finished / "optuna" / "result.json").read_text())["cost"]["charged_kwh"]
    assert float(rows[0]["charged_kwh"]) == expected
    lines = [line for line in done.stdout.partition("\n\n")[0].splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 2 + 2 + 1


def test_an_unknown_baseline_is_refused(finished, tmp_path):
    done = here("compare", str(finished), "--baseline", "optna", cwd=tmp_path)
    assert done.returncode == 2 and "optuna" in done.stderr


def test_runs_are_listed_with_status_repeats_and_energy(finished, tmp_path):
    done = here("list", "runs", "--out", str(finished.parent), "--json", cwd=tmp_path)
    run = json.loads(done.stdout)["runs"][0]
    assert (run["name"], run["status"], run["repeats_done"]) == ("small/optuna", "completed", 2)
    assert run["charged_kwh"] > 0


def test_frames_agree_with_the_result(finished):
    frames = kdtune.load_results(finished)
    result = json.loads((finished / "optuna" / "result.json").read_text())
    optuna = frames.trials[frames.trials.strategy == "optuna"]
    assert len(optuna) == sum(repeat["trials"] for repeat in result["repeats"])
    assert optuna.energy_j.sum() == pytest.approx(result["cost"]["energy_uj"]["trials"] / 1e6)
    assert list(optuna[optuna.chosen].groupby("repeat").tau.first()) == [r["chosen"]["tau"] for r in result["repeats"]]
    assert len(frames.epochs) == 2 * len(frames.trials)
    assert not frames.epochs.superseded.any()  # no trial was interrupted
    energy = frames.energy[frames.energy.strategy == "optuna"]
    assert energy.energy_j.sum() == pytest.approx(result["cost"]["energy_uj"]["node_total"] / 1e6)


def test_inference_is_measured_and_shown_below_the_cost_table(copy, tmp_path):
    done = here("inference", str(copy), "--seconds", "0.2", "--pue", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    documents = json.loads(done.stdout)["inference"]
    assert [document["strategy"] for document in documents] == ["optuna", "stochastic"]
    for document in documents:
        # Measured as the study ran, so every answer is the same.
        for role in ("teacher", "student"):
            assert document[role]["test_accuracy"] == document[role]["recorded_test_accuracy"]
        assert document["carbon"]["pue"] == 2.0
        result = json.loads((copy / document["strategy"] / "result.json").read_text())
        charged_uj = document["payback"]["one_model"]["charged_uj"]
        assert charged_uj == pytest.approx(sum(one["charged_uj"] for one in result["repeats"]) / 2, abs=1)
        teacher_uj = result["cost"]["teacher_kwh"] * 3.6e12
        assert document["payback"]["with_teacher"]["charged_uj"] == pytest.approx(charged_uj + teacher_uj, abs=2)
    assert "teacher (convnet_32)" in done.stderr and "Different from the record" not in done.stderr
    lines = here("compare", str(copy), "--markdown", cwd=tmp_path).stdout.splitlines()
    [told] = [line for line in lines if line.startswith("- Predictions after which a student has repaid")]
    assert "stochastic" in told


def test_inference_without_results_exits_with_code_2(copy, tmp_path):
    (copy / "optuna" / "student.pt").unlink()
    done = here("inference", str(copy), cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "optuna/student.pt" in done.stderr and done.stdout == ""
    done = here("inference", str(copy), "--seconds", "0", "--device", "tpu", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 2


def test_a_damaged_log_is_reported_with_its_line(copy):
    log = copy / "optuna" / "trials.jsonl"
    lines = log.read_text().splitlines()
    lines[2] = lines[2][:-7]
    log.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResultsError, match=r"trials\.jsonl, line 3"):
        kdtune.compare([copy])


def test_the_optuna_study_is_left_for_the_dashboard(finished):
    import optuna

    url = f"sqlite:///{finished / 'optuna' / 'optuna.db'}"
    assert sorted(optuna.get_all_study_names(url)) == ["seed-0", "seed-1"]
    assert len(optuna.load_study(study_name="seed-0", storage=url).trials) == 4
