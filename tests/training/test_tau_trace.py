"""The distribution of the temperatures of an epoch."""

import pytest
import torch

from kdtune.methods.loading import softness_of
from kdtune.specs.component import Component
from kdtune.temperature.base import Temperature
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.tau_trace import TauTrace, traced_tau
from tests.trainings import CPU, splits, study, teacher, training  # noqa: F401 - fixtures


def each(*taus):
    return torch.tensor(taus)[:, None]


def test_percentiles_are_over_all_images_and_means_over_those_of_a_class():
    trace = TauTrace()
    trace.record(each(1.0, 5.0), torch.tensor([3, 0]))
    trace.record(each(3.0), torch.tensor([3]))
    found = trace.summary()
    assert (found["tau_p05"], found["tau_median"], found["tau_p95"]) == (1, 3, 3)
    assert found["tau_by_class"] == (5, None, None, 2)


@pytest.mark.parametrize("ignored", [-1, -100])
def test_pairs_that_a_negative_label_excludes_are_in_no_class(ignored):
    trace = TauTrace()
    trace.record(each(1.0, 9.0, 5.0), torch.tensor([1, ignored, 0]))
    assert trace.summary()["tau_by_class"] == (5, 1)
    trace = TauTrace()
    trace.record(each(1.0, 9.0), torch.tensor([ignored, ignored]))
    found = trace.summary()
    assert found["tau_p05"] == 1 and found["tau_by_class"] == ()


def test_temperatures_of_steps_have_percentiles_and_no_classes():
    trace = TauTrace()
    trace.scheduled(Temperature.of_steps(torch.arange(101.0)), [8] * 101)
    assert trace.summary() == {"tau_p05": 5, "tau_median": 50, "tau_p95": 95}


def test_draws_for_images_that_a_step_does_not_have_are_left_out():
    trace = TauTrace()
    trace.scheduled(Temperature.of_steps(torch.tensor([[2.0, 2.0], [3.0, 9.0]])), [2, 1])
    assert trace.summary()["tau_p95"] == 2 and trace.summary()["tau_median"] == 2


def test_one_tau_for_all_has_no_distribution():
    trace = TauTrace()
    trace.scheduled(Temperature.of_steps(torch.full((5,), 4.0)), [8] * 5)
    assert trace.summary() == {} == TauTrace().summary()


@pytest.mark.parametrize(
    ("point", "varies", "classes"),
    [({"temperature": "stochastic"}, True, False), ({"tau": 4}, False, False), ({"temperature": "normkd"}, True, True)],
)
def test_an_epoch_reports_what_its_policy_varies(training, point, varies, classes):  # noqa: F811
    metrics = training(point).train_epoch()
    report = metrics.as_report()
    assert ("tau_median" in report) == varies and ("tau_by_class" in report) == classes
    if varies:
        assert report["tau_p05"] <= report["tau_median"] <= report["tau_p95"]
    if classes:
        assert len(report["tau_by_class"]) == 3
        assert min(report["tau_by_class"]) <= metrics.tau <= max(report["tau_by_class"])


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize(
    "point", [{"tau": 2, "loss": "standardized"}, {"tau": 1.366, "loss": "max-logit"}, {"tau": 4, "loss": "dtkd"}]
)
@pytest.mark.parametrize("temperature", ["fixed", "cosine"])
def test_the_log_shows_by_what_the_loss_divides_the_logits(training, point, temperature, captured):  # noqa: F811
    if temperature != "fixed":
        point = {**point, "temperature": temperature}
    metrics = training(point, CapturedSteps(CPU) if captured else None).train_epoch()
    assert metrics.tau_p05 <= metrics.tau_median <= metrics.tau_p95
    assert len(metrics.tau_by_class) == 3
    assert min(metrics.tau_by_class) <= metrics.tau <= max(metrics.tau_by_class) and metrics.tau != point["tau"]


def test_the_log_of_a_standardised_loss_is_tau_times_the_deviation():
    logits = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    softness = softness_of(Component(name="standardized"))
    found = traced_tau(Temperature.same(torch.tensor(3.0)), softness, logits, logits)
    assert found.flatten().tolist() == pytest.approx([3 * 2**0.5, 0], abs=1e-6)
    assert softness_of(Component(name="multi")) is softness_of(Component(name="hkd")) is None
