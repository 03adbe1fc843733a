"""Boxes: overlap, and offsets relative to anchors.

A box is (left, top, right, bottom) in pixels, continuous: a pixel is one unit wide, and the box of the pixel at the
upper left corner is (0, 0, 1, 1).
"""

import math

import torch

#: Factors of the offsets of centre and size, as published with SSD (torchvision's ``BoxCoder((10, 10, 5, 5))``).
CENTRE_FACTOR, SIZE_FACTOR = 10.0, 5.0

#: Upper limit of the decoded logarithm of a size relative to the anchor's, which keeps sizes finite; torchvision's.
_GREATEST_LOG_SIZE = math.log(1000.0 / 16)


def area(boxes: torch.Tensor) -> torch.Tensor:
    """Return the areas of boxes, (..., 4) to (...); 0 for an inverted box."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def overlaps(some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of all pairs of boxes.

    Args:
        some: (..., a, 4).
        others: (..., b, 4).

    Returns:
        (..., a, b), in [0, 1]; 0 where neither box has an area.
    """
    first, second = some.unsqueeze(-2), others.unsqueeze(-3)
    upper_left = torch.maximum(first[..., :2], second[..., :2])
    lower_right = torch.minimum(first[..., 2:], second[..., 2:])
    common = (lower_right - upper_left).clamp(min=0).prod(dim=-1)
    union = area(first) + area(second) - common
    return torch.where(union > 0, common / union.clamp(min=1e-12), 0.0)


def encode(boxes: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Return the offsets of boxes from anchors; both have the shape (..., 4), and positive sizes."""
    centres, sizes = _centres_and_sizes(boxes)
    anchor_centres, anchor_sizes = _centres_and_sizes(anchors)
    moved = CENTRE_FACTOR * (centres - anchor_centres) / anchor_sizes
    return torch.cat([moved, SIZE_FACTOR * torch.log(sizes / anchor_sizes)], dim=-1)


def decode(offsets: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Return the boxes with the given offsets from anchors, the inverse of :func:`encode`."""
    anchor_centres, anchor_sizes = _centres_and_sizes(anchors)
    centres = anchor_centres + offsets[..., :2] / CENTRE_FACTOR * anchor_sizes
    sizes = anchor_sizes * torch.exp((offsets[..., 2:] / SIZE_FACTOR).clamp(max=_GREATEST_LOG_SIZE))
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=-1)


def clipped(boxes: torch.Tensor, height: float, width: float) -> torch.Tensor:
    """Return boxes cut to the image."""
    greatest = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), greatest)


def _centres_and_sizes(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    upper_left, lower_right = boxes[..., :2], boxes[..., 2:]
    return (upper_left + lower_right) / 2, lower_right - upper_left
