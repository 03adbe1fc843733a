"""Strategies that begin with the students of others: order, bills, files, refusals, and resuming."""

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch

import kdtune
from kdtune.analysis import int8_inference
from kdtune.energy.carbon import resolve_carbon
from kdtune.errors import SpecError, StudyInterrupted
from kdtune.planning import predecessors
from kdtune.quantisation import networks
from kdtune.quantisation.training import QuantisationAwareTraining
from kdtune.results.epoch_log import read_epochs
from kdtune.results.folder import StudyFolder
from kdtune.results.outcome import build_result
from kdtune.results.shared_inputs import read_shared
from kdtune.results.trial_log import TrialLog
from tests.forked import Forked
from tests.studies import small_study

pytest.importorskip("torchao")

STRATEGIES = {
    "qat-after-fixed": {"strategy": "qat", "after": "fixed", "share": 0.5},
    "qat": {"share": 4 / 3, "rate": 0.1},
    "ptq": {},
    "none": {},
    "fixed": {},
}

#: As in the documentation.
SNIPPET = """
import torch
import torchao.quantization.pt2e  # registers the operators of int8 networks
model = torch.export.load("student-int8.pt2").module()
"""


TRAINING = {"epochs": 2, "batch_size": 64, "learning_rate": 0.05}


def study(strategies=STRATEGIES, **changes):
    given = {"teacher": "convnet_4_8_16", "training": TRAINING, "teacher_training": TRAINING, "repeats": 1, **changes}
    return small_study(strategies=strategies, **given)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with quantised students, run at once: the folder and the outcome."""
    out = tmp_path_factory.mktemp("quantised")
    return out / "small", kdtune.run_study(study(), out=out, inline=True)


@pytest.fixture(scope="module")
def results(finished):
    return {one["strategy"]: one for one in finished[1].results}


@pytest.mark.study
def test_a_strategy_runs_after_the_one_whose_student_it_needs(finished, results):
    assert finished[1].exit_code == 0, finished[1].errors
    assert list(results) == ["fixed", "qat-after-fixed", "none", "qat", "ptq"]


@pytest.mark.study
def test_results_have_the_accuracies_and_sizes_of_both_forms(results):
    for name, before in (("qat", "none"), ("ptq", "none"), ("qat-after-fixed", "fixed")):
        repeat, form = results[name]["repeats"][0], results[name]["repeats"][0]["deployed"]
        assert form["float_accuracy"] == results[before]["repeats"][0]["test"]["accuracy"]
        assert (form["bits"], form["size_bytes"] < form["float_size_bytes"] / 2) == (8, True)
        assert (form["simulated_accuracy"] is None) == (name == "ptq")
        assert abs(repeat["test"]["accuracy"] - (form["simulated_accuracy"] or form["float_accuracy"])) < 0.05
    assert "deployed" not in results["none"]["repeats"][0]


@pytest.mark.study
def test_the_whole_search_for_the_float_student_is_charged(finished, results):
    for name, before in (("qat", "none"), ("ptq", "none"), ("qat-after-fixed", "fixed")):
        own, first = results[name]["cost"], results[before]["cost"]
        shared = own["shared_uj"]
        assert shared["students"] == first["energy_uj"]["node_total"] - first["energy_uj"]["other"]
        # The session is the same one, so it is charged once.
        assert shared["session"] == first["shared_uj"]["session"]
        assert shared["teacher_logits"] == first["shared_uj"]["teacher_logits"]
        spent = own["energy_uj"]["node_total"] - own["energy_uj"]["other"]
        assert own["charged_kwh"] * 3.6e12 == pytest.approx(spent + sum(shared.values()))
        assert own["training_kwh"] > first["training_kwh"]
        assert own["gflops_millions"] > first["gflops_millions"]
        assert results[name]["repeats"][0]["trials"] == 2
    added = {}
    for name, before in (("qat", "none"), ("qat-after-fixed", "fixed")):
        flops = results[name]["cost"]["training_flops"] - results[before]["cost"]["training_flops"]
        added[name] = flops / len(read_epochs(StudyFolder(finished[0]).strategy(name).epochs))
    assert added["qat"] == added["qat-after-fixed"] > 0  # an epoch costs the same, whatever the teacher computed before
    assert results["qat"]["cost"]["teacher_kwh"] == 0
    assert results["qat-after-fixed"]["cost"]["teacher_kwh"] == results["fixed"]["cost"]["teacher_kwh"] > 0
    assert read_shared(StudyFolder(finished[0]).strategy("none")).students is None


@pytest.mark.study
def test_the_float_student_and_the_int8_one_lie_side_by_side(finished):
    folder = finished[0]
    weights = [torch.load(folder / name / "student.pt", weights_only=True) for name in ("none", "qat")]
    assert all(torch.equal(one, weights[1][key]) for key, one in weights[0].items())
    code = SNIPPET + "print([tuple(model(torch.zeros(images, 1, 8, 8)).shape) for images in (5, 1)])"
    out, err = Forked(code, [], cwd=folder / "qat").communicate()
    assert out == "[(5, 10), (1, 10)]\n", err


@pytest.mark.study
@pytest.mark.parametrize("has_compiler", [True, False])
def test_inference_times_int8_networks_only_where_they_can_be_compiled(finished, tmp_path, monkeypatch, has_compiler):
    folder = shutil.copytree(finished[0], tmp_path / "small")
    monkeypatch.setattr(int8_inference, "can_compile", lambda arithmetic: has_compiler)
    monkeypatch.setattr(torch, "compile", lambda network: network)  # no compiler in tests: it takes minutes
    places = [folder / "fixed", folder / "qat-after-fixed"]
    first, quantised = kdtune.measure_inference(places, seconds=0.05, device="cpu", cpus=1)
    assert (quantised.int8 is not None, quantised.latency is not None) == (has_compiler, has_compiler)
    assert first.int8 is None
    result = build_result(StudyFolder(folder).strategy("qat-after-fixed"), resolve_carbon())
    if has_compiler:
        assert quantised.int8.test_accuracy == quantised.int8.recorded_test_accuracy
        assert quantised.int8.test_accuracy == result.repeats[0].test_accuracy
        assert quantised.student.test_accuracy == result.repeats[0].deployed.float_accuracy
        assert result.latency == quantised.latency
        assert result.latency.int8_ms * 8 == pytest.approx(quantised.int8.ms_per_pass)  # 997 images, 128 at a time
    else:
        assert result.latency is None


@pytest.mark.study
def test_an_interrupted_training_is_resumed_to_the_same_bits(finished, tmp_path, monkeypatch):
    train = QuantisationAwareTraining.train_epoch

    def interrupted(training):
        if training.epoch == 2:
            raise StudyInterrupted("interrupted")  # as Ctrl-C does within a step
        return train(training)

    folder = shutil.copytree(finished[0], tmp_path / "small")
    shutil.rmtree(folder / "qat")
    with monkeypatch.context() as patched:
        patched.setattr(QuantisationAwareTraining, "train_epoch", interrupted)
        # Under a budget, every epoch is reported separately.
        stopped = kdtune.run_study(study(), ["qat"], out=tmp_path, inline=True, max_kwh=1e3)
    assert stopped.exit_code == 130
    log = TrialLog.read(folder / "qat" / "trials.jsonl")
    assert [(one.status, 0 < one.epochs < one.planned_epochs) for one in log.trials.values()] == [("interrupted", True)]
    # The study keeps the bits of activations that it began with, whatever the machine is that goes on.
    began_with_vnni = networks.has_vnni()
    monkeypatch.setattr(networks, "has_vnni", lambda: not began_with_vnni)
    assert kdtune.resume_study(folder).exit_code == 0
    again, whole = (StudyFolder(path).strategy("qat") for path in (folder, finished[0]))
    (known,), (found,) = (list(TrialLog.read(one.trials).evaluations.values()) for one in (whole, again))
    assert (found["trial_id"], found["test"], found["deployed"]) == (
        known["trial_id"],
        known["test"],
        known["deployed"],
    )
    of_whole, of_again = (
        {(one.epoch, one.val_loss, one.train_loss) for one in read_epochs(folder.epochs)} for folder in (whole, again)
    )
    assert of_whole == of_again


@pytest.mark.parametrize(
    ("strategies", "asked", "message"),
    [
        ({"qat": {}}, ["qat"], "'none' has not run in .*; run it as well, with -s none -s qat"),
        ({"qat": {"after": "nobody"}}, ["qat"], "names no strategy of the study: 'nobody'"),
        ({"ptq": {}, "qat": {"after": "ptq"}}, ["ptq", "qat"], "names 'ptq', whose student is quantised already"),
    ],
)
def test_a_student_that_is_not_there_is_refused_before_anything_runs(tmp_path, strategies, asked, message):
    with pytest.raises(SpecError, match=message):
        kdtune.run_study(study({**strategies}), asked, out=tmp_path, inline=True)
    assert not list(Path(tmp_path).glob("small/*/ledger"))


def test_without_torchao_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(
        predecessors, "find_spec", lambda name: None if name == "torchao" else importlib.util.find_spec(name)
    )
    with pytest.raises(
        SpecError, match=r"qat: needs torchao, which is not installed: pip install 'kdtune\[quantize\]'"
    ):
        kdtune.run_study(study(), ["none", "qat"], out=tmp_path, inline=True)
    assert not list(tmp_path.iterdir())
