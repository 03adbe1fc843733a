"""Whether chosen models are better than chance; differences between models at chance mean nothing."""

from kdtune.analysis.comparison import Comparison
from kdtune.artifacts.teacher_chance import is_at_chance
from kdtune.catalog.metric import ACCURACY
from kdtune.results.folder import StrategyFolder
from kdtune.results.predictions import LABELS, read_predictions
from kdtune.results.strategy_result import StrategyResult


def all_at_chance(found: Comparison) -> bool:
    """Return whether no chosen model of any strategy is better than chance; False if nothing was tested."""
    tested = [
        (outcome, folder)
        for outcome, folder in zip(found.outcomes, found.folders, strict=True)
        if any(repeat.test for repeat in outcome.repeats)
    ]
    return bool(tested) and all(models_at_chance(*one) for one in tested)


def models_at_chance(outcome: StrategyResult, folder: StrategyFolder) -> bool:
    """Return whether none of the chosen models of a strategy is better than chance; False for other tasks' metrics."""
    if outcome.deciding.name != ACCURACY:
        return False
    images, chance = folder.workload().test_images, chance_accuracy(folder)
    accuracies = [repeat.test_accuracy for repeat in outcome.repeats if repeat.test_accuracy is not None]
    return bool(accuracies) and all(is_at_chance(round(one * images), images, chance) for one in accuracies)


def chance_accuracy(folder: StrategyFolder) -> float:
    """Return the accuracy of always predicting the most frequent class of the test images.

    Results of releases that did not keep the true classes are taken to have classes of equal size.
    """
    labels = read_predictions(folder.probabilities).get(LABELS)
    if labels is None or not len(labels):
        return 1 / folder.read_study().data_info.classes
    import numpy as np

    return float(np.unique(labels, return_counts=True)[1].max()) / len(labels)
