import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs import load_study
from kdtune.temperature.fixed import FixedTemperature
from kdtune.training import captured_steps
from kdtune.training.captured_steps import CapturedSteps
from tests.recipes import recipe_of
from tests.studies import small_study
from tests.trainings import CLASSES, CPU

FIXED, STOCHASTIC, ALONE = {"tau": 4}, {"temperature": "stochastic"}, {"loss": "ce"}
PER_EPOCH, PER_SAMPLE = {**STOCHASTIC, "draw": "epoch"}, {**STOCHASTIC, "draw": "sample", "scale": "log"}
AGAIN, SLOW = {**STOCHASTIC, "restart": 2}, {"tau": 7, "learning_rate": 0.003}

#: 56 images: the last batch has 24 of 32, one more than the others, or as many as they have.
SMALLER, LARGER, EQUAL = {"batch_size": 32}, {"batch_size": 11}, {"batch_size": 28}
CHANGED = {"augment": ("crop", "flip", "rotate"), "warmup_epochs": 0.5}


def float16_then_float32(epoch):
    """Replayed logits, of another precision in the second epoch."""
    rows = torch.randn(56, CLASSES, generator=torch.Generator().manual_seed(epoch)) * 5
    return rows if epoch == 1 else rows.half()


def trained(distiller):
    return [distiller.train_epoch() for _ in range(distiller.epoch, distiller.recipe.training.epochs)]


def assert_equal(one, other):
    """Weights, running statistics, the optimiser's state and the policy's are equal to the last bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours["epoch"] == theirs["epoch"] and ours["metrics"] == theirs["metrics"]
    torch.testing.assert_close(ours["model"], theirs["model"], rtol=0, atol=0)
    torch.testing.assert_close(ours["optimizer"]["state"], theirs["optimizer"]["state"], rtol=0, atol=0)
    torch.testing.assert_close(ours["policy"], theirs["policy"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("rows", "optimizer"), [(None, "sgd"), (float16_then_float32, "adam")], ids=["live", "replayed"]
)
@pytest.mark.parametrize(
    ("point", "changes"),
    [
        (FIXED, SMALLER),
        (FIXED, LARGER | CHANGED),
        (STOCHASTIC, LARGER),
        (STOCHASTIC, EQUAL | CHANGED),
        (PER_EPOCH, SMALLER | {"augment": ("flip",)}),
        (PER_EPOCH, SMALLER | {"augment": ("resized-crop", "jitter")}),
        (PER_SAMPLE, SMALLER | CHANGED),
        (PER_SAMPLE, LARGER),
        (AGAIN, SMALLER),
        (ALONE, LARGER | CHANGED),
        ({**FIXED, "alpha": 0.5}, {"batch_size": 57, "momentum": 0.0}),
    ],
)
def test_a_captured_training_equals_the_eager_one_to_the_last_bit(training, point, changes, rows, optimizer):
    given = {"rows": rows, "optimizer": optimizer, **changes}
    eager, ours = training(point, **given), training(point, CapturedSteps(CPU), **given)
    assert trained(eager) == trained(ours)
    assert_equal(eager, ours)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_next_training_finds_nothing_of_the_one_before(training, optimizer):
    captures, graphs = CapturedSteps(CPU), set()
    given = {"optimizer": optimizer, "epochs": 2, **CHANGED}
    for point, seed in [(FIXED, 0), (STOCHASTIC, 1), (SLOW, 1), (PER_EPOCH, 0), (FIXED, 0)]:
        eager, ours = (training(point, kind, seed, **given) for kind in (None, captures))
        ours.warm_up()
        ours = training(point, captures, seed, **given)
        graphs.add(ours._captured)
        assert trained(eager) == trained(ours)
        assert_equal(eager, ours)
    assert len(graphs) == 1  # all of them replayed the same graphs
    assert len(graphs.pop()._graphs) == 2  # for a whole batch, and for the last one


@pytest.mark.parametrize(
    ("saved_by", "resumed_by", "optimizer"), [(0, 1, "adam"), (1, 0, "sgd"), (1, 1, "sgd"), (1, 1, "adam")]
)
def test_a_training_goes_on_from_a_checkpoint_of_either_kind(training, saved_by, resumed_by, optimizer, tmp_path):
    captures = CapturedSteps(CPU)
    kinds = [None, captures]
    given = {"optimizer": optimizer, **CHANGED}
    whole = training(STOCHASTIC, **given)
    trained(whole)
    first = training(STOCHASTIC, kinds[saved_by], **given)
    first.train_epoch()
    torch.save(first.state_dict(), tmp_path / "checkpoint")
    trained(training(FIXED, captures, 5, **given))  # another one comes between
    second = training(STOCHASTIC, kinds[resumed_by], **given)
    second.load_state_dict(torch.load(tmp_path / "checkpoint", weights_only=True))
    trained(second)
    assert_equal(whole, second)


def test_static_buffers_keep_their_addresses(training):
    captures = CapturedSteps(CPU)
    ours = training(PER_SAMPLE, captures, rows=float16_then_float32, **CHANGED)
    ours.train_epoch()
    before = _addresses(ours._captured)
    state = ours.state_dict()
    trained(ours)
    ours = training(PER_SAMPLE, captures, 3, rows=float16_then_float32, **CHANGED)
    ours.load_state_dict(state)
    trained(ours)
    assert _addresses(ours._captured) == before


def _addresses(step):
    buffers = [tensor for form in step._buffers.values() for tensor in form.values()]
    own = [step._order, step._rates, step._rate, step._losses]
    return [tensor.data_ptr() for tensor in [*step._state(), *buffers, *own]]


def test_what_is_recorded_as_a_number_has_a_step_of_its_own_and_few_are_kept(training):
    captures = CapturedSteps(CPU)
    steps = [training({**FIXED, "alpha": alpha / 10}, captures)._captured for alpha in range(captured_steps.KEPT + 2)]
    assert len(set(steps)) == len(steps)
    assert list(captures._kept.values()) == steps[-captured_steps.KEPT :]
    assert training({**FIXED, "weight_decay": 0.1}, captures)._captured not in steps


def test_a_temperature_that_depends_on_logits_is_trained_eagerly(training, monkeypatch):
    monkeypatch.setattr(FixedTemperature, "depends_on_logits", True)
    eager, ours = training(FIXED), training(FIXED, CapturedSteps(CPU))
    assert ours._captured is None
    assert trained(eager) == trained(ours)


@pytest.fixture(scope="module")
def benches(cache_folder):
    """A training context whose steps are taken eagerly, and one whose steps are captured."""

    def make(compile):
        training = {"epochs": 2, "batch_size": 32, "learning_rate": 0.05, "augment": ("crop", "rotate")}
        numerics = {"precision": "float32", "memory_layout": "contiguous", "compile": compile}
        table = small_study(training=training, numerics=numerics, teacher_logits="replay")
        return TrainingContext(load_study(table), CPU, 1)

    return make("off"), make("graph")


def test_teachers_logits_and_students_of_a_study_are_equal_to_the_last_bit(benches):
    eager, ours = benches
    assert eager.captures is None and ours.captures is not None
    torch.testing.assert_close(eager.teacher.state_dict(), ours.teacher.state_dict(), rtol=0, atol=0)
    students = []
    for context in benches:
        students.append(context.distiller(recipe_of(context.study, {"tau": 2}), 0))
        trained(students[-1])
    assert_equal(*students)
    stores = [context.logit_store(0) for context in benches]
    assert stores[0].folder != stores[1].folder
    for epoch in range(2):
        assert (stores[0].rows(epoch) == stores[1].rows(epoch)).all()
    assert not (stores[1].rows(0) == stores[1].rows(1)).all()
