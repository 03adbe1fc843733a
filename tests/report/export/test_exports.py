"""Exports of a kept study, read again by the libraries of their formats."""

import csv
import re
import shutil
import struct
import subprocess
from dataclasses import replace

import pytest

from kdtune.errors import UsageError
from kdtune.report.export.exports import FORMATS, export
from kdtune.report.export.latex import for_latex, latex_table
from kdtune.report.export.model_card import model_card
from kdtune.report.reported_study import read_study
from kdtune.results.folder import StudyFolder
from kdtune.results.trial_log import TrialLog
from tests.results.several import ran
from tests.results.test_earlier_results import EARLIER, STRATEGIES
from tests.studies import here


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = StudyFolder(shutil.copytree(EARLIER, tmp_path_factory.mktemp("results") / "flat-points"))
    return read_study(folder, folder.strategies())


def test_the_model_card_has_the_emissions_of_the_ledger(study, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed here")
    [file] = export(study, "model-card", tmp_path)
    card = hub.ModelCard.load(file)
    assert study.recommendation.use is None  # after two epochs, no model is better than chance
    one = max(study.strategies, key=lambda one: one.result.summary.val_accuracy_mean)
    cost = one.result.cost
    emitted = card.data.co2_eq_emissions
    assert emitted["emissions"] == cost.of_one_model(cost.charged_co2_g)
    assert {"source", "training_type", "geographical_location", "hardware_used"} <= emitted.keys()
    [result] = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", one.result.summary.test_accuracy_mean)
    assert card.data.pipeline_tag == "image-classification" and "## How it compares" in card.text


def test_the_model_card_has_the_energy_of_one_teacher(study):
    first, *others = study.strategies
    several = replace(first.result, cost=replace(first.result.cost, teacher_kwh=6e-3, teachers=3))
    changed = replace(study, strategies=(replace(first, result=several), *others))
    changed = replace(changed, recommendation=replace(study.recommendation, use=first.name))
    assert "is not included: 2 Wh on average for each of 3 teachers" in model_card(changed)


def test_there_is_no_card_without_a_model_and_no_emissions_without_energy(tmp_path):
    ran(tmp_path, "fixed", [0.6], points=[{"tau": 4}])
    folder = StudyFolder(tmp_path / "small")
    [file] = export(read_study(folder, folder.strategies()), "model-card", tmp_path / "card")
    assert "co2_eq_emissions" not in file.read_text()
    ran(tmp_path / "none", "fixed", [None], points=[{"tau": 4}])
    done = here("export", "none/small", "--to", "model-card", cwd=tmp_path)
    assert done.returncode == 2 and "no strategy has a tested model" in done.stderr


def test_csv_files_have_a_line_for_each_strategy_trial_and_epoch(study, tmp_path):
    tables = {file.stem: list(csv.DictReader(file.open())) for file in export(study, "csv", tmp_path)}
    assert [row["strategy"] for row in tables["strategies"]] == STRATEGIES
    trials = {trial.id: trial for one in study.strategies for trial in one.trials}
    assert [row["trial_id"] for row in tables["trials"]] == list(trials)
    assert sum(row["chosen"] == "True" for row in tables["trials"]) == 2 * len(STRATEGIES)
    assert len(tables["epochs"]) == sum(trial.epochs for trial in trials.values())
    joules = {one.name: sum(one.trial_uj.values()) / 1e6 for one in study.strategies}
    found = {
        name: sum(float(row["energy_j"]) for row in tables["trials"] if row["strategy"] == name) for name in joules
    }
    assert found == pytest.approx(joules)


def test_the_latex_table_has_as_many_cells_in_each_row_as_columns(study, tmp_path):
    [file] = export(study, "latex", tmp_path)
    text = file.read_text()
    form = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(form)} and len(rows) == 1 + len(STRATEGIES) + 1
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert for_latex("a_b & 5% \\input{x} $1$ #~^") == (
        r"a\_b \& 5\% \textbackslash{}input\{x\} \$1\$ \#\textasciitilde{}\textasciicircum{}"
    )


#: Names with characters that mean something to LaTeX, or that its own fonts lack.
NAMES = (
    "a_b & 5% \\input{x} $1$ #~^",
    "[0.5] * 2",
    "*",
    "a -- b --- c",
    "café żółw §1 τ=4 学生 😀",
    "'\"`<>|@!?",
)


def test_the_latex_table_compiles_with_any_name(study, tmp_path):
    if (latex := shutil.which("pdflatex")) is None:
        pytest.skip("no TeX on this machine, such as Debian's 'texlive-latex-base'")
    tables = [latex_table(_renamed(study, name)) for name in (study.study.name, *NAMES)]
    document = ["\\documentclass{article}", "\\begin{document}", *tables, "\\end{document}", ""]
    (tmp_path / "page.tex").write_text("\n".join(document), encoding="utf-8")
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout
    assert "Missing character" not in (tmp_path / "page.log").read_text(errors="replace")


def _renamed(study, name):
    """Return a study of another name, and so for its first strategy."""
    first, *others = study.comparison.outcomes
    comparison = replace(study.comparison, outcomes=[replace(first, strategy=name), *others])
    return replace(study, comparison=comparison, study=study.study.model_copy(update={"name": name}))


def test_tensorboard_has_a_run_for_each_trial_with_its_epochs(study, tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    export(study, "tensorboard", tmp_path)
    trials = [trial for one in study.strategies for trial in one.trials]
    files = sorted(tmp_path.rglob("events.out.tfevents.*"))
    assert len(files) == len(trials)
    assert {file.parent.name.rpartition("-")[2] for file in files} == {trial.id for trial in trials}
    events = [Event.FromString(record) for record in _records(files[0].read_bytes())]
    tags = [value.tag for event in events for value in event.summary.value]
    assert tags.count("epoch/val_accuracy") >= 2 and "end/energy_j" in tags


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "mlflow"])
def test_a_second_export_replaces_the_first_and_nothing_else(study, tmp_path, name):
    def files():
        return {file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()}

    export(study, name, tmp_path)
    first = files()
    run = next((file.parent for file in first if "tfevents" in file.name), None)
    others = [tmp_path / "events.out.tfevents.1.mine", tmp_path / "other" / "events.out.tfevents.1.mine"]
    others += [tmp_path / run / "notes.txt"] if run else []
    # An earlier export at another time has other names of files.
    for file in list(first):
        if "tfevents" in file.name:
            (tmp_path / file).rename(tmp_path / file.with_name("events.out.tfevents.1.host"))
    for file in others:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    export(study, name, tmp_path)
    assert len(files()) == len(first) + len(others) and all(file.read_text() == "mine" for file in others)


def _records(data):
    """Yield the records of an event file: length, checksum, bytes, checksum."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack("<Q", data[place : place + 8])
        yield data[place + 12 : place + 12 + length]
        place += 16 + length


def test_mlflow_has_a_run_for_each_trial(study, tmp_path):
    pytest.importorskip("mlflow", reason="MLflow is not installed here")
    from mlflow.tracking import MlflowClient

    export(study, "mlflow", tmp_path)
    [database] = export(study, "mlflow", tmp_path)  # replaces the runs of the first
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("flat-points").experiment_id
    runs = client.search_runs([experiment])
    assert len(runs) == len({run.info.run_name for run in runs})
    assert {run.info.run_name.rpartition("-")[2] for run in runs} == {
        trial.id for one in study.strategies for trial in one.trials
    }
    chosen = [run for run in runs if run.data.params["chosen"] == "True"]
    assert len(chosen) == 2 * len(STRATEGIES) and all("test_accuracy" in run.data.metrics for run in chosen)
    history = client.get_metric_history(chosen[0].info.run_id, "epoch_val_accuracy")
    assert [one.step for one in history] == list(range(1, len(history) + 1))


def test_mlflow_shows_which_trials_failed_and_refuses_in_one_message(tmp_path):
    pytest.importorskip("mlflow", reason="MLflow is not installed here")
    from mlflow.tracking import MlflowClient

    log = TrialLog.read(ran(tmp_path, "fixed", [0.6, 0.7]).trials)
    log.attempt(log.suggestion("lost", 0, 0, 1, {"tau": 5}))
    log.end(failed := log.suggestion("bad", 0, 0, 2, {"tau": 6}), "failed", epochs=1, error="DivergedError: nan")
    folder = StudyFolder(tmp_path / "small")
    study = read_study(folder, folder.strategies())
    [database] = export(study, "mlflow", tmp_path / "made")
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("small").experiment_id
    found = {one.info.run_name.rpartition("-")[2]: one.info.status for one in client.search_runs([experiment])}
    assert (found["lost"], found[failed.id], found["0"]) == ("KILLED", "FAILED", "FINISHED")
    client.delete_experiment(experiment)
    with pytest.raises(UsageError, match=r"mlflow\.db: MLflow refuses it \(.*\); name another folder with -o"):
        export(study, "mlflow", tmp_path / "made")


def test_the_command_writes_below_the_study_and_refuses_unknown_formats(study, tmp_path):
    shutil.copytree(study.folder.path, tmp_path / "results" / "flat-points")
    done = here("export", "results/flat-points", "--to", "latex", cwd=tmp_path)
    assert done.returncode == 0 and "flat-points/export/latex/costs.tex" in done.stdout
    done = here("export", "results/flat-points", "--to", "latx", cwd=tmp_path)
    assert done.returncode == 2 and "--to: unknown format 'latx'" in done.stderr
    (tmp_path / "file").write_text("")
    done = here("export", "results/flat-points", "--to", "csv", "-o", "file/x", cwd=tmp_path)
    assert done.returncode != 0 and "cannot be written" in done.stderr
    assert set(FORMATS) == {"model-card", "mlflow", "tensorboard", "latex", "csv"}
