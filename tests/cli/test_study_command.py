"""``kdtune study`` on the command line, in separate processes with real training; one study runs through Ray."""

import itertools
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from kdtune.energy.ledger import read
from kdtune.energy.running_account import RunningAccount, account_of_ledger
from kdtune.planning.budget import BudgetWatch
from tests.forked import Forked
from tests.studies import SMALL, here, outcome_of, results_of
from tests.waiting import wait_for

STRATEGIES = ["grid", "stochastic", "none"]
ASKED = [argument for name in STRATEGIES for argument in ("--strategy", name)]
STUDY = ["study", "digits-hkd", *ASKED, "--repeats", "2", *SMALL]
INLINE = [*STUDY, "--inline"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A study without interruptions: its folder and the finished process."""
    place = tmp_path_factory.mktemp("undisturbed")
    process = Forked(None, [*INLINE, "--json"], place)
    out, err = process.communicate()
    assert process.returncode == 0, err
    done = subprocess.CompletedProcess(INLINE, 0, out, err)
    return place / "results" / "digits-hkd", done


def test_json_has_every_strategy_and_nothing_else_is_on_standard_output(undisturbed):
    results = results_of(undisturbed[1])
    assert list(results) == STRATEGIES
    assert {result["status"] for result in results.values()} == {"completed"}
    assert [results[name]["cost"]["trials"]["completed"] for name in STRATEGIES] == [6, 2, 2]


def test_the_table_names_every_strategy_the_teacher_and_how_energy_was_obtained(undisturbed):
    shown = undisturbed[1].stderr
    for words in [
        *STRATEGIES,
        "teacher (convnet_32)",
        "Energy: ",
        "test acc. %",
        "energy (",
        "energy as run",
        "--wide",
    ]:
        assert words in shown
    assert "Traceback" not in shown


def test_buckets_sum_to_the_node_and_repeats_to_what_is_charged(undisturbed):
    for result in results_of(undisturbed[1]).values():
        cost = result["cost"]
        energy = dict(cost["energy_uj"])
        node = energy.pop("node_total")
        assert sum(energy.values()) == node > 0
        assert energy["trials"] > 0 and energy["evaluation"] > 0 and energy["orchestration"] > 0
        charged = node - energy["other"] + sum(cost["shared_uj"].values())
        assert sum(repeat["charged_uj"] for repeat in result["repeats"]) == charged
        assert cost["charged_kwh"] == pytest.approx(charged / 3.6e12)


def test_the_ledgers_of_a_command_leave_no_time_and_no_energy_out(undisturbed):
    """Session, teacher, its logits and strategies follow each other without a gap: they sum to the node's total."""
    folder = undisturbed[0]
    shared = json.loads((folder / "grid" / "shared.json").read_text())
    cache = Path(os.environ["KDTUNE_CACHE_DIR"])
    made = [cache / "teachers" / shared["teacher"]["key"]]
    made += [cache / "teacher-logits" / name for name in shared["teacher_logits"]]
    in_cache = [path for one in made for path in (one / "ledger").glob("*.jsonl")]
    paths = [*folder.glob("*/ledger/*.jsonl"), *folder.glob("sessions/*/*.jsonl"), *in_cache]
    records = sorted((record for path in paths for record in read(path)), key=lambda record: record.counters.t_ns)
    first, last = records[0], records[-1]
    hardware = first.hardware
    total = sum(account_of_ledger(read(path)).node_uj for path in paths)

    def so_far(record):
        cpu = record.counters.busy_us * hardware.tdp_uw // (hardware.cores * 1_000_000)
        return cpu + record.counters.t_ns * hardware.ram_uw // 1_000_000_000

    if hardware.cpu_quality == "counter" or hardware.gpus:
        pytest.skip("the sum by hand is that of the TDP model")
    assert total == so_far(last) - so_far(first)


def test_the_session_is_charged_equally_to_every_strategy(undisturbed):
    shared = [result["cost"]["shared_uj"]["session"] for result in results_of(undisturbed[1]).values()]
    assert len(set(shared)) == 1 and shared[0] > 0


def test_only_strategies_with_a_teacher_are_charged_for_it(undisturbed):
    results = results_of(undisturbed[1])
    assert results["grid"]["cost"]["teacher_kwh"] > 0
    assert results["none"]["cost"]["teacher_kwh"] == 0
    assert results["grid"]["cost"]["with_teacher_kwh"] > results["grid"]["cost"]["charged_kwh"]


def test_the_teachers_logits_are_charged_equally_to_every_strategy_that_uses_them(undisturbed):
    costs = {name: result["cost"] for name, result in results_of(undisturbed[1]).items()}
    asked = {name: cost["shared_uj"]["teacher_logits"] for name, cost in costs.items()}
    assert asked["grid"] == asked["stochastic"] > 0 and asked["none"] == 0
    grid = costs["grid"]
    assert grid["training_kwh"] * 3.6e12 > grid["energy_uj"]["trials"] + grid["energy_uj"]["evaluation"]
    for result in results_of(undisturbed[1]).values():
        assert result["computed"] == {
            "precision": "float32",
            "memory_layout": "contiguous",
            "compile": "off",
            "teacher_logits": "replay",
        }


def test_the_results_folder_has_all_promised_files(undisturbed):
    folder = undisturbed[0]
    assert (folder / "run.toml").is_file()
    for name in STRATEGIES:
        files = {path.name for path in (folder / name).iterdir()}
        expected = {"study.toml", "ledger", "trials.jsonl", "epochs.jsonl", "result.json", "predictions.npz"}
        expected.add("probabilities.npz")
        assert expected | {"student.pt", "student-1.pt", "confusion.csv", "confusion-1.csv", "per-class.csv"} <= files
        assert "checkpoints" not in files
    with np.load(folder / "grid" / "predictions.npz") as predictions:
        assert {key: value.shape for key, value in predictions.items()} == {"seed_0": (997,), "seed_1": (997,)}
        chosen = predictions["seed_0"]
    with np.load(folder / "grid" / "probabilities.npz") as kept:
        shapes = {key: (value.shape, str(value.dtype)) for key, value in kept.items()}
        assert shapes == {**dict.fromkeys(("seed_0", "seed_1"), ((997, 10), "float16")), "labels": ((997,), "int64")}
        test = json.loads((folder / "grid" / "result.json").read_text())["repeats"][0]["test"]
        assert test["accuracy"] == pytest.approx((chosen == kept["labels"]).mean())
        own = kept["seed_0"][np.arange(997), kept["labels"]].astype(float)
        assert test["nll"] == pytest.approx(-np.log(own).mean(), rel=1e-3) and 0 < test["ece"] < 1
    confusion = pandas.read_csv(folder / "grid" / "confusion-1.csv", index_col=0).to_numpy()
    assert confusion.shape == (10, 10) and confusion.sum() == 997
    second = json.loads((folder / "grid" / "result.json").read_text())["repeats"][1]
    assert confusion.trace() / 997 == pytest.approx(second["test"]["accuracy"])
    weights = torch.load(folder / "grid" / "student.pt", weights_only=True)
    assert weights["classifier.weight"].shape == (10, 4)


def test_the_estimate_is_stored_beside_the_result(undisturbed):
    folder, done = undisturbed
    for name, result in results_of(done).items():
        kept = json.loads((folder / name / "estimate.json").read_text())
        expected = result["estimate"]
        assert kept["trials"] == sum(repeat["trials"] for repeat in result["repeats"])
        assert kept["gflops_millions"] == pytest.approx(result["cost"]["gflops_millions"])
        assert kept["training_flops"] == result["cost"]["training_flops"]
        assert expected["charged_kwh"] == pytest.approx(kept["charged_uj"] / 3.6e12)
        # Most of so short a study is its start and end (on a busy machine nine tenths); the end is not metered yet.
        assert 0.01 < expected["charged_kwh"] / result["cost"]["charged_kwh"] < 2
        assert expected["wall_s"] > 0 and "timed steps" in expected["basis"]
    assert " over all repeats: grid" in done.stderr


def test_epoch_energies_sum_to_the_trials_bucket(undisturbed):
    folder = undisturbed[0] / "grid"
    lines = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert len(lines) == 6 * 3
    assert {line["epoch"] for line in lines} == {1, 2, 3}
    result = json.loads((folder / "result.json").read_text())
    assert sum(line["energy_uj"] or 0 for line in lines) == result["cost"]["energy_uj"]["trials"]


def test_an_existing_result_is_refused_with_its_remedies(undisturbed):
    folder = undisturbed[0]
    before = (folder / "grid" / "result.json").read_bytes()
    done = here(*INLINE, cwd=folder.parents[1])
    assert done.returncode == 2
    for remedy in ("kdtune resume", "--out", "--fresh"):
        assert remedy in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "grid" / "result.json").read_bytes() == before


def test_another_study_is_refused_in_the_same_folder(undisturbed):
    done = here(*INLINE, "--strategy", "fixed", "--set", "training.batch_size=16", cwd=undisturbed[0].parents[1])
    assert done.returncode == 2
    only_new = here(
        "study", "digits-hkd", "-s", "fixed", "--repeats", "2", *SMALL, "--set", "training.batch_size=16", "--inline",
        cwd=undisturbed[0].parents[1],
    )  # fmt: skip
    assert only_new.returncode == 2
    assert "training" in only_new.stderr and "--out" in only_new.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["study", "digit-hkd"], ["digit-hkd", "digits-hkd"]),
        (["study", "digits-hkd", "-s", "gird"], ["gird", "grid"]),
        (["study", "digits-hkd", "-s", "gird", "--set", "training.epoch=3"], ["gird", "training.epoch"]),
        (["study", "digits-hkd", "--set", "training.epoch=3"], ["--set", "training.epoch", "epochs"]),
        (["study", "digits-hkd", "--set", "alpha=7"], ["--set", "alpha", "7"]),
        (["study", "digits-hkd", "--epochs", "0"], ["--epochs"]),
        (["study", "digits-hkd", "--cpus-per-trial", "4096"], ["--cpus-per-trial", "4096"]),
        (["study", "digits-hkd", "--country", "XXX"], ["--country", "XXX"]),
    ],
)
def test_bad_input_gives_one_message_and_leaves_no_files(tmp_path, arguments, words):
    done = here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_cache_that_cannot_be_written_gives_one_message_before_ray_starts(tmp_path, more):
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    done = here("study", "digits-hkd", "-s", "fixed", *more, cwd=tmp_path, KDTUNE_CACHE_DIR=str(cache))
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {cache}: the cache cannot be written") and "KDTUNE_CACHE_DIR" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


#: Runs the command and interrupts its processes after the first trial, like Ctrl-C, which a terminal sends to all
#: processes in the foreground.
INTERRUPTED = """
import os, signal
from kdtune.report.live_display import PlainLines
ended = PlainLines.trial_ended

def interrupted(self, trial):
    PlainLines.trial_ended = ended
    ended(self, trial)
    os.killpg(0, signal.SIGINT)

PlainLines.trial_ended = interrupted
from kdtune.__main__ import main
main()
"""


def _interrupted(code, out, err, place):
    """Check the messages of an interrupted study, and return the grid's result."""
    assert code == 130, err
    assert "kdtune resume" in out and "Traceback" not in err
    interrupted = json.loads((place / "results" / "digits-hkd" / "grid" / "result.json").read_text())
    assert interrupted["status"] == "interrupted"
    assert all(repeat["test"] is None for repeat in interrupted["repeats"])
    return interrupted


def test_a_study_that_is_interrupted_while_ray_runs_it_resumes_inline_to_the_same_outcome(tmp_path, undisturbed):
    grid = tmp_path / "results" / "digits-hkd" / "grid"
    estimate = grid / "estimate.json"
    started = Forked(INTERRUPTED, STUDY, tmp_path, forks_workers=True)
    out, err = started.communicate()
    interrupted = _interrupted(started.returncode, out, err, tmp_path)
    first_estimate = estimate.read_bytes()
    done = here("resume", "results/digits-hkd", "--inline", "--no-report", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    resumed, expected = results_of(done), results_of(undisturbed[1])
    assert {name: outcome_of(result) for name, result in resumed.items()} == {
        name: outcome_of(result) for name, result in expected.items()
    }
    assert estimate.read_bytes() == first_estimate
    assert resumed["grid"]["cost"]["energy_uj"]["trials"] >= interrupted["cost"]["energy_uj"]["trials"]


def _charged_so_far(paths):
    """Return time, kind and total charge in microjoules for each record of successive ledgers."""
    steps = []
    for path in paths:
        ledger, before = RunningAccount(), 0
        for record in read(path):
            ledger.add(record)
            charged = ledger.account.charged_uj()
            steps.append((record.counters.t_ns, record.kind, charged - before))
            before = charged
    steps.sort(key=lambda step: step[0])
    totals = itertools.accumulate(added for _, _, added in steps)
    return [(t_ns, kind, total) for (t_ns, kind, _), total in zip(steps, totals, strict=True)]


def test_sigterm_stops_an_endless_study_and_a_budget_stops_its_resumption_within_an_epoch(
    tmp_path, undisturbed, monkeypatch
):
    """The undisturbed study has made the teacher and its logits, so they are in the ledgers of neither command."""
    folder = tmp_path / "results" / "digits-hkd"
    told = folder / "grid" / "epochs.jsonl"
    endless = ["study", "digits-hkd", "-s", "grid", "--inline", "--repeats", "1", *SMALL[:-1], "20000"]
    started = Forked(None, endless, tmp_path)
    wait_for(lambda: started.poll() is not None or (told.exists() and told.read_text()))
    started.terminate()
    out, err = started.communicate()
    interrupted = _interrupted(started.returncode, out, err, tmp_path)

    def epochs():
        return len(told.read_text().splitlines())

    looks, look = [], BudgetWatch.look

    def noted(self, spent):
        looks.append((look(self, spent), epochs(), sum(spent.values())))
        return looks[-1][0]

    monkeypatch.setattr(BudgetWatch, "look", noted)
    before = epochs()
    for factor in itertools.count(3, 3):  # enough to begin again in a running process, unless the machine is slower
        looks.clear()
        limit_kwh = factor * interrupted["cost"]["charged_kwh"]
        stopped = here("resume", str(folder), "--no-report", "--max-kwh", f"{limit_kwh:.9f}", cwd=tmp_path)
        assert stopped.returncode == 4, stopped.stdout + stopped.stderr
        if epochs() > before:
            break
    assert "--max-kwh" in stopped.stdout and f"kdtune resume {folder} --max-kwh MORE" in stopped.stdout
    result = json.loads((folder / "grid" / "result.json").read_text())
    # The first check that found the limit reached ended the training; how soon it comes is tested with the budget.
    first = next(place for place, (is_reached, _, _) in enumerate(looks) if is_reached)
    assert first > 0 and looks[first][1] <= epochs() <= looks[first][1] + 1
    charged = _charged_so_far([*folder.glob("sessions/*/*.jsonl"), *folder.glob("grid/ledger/*.jsonl")])
    assert charged[-1][2] >= limit_kwh * 3.6e12
    assert result["status"] == "budget"
    assert result["cost"]["trials"]["interrupted"] > 0
    assert result["repeats"][0]["test"] is None
    refused = here("resume", str(folder), cwd=tmp_path)
    assert refused.returncode == 4 and "give a larger one" in refused.stderr


def test_simultaneous_studies_divide_the_idle_power_and_report_it(tmp_path):
    """Neither is a child of the other, which would be charged for its work."""
    places = [tmp_path / name for name in ("one", "two")]
    study = ["study", "digits-hkd", "-s", "stochastic", "--inline", "--repeats", "1", "--json", *SMALL[:-1]]
    for place in places:
        place.mkdir()
    longer = Forked(None, [*study, "100000"], places[0])
    wait_for(lambda: longer.poll() is not None or any(places[0].glob("results/*/stochastic/epochs.jsonl")))
    shorter = Forked(None, [*study, "3"], places[1])
    results = []
    for one, code in ((shorter, 0), (longer, 130)):
        out, err = one.communicate()
        assert one.returncode == code, err
        results += json.loads(out)["results"]
        if one is shorter:
            longer.terminate()
    assert all("node_shared" in result["cost"]["flags"] for result in results)
    folders = [place / "results" / "digits-hkd" for place in places]
    paths = [[*folder.glob("sessions/*/*.jsonl"), *folder.glob("*/ledger/*.jsonl")] for folder in folders]
    records = sorted((one for found in paths for path in found for one in read(path)), key=lambda r: r.counters.t_ns)
    hardware, first, last = records[0].hardware, records[0].counters, records[-1].counters
    if hardware.cpu_quality == "counter" or hardware.gpus:
        pytest.skip("the sum by hand is that of the TDP model")
    cpu = (last.busy_us - first.busy_us) * hardware.tdp_uw / (hardware.cores * 1e6)
    memory = (last.t_ns - first.t_ns) * hardware.ram_uw / 1e9
    used = Counter[str]()
    for found in paths:
        for path in found:
            for bucket, sources in account_of_ledger(read(path)).sources.items():
                if bucket != "other":
                    used.update(sources)
    # No energy is charged twice; the rest of the CPU's energy belongs to other processes of this machine.
    assert 0 < used["ram_modelled"] <= memory + len(records)
    assert 0 < used["cpu_modelled"] <= 1.02 * cpu
