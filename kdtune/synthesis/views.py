"""Random views of images, each with draws of its own, through which gradients flow."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name


def shifted(images: torch.Tensor, pixels: int, generator: torch.Generator, *, flip: bool) -> torch.Tensor:
    """Return images that are moved by up to some pixels in both directions, black where they leave gaps, and flipped.

    Args:
        images: (n, channels, height, width), with pixels from 0 to 1.
        pixels: Greatest move.
        generator: Source of the random numbers, on the CPU.
        flip: Whether images are flipped left to right with probability 1/2.
    """
    count, _, height, width = images.shape
    moves = torch.randint(-pixels, pixels + 1, (2, count), generator=generator)
    size = torch.ones(count)
    return _sampled(
        images, size * _sides(count, generator, flip=flip), size, 2 * moves[0] / width, 2 * moves[1] / height
    )


def resized_crops(images: torch.Tensor, least: float, generator: torch.Generator, *, flip: bool) -> torch.Tensor:
    """Return parts of the images, enlarged to their size, and flipped.

    Args:
        images: (n, channels, height, width).
        least: Least area of a part, as a fraction of the image. The sides differ by a factor of up to 4/3.
        generator: Source of the random numbers, on the CPU.
        flip: Whether images are flipped left to right with probability 1/2.
    """
    count = len(images)
    area, shape, x, y = torch.rand((4, count), generator=generator)
    side = (least + (1 - least) * area).sqrt()
    ratio = torch.exp((2 * shape - 1) * math.log(4 / 3)).sqrt()
    across, down = (side * ratio).clamp(max=1), (side / ratio).clamp(max=1)
    sides = _sides(count, generator, flip=flip)
    return _sampled(images, across * sides, down, (2 * x - 1) * (1 - across), (2 * y - 1) * (1 - down))


def _sides(count: int, generator: torch.Generator, *, flip: bool) -> torch.Tensor:
    """Return -1 for images that are flipped and 1 for the others, (n,)."""
    drawn = 2.0 * torch.randint(2, (count,), generator=generator) - 1
    return drawn if flip else torch.ones(count)


def _sampled(
    images: torch.Tensor, across: torch.Tensor, down: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Sample each image on a grid with a size and a centre in units of half the image, (n,) each."""
    nothing = torch.zeros_like(x)
    rows = torch.stack([torch.stack([across, nothing, x], 1), torch.stack([nothing, down, y], 1)], 1)
    grid = F.affine_grid(rows.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
