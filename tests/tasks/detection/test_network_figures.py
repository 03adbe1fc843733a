"""Figures of detectors that ran on test images."""

import torch

from kdtune.tasks.detection.average_precision import ClassResult
from kdtune.tasks.detection.network_figures import network_figures
from tests.tasks.detection.test_pictures import part


def test_each_model_has_a_row_of_pictures_and_bars():
    images = part(3, 3)
    boxes = torch.full((len(images), 2, 6), -1.0)
    boxes[:, 0] = torch.tensor([0.0, 0.9, 1.0, 1.0, 8.0, 8.0])
    boxes[:, 1, 1] = 0.1
    results = [ClassResult(objects=1, detections=1, eleven_points=0.5, area=0.4)]
    pictures, bars = network_figures({"fixed": boxes}, {"fixed": results}, images, ["cat"])
    assert [one.shape for one in pictures.images["fixed"]] == [(192, 192, 3)] * len(pictures.columns)
    assert set(pictures.captions["fixed"]) == {"1"}
    assert (bars.categories, dict(bars.values)) == (["cat"], {"fixed": [50.0]})
