"""Noise of a difference of accuracies over test images, from predictions and true classes."""

import numpy as np
import pytest

from kdtune.analysis.baseline_comparisons import statistics_of
from kdtune.analysis.comparison import compare
from kdtune.analysis.image_noise import correct_by_seed, image_error
from kdtune.results.predictions import add_predictions
from tests.results.several import ran


def right(*values):
    return {f"seed_{seed}": np.array(one, dtype=bool) for seed, one in enumerate(values)}


def test_two_models_have_mcnemars_standard_error():
    # 100 images: the first is right alone in 12, the second in 4; McNemar's variance of b - c is b + c - (b - c)^2 / n.
    first = right([True] * 12 + [False] * 4 + [True] * 84)
    second = right([False] * 12 + [True] * 4 + [True] * 84)
    assert image_error(first, second) == pytest.approx(np.sqrt((16 - 8**2 / 100) / 99) / 10)


def test_equal_models_have_no_noise_and_unknown_ones_none():
    assert image_error(right([True, False]), right([True, False])) == 0
    assert image_error(right([True, False]), {}) is None
    assert image_error(right([True, False]), right([True])) is None


def test_differences_are_means_over_common_seeds():
    first, second = right([1, 0], [1, 1]), right([0, 0], [1, 0], [1, 1])
    assert image_error(first, second) == pytest.approx(np.std([0.5, 0.5]))


def test_a_comparison_has_it_if_the_true_classes_were_kept(tmp_path):
    labels = np.arange(1000) % 10
    for strategy, wrong in (("stochastic", 100), ("fixed", 50)):
        folder = ran(tmp_path, strategy, [0.9, 0.9, 0.9])
        predicted = np.where(np.arange(1000) < wrong, (labels + 1) % 10, labels)
        add_predictions(folder.predictions, dict.fromkeys(range(3), predicted))
        if strategy == "stochastic":
            assert correct_by_seed(folder) == {}
        add_predictions(folder.probabilities, {0: np.zeros((1000, 10), np.float16)}, labels=labels)
        assert correct_by_seed(folder)["seed_0"].sum() == 1000 - wrong
    [one] = statistics_of(compare(tmp_path / "small"), "stochastic").comparisons
    assert one.image_error == pytest.approx(np.sqrt((50 - 50**2 / 1000) / 999 / 1000))
