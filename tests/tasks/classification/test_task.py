from math import log

import pytest
import torch

from kdtune.catalog.metric import Metric
from kdtune.data.batches import ImageSet
from kdtune.tasks.classification.task import Classification


class Echo(torch.nn.Module):
    """Gives the images back as logits, a pixel a class."""

    def forward(self, images):
        return images.flatten(1)


def evaluate(model, part):
    return Classification(part.images.shape[1]).evaluate(model, part)


def image_set(probabilities, labels):
    """Images whose pixels are the logarithms of probabilities in percent, so that Echo predicts these."""
    logits = torch.tensor([[log(share) for share in row] for row in probabilities]) * 255
    images = logits.reshape(len(labels), -1, 1, 1)
    channels = images.shape[1]
    return ImageSet(images, torch.tensor(labels), torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1))


def test_accuracy_loss_and_predictions_of_three_images():
    result = evaluate(Echo(), image_set([(1, 3), (3, 1), (4, 1)], [1, 0, 1]))
    assert result.predictions.tolist() == [1, 0, 0]
    assert result.metrics["accuracy"] == pytest.approx(2 / 3)
    # Shares of the true classes: 3/4, 3/4 and 1/5.
    assert result.loss == pytest.approx((2 * log(4 / 3) + log(5)) / 3, rel=1e-6)


def test_predictions_keep_the_order_over_many_batches():
    labels = [(7 * number) % 3 for number in range(1300)]
    result = evaluate(Echo(), image_set([[9 if c == label else 1 for c in range(3)] for label in labels], labels))
    assert result.predictions.tolist() == labels
    assert result.metrics["accuracy"] == 1
    # Every image has 9 parts of 11 on its class, those of the smaller last batch too.
    assert result.loss == pytest.approx(log(11 / 9), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_leaves_the_model_as_it_was(training):
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2), Echo()).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, image_set([(1, 3), (3, 1)], [0, 1]))
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_normalisation_layers_are_in_inference_mode():
    # Fresh running statistics are mean 0 and variance 1, so the layer changes next to nothing.
    images = image_set([(1, 9), (1, 4)], [1, 1])
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2), Echo()).train()
    assert evaluate(model, images).loss == pytest.approx(evaluate(Echo(), images).loss, rel=1e-3)


def test_no_graph_is_kept():
    model = torch.nn.Sequential(Echo(), torch.nn.Linear(2, 2))
    assert not evaluate(model, image_set([(1, 3)], [1])).predictions.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


#: Shares of the true class above 1/2 are right: 3 of 4 images of class 0 are, and none of class 1.
SKEWED = [(3, 1), (3, 1), (3, 1), (1, 3), (3, 1)], [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    # F1 of class 0 is 2*3 / (4 images + 4 predictions); class 1 is predicted once, wrongly.
    [("balanced_accuracy", (3 / 4 + 0) / 2), ("f1", (6 / 8 + 0) / 2)],
)
def test_an_evaluation_has_the_objective_beside_the_accuracy(name, value):
    found = Classification(2, Metric(name)).evaluate(Echo(), image_set(*SKEWED))
    assert found.metrics == {"accuracy": 3 / 5, name: pytest.approx(value, rel=1e-12)}
    assert evaluate(Echo(), image_set(*SKEWED)).metrics == {"accuracy": 3 / 5}


def test_all_metrics_have_the_values_of_those_that_decide():
    part = image_set(*SKEWED)
    for name in ("accuracy", "balanced_accuracy", "f1"):
        task = Classification(2, Metric(name))
        found = task.evaluate(Echo(), part)
        assert found.metrics.items() <= task.test_metrics(found.predictions, part).items()
