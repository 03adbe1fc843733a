"""The teacher's training: its random numbers, and two processes that need it at once, of which one may be killed."""

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs import load_study
from tests.forked import Forked
from tests.recipes import recipe_of
from tests.studies import small_study
from tests.waiting import wait_for

#: Gets the teacher of a study with twelve epochs and reports every epoch that it trains itself, and the result. While
#: there is a file ``hold``, a training stops after its sixth epoch.
WANT = """
import json, os, sys, time
from pathlib import Path
import torch
from kdtune.artifacts import training_context
from kdtune.storage.journal import append_lines
from kdtune.specs import load_study
from tests.studies import small_study

train, told, start = training_context.train_teacher, Path(sys.argv[1]), Path(sys.argv[2])

def slowly(*given, **named):
    def tell(metrics):
        append_lines(told, {"process": os.getpid(), "epoch": metrics.epoch})
        while metrics.epoch == 6 and told.with_name("hold").exists():
            time.sleep(0.01)
    train(*given[:5], tell, **named)

training_context.train_teacher = slowly
study = small_study()
study["teacher_training"] = {**study["teacher_training"], "epochs": 12}
context = training_context.TrainingContext(load_study(study), torch.device("cpu"), 1)
_ = context.splits
start.with_suffix(f".{os.getpid()}").touch()
while not start.exists():
    time.sleep(0.01)
state = context.teacher.state_dict()
print(json.dumps({"folder": str(context.teacher_folder), "sum": sum(float(v.double().sum()) for v in state.values())}))
"""


class Processes:
    """Processes that wait for a signal and then need the same teacher, in a separate cache."""

    def __init__(self, place: Path, count: int) -> None:
        self.told, self._start = place / "epochs.jsonl", place / "start"
        arguments = [str(self.told), str(self._start)]
        self.all = [Forked(WANT, arguments, KDTUNE_CACHE_DIR=str(place / "cache")) for _ in range(count)]

    def go(self) -> None:
        wait_for(lambda: len(list(self._start.parent.glob("start.*"))) == len(self.all))
        self._start.touch()

    def epochs(self) -> list[tuple[int, int]]:
        """Return which process trained which epoch, in order."""
        lines = self.told.read_text().splitlines() if self.told.exists() else []
        return [(line["process"], line["epoch"]) for line in map(json.loads, lines)]

    def ended(self, which: Forked) -> dict:
        out, err = which.communicate()
        assert which.returncode == 0, err
        return json.loads(out)


def weights(outcome):
    return hashlib.sha256(Path(outcome["folder"], "teacher.pt").read_bytes()).hexdigest(), outcome["sum"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the result if no other process needs the teacher."""
    alone = Processes(tmp_path_factory.mktemp("alone"), 1)
    alone.go()
    return weights(alone.ended(alone.all[0]))


def test_a_teacher_that_two_processes_want_at_once_is_trained_once(undisturbed, tmp_path):
    both = Processes(tmp_path, 2)
    both.go()
    outcomes = [both.ended(one) for one in both.all]
    assert [epoch for _, epoch in both.epochs()] == list(range(1, 13))
    assert len({process for process, _ in both.epochs()}) == 1
    assert [weights(outcome) for outcome in outcomes] == [undisturbed] * 2


def test_after_a_kill_another_process_continues_from_the_checkpoint(undisturbed, tmp_path):
    both = Processes(tmp_path, 2)
    (tmp_path / "hold").touch()
    both.go()
    wait_for(lambda: len(both.epochs()) == 6)
    trainer = both.epochs()[0][0]
    killed, other = sorted(both.all, key=lambda one: one.pid != trainer)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    (tmp_path / "hold").unlink()
    outcome = both.ended(other)
    before = [epoch for process, epoch in both.epochs() if process == killed.pid]
    after = [epoch for process, epoch in both.epochs() if process == other.pid]
    # Epochs that were reported after the last checkpoint are trained again.
    assert before[0] == 1 and after[-1] == 12 and after == list(range(after[0], 13))
    assert 1 < after[0] <= before[-1] + 1
    assert weights(outcome) == undisturbed
    assert not Path(outcome["folder"], "checkpoints").exists()


def first_epoch(train):
    """Return a training's initial weights, and the images of its first epoch in order and sorted."""
    batches, begun = [], []

    def note(model, given):
        if model.training and given[0].ndim == 4 and given[0].shape[1] == 1:
            begun or begun.append([value.clone() for value in model.parameters()])
            batches.append(given[0].clone())

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    train()
    hook.remove()
    images = torch.cat(batches).flatten(1)
    return torch.cat([value.flatten() for value in begun[0]]), images, sorted(images.tolist())


@pytest.mark.parametrize("augment", [[], ["crop"]], ids=["as they are", "cropped"])
def test_a_teacher_and_a_repeat_with_its_seed_draw_different_numbers(tmp_path, monkeypatch, augment):
    """Otherwise the teacher would be fitted to the images of one repeat and not to those of the others."""
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 0.05, "augment": augment}
    study = load_study(
        small_study(student="convnet_32", training=training, teacher_training=training, teacher_logits="live")
    )
    assert study.teacher_seed == study.seed
    context = TrainingContext(study, torch.device("cpu"), 1)
    _ = context.splits
    teacher = first_epoch(lambda: context.train_teacher(context.teacher_folder))
    student = first_epoch(context.distiller(recipe_of(context.study, {"loss": "ce"}), study.seed).train_epoch)
    again = first_epoch(context.distiller(recipe_of(context.study, {"loss": "ce"}), study.seed).train_epoch)
    assert torch.equal(student[0], again[0]) and torch.equal(student[1], again[1])
    assert not torch.equal(teacher[0], student[0])  # initialisation
    assert not torch.equal(teacher[1], student[1])  # order
    assert (teacher[2] == student[2]) is not bool(augment)  # changes, where there are any
