"""What tasks draw from the files about chosen models."""

import pytest

from kdtune.tasks.classification.documents import confusion_csv
from kdtune.tasks.model_figures import Bars, figures_of_documents


def test_confusion_matrices_are_read_from_the_kept_files():
    counts = [[3, 1], [0, 2]]
    documents = {"grid": {"confusion": confusion_csv(counts, ["cat", "dog"]), "per-class": ""}, "none": {}}
    [found] = figures_of_documents("classification", documents)
    assert (found.classes, dict(found.counts)) == (["cat", "dog"], {"grid": counts})


def test_average_precisions_are_read_from_the_kept_files():
    text = "class,objects,detections,ap,ap_area\ncat,3,4,0.5,0.4\ndog,0,1,,\n"
    [found] = figures_of_documents("detection", {"fixed": {"per-class": text}})
    assert (found.categories, dict(found.values)) == (["cat", "dog"], {"fixed": [50.0, None]})


@pytest.mark.parametrize("task", ["classification", "detection", "./own.py:Task"])
def test_a_task_without_such_files_has_no_figures(task):
    assert figures_of_documents(task, {"grid": {}}) == []
    assert figures_of_documents(task, {}) == []


@pytest.mark.parametrize("name", ["../logits", "Logits", "my logits", ""])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match="lower-case letters, digits and hyphens"):
        Bars(name=name, title="Logits", description="Logits.", axis="logit", categories=[], values={})
