"""The conformance suite over each kind of source."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from kdtune.specs.component import Component
from kdtune.testing.datasets import DatasetConformance

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 6, 6, 3), dtype=np.uint8)
LABELS = np.arange(10) % 2


def as_arrays(brightness=0):
    images = np.maximum(PIXELS, brightness)
    return (images[:6], LABELS[:6]), (images[6:], LABELS[6:]), ["cats", "dogs"]


def as_tensors(brightness=0):
    images = torch.from_numpy(np.maximum(PIXELS, brightness)).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(LABELS)
    return TensorDataset(images[:6], labels[:6]), TensorDataset(images[6:], labels[6:])


def as_pictures(brightness=0):
    pairs = [
        (Image.fromarray(np.maximum(pixels, brightness)), int(label))
        for pixels, label in zip(PIXELS, LABELS, strict=True)
    ]
    return pairs[:6], pairs[6:]


class TestFunctions(DatasetConformance):
    """Functions that return arrays, tensors or pictures."""

    @pytest.fixture(params=["as_arrays", "as_tensors", "as_pictures"])
    def dataset(self, request):
        return Component(name=f"{__name__}:{request.param}")

    @pytest.fixture
    def altered(self, dataset):
        return lambda: dataset.model_copy(update={"options": {"brightness": 9}})


class TestFolders(DatasetConformance):
    """Folders of pictures with a test part, and with classes alone."""

    @pytest.fixture(params=[True, False], ids=["parts", "classes alone"])
    def dataset(self, request, tmp_path):
        for number, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
            part = tmp_path / ("train" if number < 6 else "test") if request.param else tmp_path
            folder = part / ("cats", "dogs")[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        return Component(name=f"folder:{tmp_path}", options={"image_size": 8})

    @pytest.fixture
    def altered(self, dataset, tmp_path):
        def alter():
            file = next(tmp_path.rglob("0.png"))
            Image.fromarray(255 - PIXELS[0]).save(file)
            return dataset

        return alter


def broken(seed=0):
    return (PIXELS[:6], LABELS[:6]), (PIXELS[6:], LABELS[6:])


def test_the_suite_refuses_a_data_set_that_is_another_one_each_time(tmp_path_factory, monkeypatch):
    draws = iter(range(9))
    monkeypatch.setattr(f"{__name__}.broken", lambda: as_arrays(next(draws)))
    suite, component = DatasetConformance(), Component(name=f"{__name__}:broken")
    with pytest.raises(AssertionError):
        suite.test_decoding_twice_gives_the_same(component, tmp_path_factory, monkeypatch)
