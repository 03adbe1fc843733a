import pytest
import torch

from kdtune.data.augment import augment

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("changes", [("crop",), ("flip",), ("crop", "flip"), ("crop", "flip", "rotate")])
def test_images_are_changed_as_on_a_cpu(device, changes):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4096, 3, 32, 32), dtype=torch.uint8, generator=generator)
    index = torch.randperm(len(images), generator=generator)
    there = augment(images.to(device), index.to(device), changes, 3, 5).cpu()
    here = augment(images, index, changes, 3, 5)
    differing = int((there != here).flatten(1).any(dim=1).sum())
    # Sine and cosine may differ in their last bit, which moves a pixel whose source lies on a border.
    assert differing <= (len(images) // 500 if "rotate" in changes else 0)
