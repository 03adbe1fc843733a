"""Temperatures that float32 cannot hold are refused wherever they come in, and the ends of the range are right."""

from math import inf, nan, nextafter

import numpy as np
import pytest
import tomli_w
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

import kdtune
from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import LOSSES
from kdtune.errors import DivergedError, SpecError
from kdtune.methods.loading import loss_of
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.temperature_range import TAU_RANGE, tau_problem
from kdtune.temperature.base import Temperature
from tests.recipes import recipe_of
from tests.studies import small_study

LOW, HIGH = TAU_RANGE
#: By what a loss multiplies tau: the greatest standardised logit of these images is at most 4.
MULTIPLES = {"max-logit": 4}
DISTILLING = [name for name in LOSSES if LOSSES[name].facts["needs_teacher"]]


def loss_and_gradient(loss, tau, logits, dtype):
    student, teacher = (one.to(dtype) for one in logits)
    student.requires_grad_()
    pairs = SoftPairs(student, teacher, torch.zeros(64).long())
    temperature = Temperature.same(torch.tensor(tau).to(dtype))
    value = loss_of(Component(name=loss))(pairs, lambda: F.cross_entropy(student, pairs.labels), temperature, 1)
    value.backward()
    return value.detach(), student.grad.double()


def drawn(scale, classes=100):
    generator = torch.Generator().manual_seed(0)
    return [(scale * torch.randn(64, classes, generator=generator, dtype=torch.float64)).float() for _ in range(2)]


@pytest.mark.parametrize("loss", DISTILLING)
@pytest.mark.parametrize("tau", [LOW, 1.0, HIGH])
@pytest.mark.parametrize("scale", [1, 10, 30])
def test_gradients_are_right_to_half_a_percent_over_the_whole_range(loss, tau, scale):
    tau = min(tau, HIGH / MULTIPLES.get(loss, 1))
    _, exact = loss_and_gradient(loss, tau, drawn(scale), torch.float64)
    _, found = loss_and_gradient(loss, tau, drawn(scale), torch.float32)
    assert (found - exact).norm() <= 0.005 * exact.norm()


@pytest.mark.parametrize("loss", DISTILLING)
@pytest.mark.parametrize("tau", TAU_RANGE)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 65504.0, 1e10])
def test_no_logits_overflow_at_the_ends_of_the_range(loss, tau, scale):
    value, gradient = loss_and_gradient(loss, tau, [scale * one for one in drawn(1)], torch.float32)
    assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize(("loss", "tau"), [("hkd", 1e20), ("cmc", 1e-30), ("dml", 1e-40)])
def test_refused_temperatures_give_infinite_losses(loss, tau):
    value, _ = loss_and_gradient(loss, tau, drawn(10), torch.float32)
    assert not value.isfinite() and tau_problem(tau)


@pytest.mark.parametrize("tau", [LOW, HIGH, 4, np.int64(4), np.float32(2.5)])
def test_the_ends_of_the_range_are_in_it(tau):
    assert tau_problem(tau) is None


@pytest.mark.parametrize("tau", [nextafter(LOW, 0), nextafter(HIGH, inf), 0, -4, 1e30, inf, nan, True, "4", None])
def test_values_out_of_range_are_refused_with_the_range(tau):
    assert "between 0.0001 and 10000" in tau_problem(tau)


@pytest.mark.parametrize(
    ("space", "strategies", "overrides", "told"),
    [
        ({"low": 2, "high": 1e30}, {}, [], "study: search_space.tau: has to lie"),
        ({"values": [1e-30, 4]}, {}, [], "study: search_space.tau: has to lie"),
        ({"low": 1e-9, "high": 4, "log": True}, {}, [], "study: search_space.tau: has to lie"),
        ({"values": [4]}, {"fixed": {"tau": 1e30}}, [], "study: strategies.fixed.tau: has to lie"),
        ({"values": [4]}, {"cold": {"strategy": "fixed", "tau": 1e-30}}, [], "study: strategies.cold.tau: has to lie"),
        (
            {"values": [4]},
            {"lucky": {"strategy": "best-of", "of": "fixed", "tau": 1e9}},
            [],
            "study: strategies.lucky.tau: has to lie",
        ),
        (
            {"values": [4]},
            {"stochastic": {"space": {"values": [4, 1e9]}}},
            [],
            "study: strategies.stochastic.space: h",
        ),
        ({"low": 2, "high": 9}, {"fixed": {}}, ["strategies.fixed.tau=1e30"], "--set: strategies.fixed.tau: has to"),
        ({"low": 2, "high": 9}, {"fixed": {}}, ["search_space.tau.high=1e30"], "with --set search_space.tau.high: sea"),
    ],
)
def test_a_study_is_refused_wherever_it_sets_a_tau_out_of_range(space, strategies, overrides, told):
    study = small_study(search_space={"tau": space}, strategies=strategies or {"stochastic": {}})
    with pytest.raises(SpecError) as error:
        load_study(study, overrides=overrides)
    assert told in str(error.value) and "between 0.0001 and 10000" in str(error.value)


def test_every_tau_of_a_study_that_is_out_of_range_is_named_at_once():
    study = small_study(search_space={"tau": {"low": 1e-9, "high": 1e9}}, strategies={"fixed": {"tau": 1e30}})
    with pytest.raises(SpecError) as error:
        load_study(study)
    assert [fault.key for fault in error.value.faults] == [
        "strategies.fixed.tau",
        "search_space.tau",
        "search_space.tau",
    ]


def test_a_study_that_ran_with_such_a_tau_is_still_read(tmp_path):
    study = load_study(small_study(strategies={"fixed": {"tau": 4}}))
    table = study.model_dump(mode="json", exclude_none=True)
    table["strategies"]["fixed"]["tau"] = 1e30
    (tmp_path / "study.toml").write_text(tomli_w.dumps({**table, "resolved": {}}))
    assert load_study(tmp_path / "study.toml").strategies["fixed"]["tau"] == 1e30


def test_a_trial_of_a_custom_ray_experiment_is_refused_before_the_teacher_is_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    with pytest.raises(SpecError, match=r"point: tau: has to lie between .* got 1e\+30"):
        kdtune.DistillTrainable({"study": small_study(), "tau": 1e30})
    assert not (tmp_path / "teachers").exists()


def test_a_loss_that_diverges_at_a_tau_of_the_range_names_the_tau_too():
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 10.0}
    context = TrainingContext(load_study(small_study(loss="cmc", training=training)), torch.device("cpu"), threads=1)
    training = context.training(recipe_of(context.study, {"tau": 1e-4}), 0, context.untrained_teacher_logits())
    with pytest.raises(DivergedError, match="a lower learning rate or a tau nearer to 1 may help"):
        training.train_epoch()
