"""Annealing-KD: regression onto annealed logits, then labels alone from the best weights."""

import pytest
import torch

from kdtune.catalog.builtin import LOSSES
from kdtune.energy.flops import Workload
from kdtune.errors import SpecError
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.temperature.base import Temperature
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.resolution import resolved_recipe
from tests.methods.by_hand import exactly, logits
from tests.recipes import recipe_of
from tests.trainings import CPU, distiller, splits, study, teacher, training  # noqa: F401 - fixtures

POINT = {"loss": "annealing", "levels": 2}


def phases(epochs, **options):
    return LOSSES.load("annealing").phases(options, epochs)


def test_phase_one_is_the_squared_difference_from_the_teachers_logits_divided_by_tau():
    loss = LOSSES.load("annealing")(LOSSES.load("annealing").Options())
    student, teacher_logits = logits([1, 2, 0]), logits([5, -10, 0])
    labels, tau = torch.tensor([0]), Temperature.same(torch.tensor(5.0, dtype=torch.float64))
    # ((1 - 1)^2 + (2 + 2)^2 + 0) / 3
    assert loss(student, teacher_logits, labels, tau, 0.95).item() == exactly(16 / 3)


@pytest.mark.parametrize(("epochs", "lengths"), [(2, [1, 1]), (3, [2, 1]), (30, [20, 10]), (240, [160, 80])])
def test_phase_one_has_two_thirds_of_the_epochs(epochs, lengths):
    assert [phase.epochs for phase in phases(epochs)] == lengths


def test_the_lengths_can_be_given_and_neither_phase_is_empty():
    assert [phase.epochs for phase in phases(10, first=0.001)] == [1, 9]
    assert [phase.epochs for phase in phases(10, first=0.999)] == [9, 1]
    with pytest.raises(SpecError, match="at least 2 for the two phases"):
        phases(1)


def test_the_teacher_counts_in_phase_one_only(study):  # noqa: F811
    recipe = recipe_of(study, POINT)
    assert [recipe.teacher_epochs(done) for done in range(4)] == [0, 1, 2, 2]
    assert recipe.needs_teacher and recipe.temperature is None
    work = Workload(teacher_macs=100, student_macs=10, train_images=5, val_images=1, test_images=1)
    assert work.nominal_flops(3, teacher_epochs=2) == 2 * (2 * 100 * 5 + 3 * 10 * 6)


def test_a_recipe_of_one_piece_is_identified_as_before_there_were_phases(study):  # noqa: F811
    assert "phases" not in recipe_of(study, {"tau": 4}).model_dump(mode="json")
    recipe = recipe_of(study, POINT)
    assert type(recipe).model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    "given", [{"values": {"tau": 4}}, {"values": {"alpha": 0.5}}, {"temperature": Component(name="ctkd")}]
)
def test_what_has_no_effect_in_its_phases_is_refused(study, given):  # noqa: F811
    with pytest.raises(SpecError, match="has no effect under 'annealing'"):
        resolved_recipe(study, Suggestion(method=Component(name="annealing"), **given))


def test_longer_trainings_are_refused(study):  # noqa: F811
    with pytest.raises(SpecError, match="longer"):
        resolved_recipe(study, Suggestion(method=Component(name="annealing"), longer=2))


@pytest.mark.parametrize("captured", [False, True])
def test_phase_two_begins_with_the_best_weights_and_a_new_optimiser(training, monkeypatch, captured):  # noqa: F811
    ours = training(POINT, CapturedSteps(CPU) if captured else None, epochs=6)
    weights, ranks = [], []
    for _ in range(4):
        metrics = ours.train_epoch()
        weights.append({name: one.clone() for name, one in ours.model.state_dict().items()})
        ranks.append((metrics.val_accuracy, -metrics.val_loss))
        assert metrics.tau == (2 if metrics.epoch <= 2 else 1)
    # Make an earlier epoch the best one, so that the last weights would be wrong.
    state = ours.state_dict()
    state["best"] = {"rank": [2.0, 0.0], "weights": weights[1]}
    ours.load_state_dict(state)
    next(ours.steps())
    begun = ours.state_dict()
    plain = training({"loss": "ce"}, epochs=6)
    plain.epoch = 4
    plain.model.load_state_dict(weights[1])
    next(plain.steps())
    torch.testing.assert_close(begun["model"], plain.state_dict()["model"], rtol=0, atol=0)
    torch.testing.assert_close(begun["optimizer"]["state"], plain.state_dict()["optimizer"]["state"], rtol=0, atol=0)
    assert max(ranks) >= ranks[1]


def test_the_best_epoch_of_phase_one_is_kept_by_accuracy_and_then_by_loss(training):  # noqa: F811
    ours = training(POINT, epochs=9)
    found = [ours.train_epoch() for _ in range(6)]
    best = max((metrics.val_accuracy, -metrics.val_loss) for metrics in found)
    assert tuple(ours.state_dict()["best"]["rank"]) == best


def test_phase_two_asks_no_teacher(training):  # noqa: F811
    ours = training(POINT)
    for _ in range(2):
        assert ours.train_epoch().tau is not None
    ours._given_teacher = None  # phase II would fail if it asked one
    assert ours.train_epoch().tau is None


@pytest.mark.parametrize("done", [1, 2])
@pytest.mark.parametrize("captured", [False, True])
def test_it_resumes_within_a_phase_and_between_phases_to_the_bit(training, done, captured):  # noqa: F811
    made = [training(POINT, CapturedSteps(CPU) if captured else None) for _ in range(3)]
    undisturbed, interrupted, resumed = made
    expected = [undisturbed.train_epoch() for _ in range(3)]
    for _ in range(done):
        interrupted.train_epoch()
    resumed.load_state_dict(interrupted.state_dict())
    assert [resumed.train_epoch() for _ in range(3 - done)] == expected[done:]
    torch.testing.assert_close(resumed.model.state_dict(), undisturbed.model.state_dict(), rtol=0, atol=0)
