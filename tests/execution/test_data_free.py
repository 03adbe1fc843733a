"""Studies without data: images are made from the teacher once and billed to all who used them."""

import copy
import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

import kdtune
from kdtune.artifacts.student_data import check_teacher, make_images, store_of
from kdtune.artifacts.synthetic_images import SyntheticImages
from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin_data import DATASETS
from kdtune.data import digits
from kdtune.data.arrays import decoded_files
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.errors import SpecError, UsageError
from kdtune.results.energy_spent import spent_uj
from kdtune.results.folder import StudyFolder
from kdtune.results.shared_inputs import read_shared
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.suggestion import Suggestion
from kdtune.training.resolution import resolved_recipe
from tests.forked import Forked
from tests.studies import outcome_of, small_study

pytestmark = pytest.mark.study

CPU = torch.device("cpu")
TRAINING = {"epochs": 1, "batch_size": 64, "learning_rate": 0.05}
CMI = {"iterations": 2, "width": 4, "inputs": 8, "head": 8, "memory": 48, "negatives": 20, "shift": 1, "flip": False}
SYNTHESIS = {"ref": "deep-inversion", "images": 48, "held_out": 16, "batch_size": 24, "iterations": 3, "roll": 1}


def data_free(**changes):
    """A study of the smallest networks on images from a teacher."""
    return small_study(
        **{
            "teacher": "convnet_4_8_16",
            "synthesis": SYNTHESIS,
            "strategies": {"grid": {}, "stochastic": {}},
            "search_space": {"tau": {"values": [2, 6]}},
            "training": TRAINING,
            "teacher_training": TRAINING,
            "numerics": {"precision": "float32", "memory_layout": "contiguous", "compile": "off"},
            "repeats": 1,
            **changes,
        }
    )


def context_of(**changes):
    return TrainingContext(load_study(data_free(**changes)), CPU, 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    result = kdtune.run_study(data_free(), out=tmp_path_factory.mktemp("data-free"), inline=True)
    assert result.exit_code == 0, result.errors
    return result


def test_synthesis_is_billed_whole_to_each_strategy_and_once_in_the_total(finished):
    grid, stochastic = (one["cost"] for one in finished.results)
    assert grid["shared_parts_uj"]["synthesis"] == stochastic["shared_parts_uj"]["synthesis"]
    (made_uj,) = grid["shared_parts_uj"]["synthesis"].values()
    assert grid["shared_uj"]["synthesis"] == stochastic["shared_uj"]["synthesis"] == made_uj > 0
    assert grid["charged_kwh"] * 3.6e12 == pytest.approx(
        sum(grid["shared_uj"].values()) + grid["energy_uj"]["node_total"] - grid["energy_uj"]["other"]
    )
    # What a budget adds up holds each shared input once.
    inputs = {name: uj for kind in grid["shared_parts_uj"].values() for name, uj in kind.items()}
    own = sum(one["energy_uj"]["node_total"] - one["energy_uj"]["other"] for one in (grid, stochastic))
    whole = own + sum(inputs.values()) + grid["teacher_kwh"] * 3.6e12
    assert spent_uj(StudyFolder(finished.folder), dedicated=True) == pytest.approx(whole, abs=2)


def test_a_plan_includes_images_that_are_due_once_and_those_that_are_made_not_at_all(finished, tmp_path):
    (made_uj,) = finished.results[0]["cost"]["shared_parts_uj"]["synthesis"].values()
    strategies = {"grid": {}, "stochastic": {}, "fixed": {}}
    plan = kdtune.plan_study(data_free(strategies=strategies), out=tmp_path)
    assert (plan.images.charged_uj, plan.images.due_uj, plan.images.wall_s) == (made_uj, 0, 0)
    assert plan.images.synthesis_flops == finished.results[0]["cost"]["synthesis_flops"]
    other = data_free(strategies=strategies, synthesis={**SYNTHESIS, "seed": 7})
    due = kdtune.plan_study(other, out=tmp_path)
    assert due.images.charged_uj == due.images.due_uj > 0 and due.images.wall_s > 0
    assert due.total_uj == replace(due, images=replace(due.images, charged_uj=None)).total_uj - 2 * due.images.due_uj
    assert not any("not included" in line and "images" in line for one in due.estimates for line in one.basis)


def test_flops_of_synthesis_are_a_line_of_their_own(finished):
    context, cost = context_of(), finished.results[0]["cost"]
    macs = context.macs(context.study.teacher)
    assert cost["synthesis_flops"] == 48 * 2 * 2 * 3 * macs
    epoch = 2 * (macs * 32 + context.macs(context.study.student) * (32 + 16))
    assert cost["gflops_millions"] == pytest.approx(2 * epoch / 1e15)


def test_every_temperature_sees_the_same_images(finished):
    made = store_of(context_of()).read()
    assert store_of(context_of(search_space={"tau": {"values": [10]}})).folder == store_of(context_of()).folder
    assert made.images.shape == (48, 1, 8, 8)
    record = store_of(context_of()).record()
    assert 0 < record["confidence"] <= 1
    assert sum(record["class_counts"]) == 48
    assert record["diversity"] > 0
    assert store_of(context_of()).sheet.read_bytes().startswith(b"\x89PNG")


def test_no_training_image_is_read_once_there_is_a_teacher(finished, tmp_path, monkeypatch):
    """The decoded training images are removed, and decoding them again fails."""
    files = [file for file in decoded_files("digits", "") if file.name.startswith("train")]
    assert len(files) == 2
    for file in files:
        file.rename(tmp_path / file.name)

    def gone():
        raise AssertionError("training images were read")

    monkeypatch.setattr(digits, "_decode", gone)
    try:
        shutil.rmtree(store_of(context_of()).folder)  # the images are made again as well
        again = kdtune.run_study(data_free(), out=tmp_path, inline=True)
        with pytest.raises(AssertionError, match="training images were read"):
            DATASETS.load("digits")().load()
    finally:
        for file in files:
            (tmp_path / file.name).rename(file)
    assert again.exit_code == 0, again.errors
    for before, after in zip(finished.results, again.results, strict=True):
        assert outcome_of(after) == outcome_of(before)


def test_inference_on_the_test_images_makes_no_images(finished, tmp_path):
    """They would be made without a meter, and no inference needs them."""
    folder = store_of(context_of()).folder
    folder.rename(tmp_path / "aside")
    try:
        measured = kdtune.measure_inference([finished.folder], seconds=0.01, batch_size=32)
        assert not folder.exists()
    finally:
        (tmp_path / "aside").rename(folder)
    assert {one.strategy for one in measured} == {"grid", "stochastic"}
    assert measured[0].student.test_accuracy == measured[0].student.recorded_test_accuracy


def test_a_killed_synthesis_keeps_its_finished_batches_and_makes_the_same_images(finished):
    store, context = store_of(context_of()), context_of()
    whole = store.read()
    shutil.rmtree(store.folder)
    make_images(context, [1])
    assert store.missing() == [0]
    file = store.folder / "batches" / "000001.npz"
    kept = file.stat().st_mtime_ns
    make_images(context, store.missing())
    assert np.array_equal(store.read().images, whole.images)
    assert np.array_equal(store.read().labels, whole.labels)
    assert kept and not file.exists()


#: Runs a study whose process is killed in the second of three iterations of its third batch.
KILLED = """
import json, os, signal, sys
import kdtune
from kdtune.artifacts.synthetic_images import SyntheticImages
from kdtune.synthesis.deep_inversion import DeepInversion

add, loss, saved, calls = SyntheticImages.add, DeepInversion._loss, [], []

def noted(self, number, made):
    add(self, number, made)
    saved.append(number)
    calls.clear()

def dying(*args, **named):
    calls.append(1)
    if len(saved) == len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(*args, **named)

SyntheticImages.add, DeepInversion._loss = noted, dying
kdtune.run_study(json.loads(sys.argv[1]), "fixed", out=sys.argv[2], inline=True)
"""


def test_a_synthesis_killed_within_a_batch_is_resumed_to_the_same_images_and_all_energy_counts(
    finished, tmp_path, monkeypatch
):
    study = data_free(synthesis={**SYNTHESIS, "seed": 9, "images": 96}, strategies={"fixed": {"tau": 4}})
    killed = Forked(KILLED, [json.dumps(study), str(tmp_path)])
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    context = TrainingContext(load_study(study), CPU, 1)
    store = store_of(context)
    assert store.missing() == [2, 3]
    first, saved, add = account_of_nodes(read_folder(store.ledger)), [], SyntheticImages.add

    def noted(self, number, made):
        saved.append(number)
        add(self, number, made)

    monkeypatch.setattr(SyntheticImages, "add", noted)
    resumed = kdtune.resume_study(tmp_path / "small")
    assert resumed.exit_code == 0, resumed.errors
    assert saved == [2, 3]
    whole = account_of_nodes(read_folder(store.ledger))
    assert sum(whole.buckets.values()) == whole.node_uj > first.node_uj
    assert "gap" in whole.flags  # the meter was killed as well; a second at its last power is charged
    assert sum(whole.windows.values()) == whole.buckets["trials"] > 0
    (charged_uj,) = resumed.results[0]["cost"]["shared_parts_uj"]["synthesis"].values()
    assert charged_uj == whole.charged_uj()
    images = store.read().images
    shutil.rmtree(store.folder)
    make_images(context, [3, 0, 2, 1])
    assert np.array_equal(store.read().images, images)


def test_damaged_batches_and_images_are_made_again(finished):
    store, context = store_of(context_of()), context_of()
    whole = store.read()
    file = store.folder / "images.npz"
    file.write_bytes(file.read_bytes()[:-1])
    assert store.record() is None
    assert store.missing() == [0, 1]
    make_images(context, [0])
    batch = store.folder / "batches" / "000000.npz"
    batch.write_bytes(batch.read_bytes()[:100])
    assert store.missing() == [0, 1]
    make_images(context, store.missing())
    assert np.array_equal(store.read().images, whole.images)


def test_students_are_selected_by_agreement_with_the_teacher_or_by_real_images(finished):
    context = context_of()
    held_out = context.splits.validation
    logits = context.arithmetic.logits(context.teacher, held_out.normalised(slice(None)))
    assert len(held_out) == 16
    assert torch.equal(logits.argmax(1), held_out.labels)
    real = context_of(selection="validation")
    assert len(real.splits.validation) == 400
    assert torch.equal(real.splits.validation.images, real.teacher_splits.validation.images)
    assert torch.equal(real.splits.train.images, context.splits.train.images)


def test_a_teacher_without_batch_normalisation_is_refused(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n\ndef plain(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * in_channels, num_classes))\n"
    )
    teacher = f"{tmp_path}/nets.py:plain"
    with pytest.raises(UsageError, match="deep-inversion compares with the running statistics of batch normalisation"):
        check_teacher(context_of(teacher=teacher))
    check_teacher(context_of(teacher=teacher, synthesis={"ref": "noise"}))


@pytest.mark.parametrize(
    ("changes", "strategy", "reason"),
    [
        ({"alpha": 0.95}, "grid", "alpha: gives the loss with the labels a weight of 0.05 .* no labels; set alpha = 1"),
        ({}, "none", "'ce' trains on labels alone, and synthetic images have no labels"),
        ({}, "standardized", "label_weight: gives the loss with the labels a weight of 0.1 .* set label_weight = 0"),
        ({}, "dts", "'dts' computes tau from labels, and synthetic images have no labels"),
        ({"training": {**TRAINING, "epochs": 2}}, "annealing", "'annealing' has a phase that trains on labels alone"),
        ({"search_space": "tau-alpha"}, "grid", "search_space.alpha: alpha cannot be searched"),
        ({"vary": ["teacher"]}, "fixed", "vary: all repeats of a study on synthetic images use the same images"),
        ({"data": {"train_limit": 700}}, "grid", "data.train_limit: selects real training images"),
        ({"synthesis": {"ref": "deep-inversion", "imges": 9}}, "grid", "synthesis.imges: unknown key; .*'images'"),
        ({"synthesis": None, "selection": "synthetic"}, "grid", "selection: is for studies with a .synthesis."),
    ],
)
def test_what_synthetic_images_cannot_give_is_refused_before_anything_is_made(changes, strategy, reason, tmp_path):
    with pytest.raises(SpecError, match=reason):
        kdtune.run_study(data_free(**changes), strategy, out=tmp_path, inline=True)
    assert not any(tmp_path.iterdir())


def test_results_say_what_the_images_are_and_what_was_chosen_by(finished):
    grid = finished.results[0]["synthetic"]
    named = grid["method"], grid["selection"], grid["images"], grid["held_out"]
    assert named == ("deep-inversion", "synthetic", 48, 16)
    assert 0 < grid["confidence"] <= 1 and grid["diversity"] > 0 and sum(grid["class_counts"]) == 48
    assert StudyFolder(finished.folder).synthetic_sheet.read_bytes().startswith(b"\x89PNG")


def test_a_check_uses_stand_ins_and_makes_no_images(finished, tmp_path):
    changed = data_free(synthesis={**SYNTHESIS, "seed": 7})
    found = kdtune.check_study(changed)
    assert found.faults == []
    assert not store_of(context_of(synthesis={**SYNTHESIS, "seed": 7})).folder.exists()


def adversarial(**changes):
    synthesis = {**SYNTHESIS, "adv": 0.5, "adaptive": True, "own_batches": 2, **changes.pop("synthesis", {})}
    return data_free(**{"synthesis": synthesis, "training": {**TRAINING, "epochs": 2}, **changes})


@pytest.fixture(scope="module")
def against_students(finished, tmp_path_factory):
    result = kdtune.run_study(adversarial(), out=tmp_path_factory.mktemp("adversarial"), inline=True)
    assert result.exit_code == 0, result.errors
    return result


def test_images_against_a_student_belong_to_its_trial_with_a_phase_of_their_own(finished, against_students):
    study = load_study(adversarial())
    macs = context_of().macs(study.teacher), context_of().macs(study.student)
    for one in against_students.results:
        folder = StudyFolder(against_students.folder).strategy(one["strategy"])
        log, account = TrialLog.read(folder.trials), account_of_nodes(read_folder(folder.ledger))
        assert sum(account.buckets.values()) == account.node_uj
        assert one["cost"]["flags"] == {}
        for trial in log.trials.values():
            training, making = (account.windows[name] for name in (trial.window(1), f"{trial.window(1)}/synthesis"))
            assert training > 0 and making > 0
        own_uj = sum(uj for name, uj in account.windows.items() if name.endswith("/synthesis"))
        assert one["cost"]["trial_synthesis_uj"] == own_uj < one["cost"]["energy_uj"]["trials"]
        # 48 shared images without the student, and for each of 2 epochs 2 batches of 24 images with it
        own = 4 * sum(macs) * 3 * 48 * 2 * len(log.trials)
        assert one["cost"]["synthesis_flops"] == 4 * macs[0] * 3 * 48 + own
        assert read_shared(folder).synthesis.keys() == {store_of(context_of()).folder.name}  # as without the student


@pytest.mark.parametrize("synthesis", [{}, {"ref": "cmi", **CMI}], ids=["deep-inversion", "cmi"])
def test_images_against_a_student_continue_from_a_checkpoint_with_the_same_bits(finished, synthesis):
    changes = adversarial(synthesis=synthesis)
    if synthesis:
        for name in ("adaptive", "roll"):
            changes["synthesis"].pop(name)
    study = load_study({**changes, "training": {**TRAINING, "epochs": 3}})
    context = TrainingContext(study, CPU, 1)
    recipe = resolved_recipe(study, Suggestion.from_point({"tau": 4}))
    whole = context.distiller(recipe, 0)
    shared = whole.changing_images.train.images.clone()
    whole.train_epoch()
    state = copy.deepcopy(whole.state_dict())
    whole.train_epoch()
    whole.train_epoch()
    resumed = context.distiller(recipe, 0)
    resumed.load_state_dict(state)
    resumed.changing_images.prepare(1, resumed.model)  # a kill after this leaves the same checkpoint
    resumed.train_epoch()
    resumed.train_epoch()
    assert torch.equal(resumed.changing_images.train.images, whole.changing_images.train.images)
    assert not torch.equal(whole.changing_images.train.images, shared)
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name])
    assert all(one.requires_grad for one in whole.model.parameters())
    assert torch.equal(context.splits.train.images, shared)  # of all trials


def test_trials_on_images_of_their_own_need_a_live_teacher(tmp_path):
    with pytest.raises(SpecError, match="teacher_logits: each trial makes images of its own"):
        load_study(adversarial(teacher_logits="replay"))
    with pytest.raises(SpecError, match="own_batches has no effect with adv = 0"):
        load_study(data_free(synthesis={**SYNTHESIS, "own_batches": 2}))
    assert load_study(adversarial()).teacher_logits == "live"
