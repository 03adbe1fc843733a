"""The terms of the losses of images have the values that were computed by hand."""

import pytest
import torch

from kdtune.synthesis.losses import clamped_divergence, disagreement, total_variation


@pytest.mark.parametrize(("norm", "expected"), [(1, 7.0), (2, 8.2426)])
def test_total_variation_adds_four_directions(norm, expected):
    images = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    assert total_variation(images, norm).item() == pytest.approx(expected, abs=1e-4)


def test_the_divergence_is_that_of_the_released_code_and_not_jensen_shannon():
    found = clamped_divergence(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.1, 0.9]])).item()
    assert found == pytest.approx(0.51083, abs=1e-5)


def test_probabilities_are_clamped():
    certain = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    clamped = torch.tensor([[0.99, 0.01]]), torch.tensor([[0.01, 0.99]])
    assert clamped_divergence(*certain) == clamped_divergence(*clamped)


def test_networks_that_agree_do_not_disagree():
    logits = torch.tensor([[2.0, 0.0, 1.0]])
    assert disagreement(logits, logits).item() == pytest.approx(0, abs=1e-6)
