import json

import pytest
import torch

from kdtune.tasks.classification.metrics import (
    classification_metrics,
    count_confusions,
    expected_calibration_error,
    macro_f1,
)

# True class by row, prediction by column:
#        0  1  2
#   0    3  1  0     4 images
#   1    1  2  0     3
#   2    2  0  1     3
#  sum   6  3  1
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
PREDICTIONS = torch.tensor([0, 0, 0, 1, 0, 1, 1, 0, 0, 2])

BY_HAND = {
    "accuracy": 6 / 10,
    "precision": (3 / 6 + 2 / 3 + 1 / 1) / 3,
    "recall": (3 / 4 + 2 / 3 + 1 / 3) / 3,
    # Of the images of other classes, those not predicted: 6-3 of 6, 7-1 of 7, 7-0 of 7.
    "specificity": (3 / 6 + 6 / 7 + 7 / 7) / 3,
    # By chance they would agree on (4*6 + 3*3 + 3*1) / 100 = 0.36: (0.6 - 0.36) / (1 - 0.36).
    "kappa": 0.375,
    "prevalence": (4 / 10 + 3 / 10 + 3 / 10) / 3,
    # 2 tp / (true + predicted): 6/10, 4/6, 2/4.
    "f1": (6 / 10 + 4 / 6 + 2 / 4) / 3,
    # Of the images of other classes, those that were given their own: 2+1 of 6, 3+1 of 7, 3+2 of 7.
    "paper_specificity": (3 / 6 + 4 / 7 + 5 / 7) / 3,
    # Of all 10 images: 3 are right in class 0, 2 in class 1, 1 in class 2.
    "paper_prevalence": (3 / 10 + 2 / 10 + 1 / 10) / 3,
    "balanced_accuracy": (3 / 4 + 2 / 3 + 1 / 3) / 3,
}


def test_the_confusion_matrix_has_a_row_for_each_true_class():
    assert count_confusions(PREDICTIONS, LABELS, 3).tolist() == [[3, 1, 0], [1, 2, 0], [2, 0, 1]]


@pytest.mark.parametrize(("metric", "value"), BY_HAND.items())
def test_a_metric_is_what_its_definition_gives(metric, value):
    assert classification_metrics(PREDICTIONS, LABELS, 3)[metric] == pytest.approx(value, abs=1e-6)


def test_these_metrics_and_no_others():
    assert classification_metrics(PREDICTIONS, LABELS, 3).keys() == BY_HAND.keys()


def test_the_standard_metrics_are_those_of_scikit_learn():
    from sklearn import metrics

    labels, predictions = torch.randint(0, 7, (2, 500), generator=torch.Generator().manual_seed(0))
    ours = classification_metrics(predictions, labels, 7)
    macro = {"average": "macro"}
    expected = {
        "accuracy": metrics.accuracy_score(labels, predictions),
        "precision": metrics.precision_score(labels, predictions, **macro),
        "recall": metrics.recall_score(labels, predictions, **macro),
        "specificity": sum(metrics.recall_score(labels != c, predictions != c) for c in range(7)) / 7,
        "kappa": metrics.cohen_kappa_score(labels, predictions),
        "f1": metrics.f1_score(labels, predictions, **macro),
    }
    assert {name: ours[name] for name in expected} == pytest.approx(expected)


def test_a_perfect_classifier_has_1_throughout():
    perfect = classification_metrics(LABELS, LABELS, 3)
    assert perfect.pop("prevalence") == perfect.pop("paper_prevalence") == pytest.approx(1 / 3)
    assert set(perfect.values()) == {1.0}


def test_a_classifier_that_always_says_the_same_agrees_no_more_than_chance():
    constant = classification_metrics(torch.zeros(6, dtype=torch.int64), torch.tensor([0, 0, 1, 1, 2, 2]), 3)
    assert constant["kappa"] == pytest.approx(0, abs=1e-6)
    assert constant["recall"] == pytest.approx(1 / 3)
    assert constant["precision"] == pytest.approx((2 / 6 + 0 + 0) / 3)
    assert constant["f1"] == pytest.approx((2 * 2 / (2 + 6) + 0 + 0) / 3)
    # Of the four images of other classes none is left alone in class 0, all are in classes 1 and 2.
    assert constant["specificity"] == pytest.approx((0 + 1 + 1) / 3)
    assert constant["paper_specificity"] == pytest.approx((0 / 4 + 2 / 4 + 2 / 4) / 3)


def test_a_class_without_images_and_without_predictions_is_left_out_of_the_means():
    some = classification_metrics(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1]), 5)
    assert some["precision"] == pytest.approx((1 / 2 + 2 / 2) / 2)
    assert some["recall"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert some["specificity"] == pytest.approx((2 / 3 + 1 / 1) / 2)
    assert some["prevalence"] == pytest.approx(1 / 5)


def test_where_all_images_are_of_one_class_what_is_not_defined_is_none_and_no_nan():
    one = classification_metrics(torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), 3)
    assert one["accuracy"] == one["recall"] == 1 and one["kappa"] is None and one["specificity"] == 0
    assert one["paper_specificity"] == 1  # of the two classes for which there are images of others
    json.dumps(one, allow_nan=False)


# Table 5 of the paper: CIFAR-10's test set has 1,000 images of each class. What is printed of each model:
# accuracy, precision and recall and F1, specificity, kappa, prevalence.
TABLE_5 = {
    "Teacher": (9480, 0.95, 0.95, 0.94, 0.09),
    "KD": (9167, 0.92, 0.92, 0.90, 0.09),
    "Ours": (9178, 0.92, 0.92, 0.91, 0.09),
}


@pytest.mark.parametrize("model", TABLE_5)
def test_what_the_papers_table_5_prints(model):
    right, averages, specificity, kappa, prevalence = TABLE_5[model]
    labels = torch.arange(10_000) % 10
    predictions = torch.where(torch.arange(10_000) < right, labels, (labels + 3) % 10)
    ours = classification_metrics(predictions, labels, 10)
    rounded = {name: round(value, 2) for name, value in ours.items()}
    assert ours["accuracy"] == pytest.approx(right / 10_000)
    assert rounded["precision"] == rounded["recall"] == rounded["f1"] == averages
    assert rounded["paper_specificity"] == specificity and rounded["specificity"] == 0.99
    assert rounded["paper_prevalence"] == prevalence and rounded["prevalence"] == 0.10
    assert ours["kappa"] == pytest.approx((right / 10_000 - 0.1) / 0.9, abs=1e-6)
    # Of all that is printed only this cannot be had.
    assert rounded["kappa"] == (0.91 if model == "KD" else kappa)


#: Classes of 60, 25, 10, 4 and 1 images in 100: nearly always right about the first, nearly never about the last.
IMBALANCED = torch.tensor([60, 25, 10, 4, 1])


def imbalanced(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(5), IMBALANCED)
    guesses = torch.multinomial(IMBALANCED.double(), 100, replacement=True, generator=generator)
    return torch.where(torch.rand(100, generator=generator) < 0.5, labels, guesses), labels


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_imbalanced_classes_are_those_of_scikit_learn(seed):
    from sklearn import metrics as theirs

    predictions, labels = imbalanced(seed)
    ours = classification_metrics(predictions, labels, 5)
    precision, recall, f1, _ = theirs.precision_recall_fscore_support(
        labels, predictions, average="macro", zero_division=0
    )
    assert ours["accuracy"] == pytest.approx(theirs.accuracy_score(labels, predictions))
    assert ours["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(labels, predictions), rel=1e-12)
    assert (ours["precision"], ours["recall"], ours["f1"]) == pytest.approx((precision, recall, f1))
    assert ours["kappa"] == pytest.approx(theirs.cohen_kappa_score(labels, predictions), abs=1e-6)
    confusion = count_confusions(predictions, labels, 5)
    assert confusion.tolist() == theirs.confusion_matrix(labels, predictions).tolist()
    assert macro_f1(confusion) == pytest.approx(f1, rel=1e-12)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_without_images_does_not_count_in_balanced_accuracy_though_it_is_predicted():
    from sklearn.metrics import balanced_accuracy_score

    labels, predictions = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 2, 1])
    some = classification_metrics(predictions, labels, 4)
    assert some["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2, rel=1e-12)
    assert some["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predictions), rel=1e-12)
    assert some["recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)  # as torchmetrics and scikit-learn average recall
    assert some["f1"] == pytest.approx((2 * 2 / (3 + 2) + 1 + 0) / 3)


def test_always_naming_the_majority_class_has_a_high_accuracy_and_a_balanced_one_at_chance():
    labels = torch.tensor([0] * 90 + [1] * 10)
    constant = classification_metrics(torch.zeros_like(labels), labels, 2)
    assert constant["accuracy"] == pytest.approx(0.9) and constant["balanced_accuracy"] == 0.5


def test_the_calibration_error_is_that_of_torchmetrics():
    """The figures are those of ``multiclass_calibration_error`` of torchmetrics 1.9, with 15 bins and norm l1."""
    four = torch.tensor([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]])
    assert expected_calibration_error(four, torch.tensor([0, 1, 2, 0])) == pytest.approx(0.4)
    generator = torch.Generator().manual_seed(0)
    many = (3 * torch.randn(997, 10, generator=generator)).softmax(dim=1)
    labels = torch.randint(10, (997,), generator=generator)
    assert expected_calibration_error(many, labels) == pytest.approx(0.58874834, abs=1e-6)


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    sure = torch.eye(3)
    assert expected_calibration_error(sure, torch.tensor([0, 1, 2])) == 0
    assert expected_calibration_error(sure, torch.tensor([1, 2, 0])) == 1
