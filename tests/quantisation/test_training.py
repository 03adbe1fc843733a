"""Quantisation-aware epochs and calibration, as trainings that can be interrupted."""

import copy
from itertools import islice

import pytest
import torch

from kdtune.quantisation.training import Calibration, QuantisationAwareTraining, quantised_training
from kdtune.testing.trainings import CPU, TASK
from tests.recipes import recipe_of

pytest.importorskip("torchao")


@pytest.fixture(scope="module")
def exported_once(study, splits):
    """The quantisation of an untrained student in three epochs, and its calibration with 16 images."""
    training = study.training.model_copy(update={"epochs": 3})
    options = {"qat": {"share": 1.0, "rate": 1.0}, "ptq": {"images": 16}}
    recipes = {
        kind: recipe_of(study.model_copy(update={"training": training}), {"loss": "ce", "quantised": kind, **given})
        for kind, given in options.items()
    }
    return {kind: quantised_training(recipe, 0, TASK, splits, CPU, None) for kind, recipe in recipes.items()}


@pytest.fixture
def quantising(exported_once):
    """Return a function that creates such a training; a copy, since exporting takes long."""
    return lambda kind: copy.deepcopy(exported_once[kind])


def observed(training):
    """Return the ranges of all observers."""
    return {
        name: one.clone() for name, one in training.model.state_dict().items() if name.endswith(("min_val", "max_val"))
    }


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(one, second[name]) for name, one in first.items())


def test_an_interrupted_training_continues_to_the_same_bits(quantising):
    whole, rest = quantising("qat"), quantising("qat")
    whole.train_epoch()
    rest.load_state_dict(copy.deepcopy(whole.state_dict()))
    for training in (whole, rest):
        while not training.done:
            training.train_epoch()
    assert same(whole.model.state_dict(), rest.model.state_dict())
    assert whole.last_metrics() == rest.last_metrics()


def test_observers_stop_in_the_last_third_and_weights_go_on(quantising):
    training = quantising("qat")
    training.train_epoch()
    early = observed(training)
    training.train_epoch()
    middle, weights = observed(training), [one.clone() for one in training.model.parameters()]
    training.train_epoch()
    assert not same(early, middle)
    assert same(middle, observed(training))
    assert any(not torch.equal(one, before) for one, before in zip(training.model.parameters(), weights, strict=True))


def test_an_evaluation_moves_no_range(quantising):
    training = quantising("qat")
    list(islice(training.steps(), 2))
    before = observed(training)
    training.validate()
    assert same(before, observed(training))
    assert training.model.training


def test_calibration_changes_no_weight_and_validates_the_int8_network(quantising):
    training = quantising("ptq")
    before = [one.clone() for one in training.model.parameters()]
    losses = list(training.steps())
    assert len(losses) == -(-16 // training.recipe.training.batch_size)
    assert all(torch.equal(one, old) for one, old in zip(training.model.parameters(), before, strict=True))
    assert not losses[0].requires_grad
    simulated = TASK.evaluate(training.model, training._splits.validation).loss
    assert training.validate().loss != simulated


def test_the_recipe_decides_between_training_and_calibration(quantising):
    qat, ptq = quantising("qat"), quantising("ptq")
    assert (type(qat), type(ptq)) == (QuantisationAwareTraining, Calibration)
    assert ptq.recipe.training.epochs == 1
    assert ptq.recipe.training.augment == ()


def test_epochs_and_rate_are_shares_of_the_studys(study):
    training = study.training.model_copy(update={"epochs": 40, "learning_rate": 0.5})
    changed = study.model_copy(update={"training": training})
    found = recipe_of(changed, {"loss": "ce", "quantised": "qat"}).training
    assert (found.epochs, found.learning_rate) == (4, 0.005)
    shortest = recipe_of(
        study.model_copy(update={"training": training.scaled_to(2)}), {"loss": "ce", "quantised": "qat"}
    )
    assert shortest.training.epochs == 1
