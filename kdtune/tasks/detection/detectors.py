"""Single-shot detectors from torchvision's parts: a backbone, heads, and the anchors of each map."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList


class Detector(nn.Module):
    """A backbone, the heads on its maps, and their anchors.

    A network of one's own for detection is one of these, or any ``torch.nn.Module`` with the same :meth:`forward` and
    :meth:`anchors`.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, boxes: DefaultBoxGenerator) -> None:
        """Put the parts together.

        Args:
            backbone: From images to a sequence of maps, or a mapping with the maps as values.
            head: From a list of maps to a mapping with ``cls_logits``, (n, anchors, classes + 1), the background
                first, and ``bbox_regression``, (n, anchors, 4); such as torchvision's ``SSDHead``.
            boxes: The anchors.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.boxes = boxes

    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps = self.backbone(images)
        return list(maps.values() if isinstance(maps, Mapping) else maps)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to the logits of all anchors, followed by the offsets of all anchors.

        Args:
            images: float32, (n, channels, height, width).

        Returns:
            (n, anchors * (classes + 1) + anchors * 4).
        """
        found = self.head(self._maps(images))
        return torch.cat([found["cls_logits"].flatten(1), found["bbox_regression"].flatten(1)], dim=1)

    @torch.no_grad()
    def anchors(self, shape: Sequence[int]) -> torch.Tensor:
        """Return the anchors for images of a shape (channels, height, width): boxes in pixels, (anchors, 4)."""
        was_training = self.training
        image = torch.zeros(1, *shape, device=next(self.parameters()).device)
        maps = [torch.empty(1, 1, *one.shape[2:]) for one in self.eval()._maps(image)]
        self.train(was_training)
        pictures = ImageList(torch.empty(0, *shape), [(shape[1], shape[2])])
        found: list[torch.Tensor] = self.boxes(pictures, maps)
        return found[0]


class Maps(nn.Module):
    """Blocks one after the other, of which some give a map."""

    def __init__(self, blocks: Sequence[nn.Module], first: int = 0) -> None:
        """Keep the blocks.

        Args:
            blocks: Each takes the output of the one before it.
            first: Number of the first block whose output is a map, counted from 0; those after it give maps too.
        """
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.first = first

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Map images to the maps, finest first."""
        found = images
        maps = []
        for place, block in enumerate(self.blocks):
            found = block(found)
            if place >= self.first:
                maps.append(found)
        return maps


def assembled(
    backbone: nn.Module,
    channels: Sequence[int],
    boxes: DefaultBoxGenerator,
    num_classes: int,
    head: Callable[[list[int], list[int], int], Any],
) -> Detector:
    """Return a detector.

    Args:
        backbone: See :class:`Detector`.
        channels: Of each map.
        boxes: The anchors.
        num_classes: Number of classes of objects, without the background.
        head: Makes the heads from the channels of each map, the anchors at each of its places, and the number of
            classes with the background.
    """
    return Detector(backbone, head([*channels], boxes.num_anchors_per_location(), num_classes + 1), boxes)
