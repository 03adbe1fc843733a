"""Random numbers that depend on a seed, an epoch and an image's number alone."""

import torch

from kdtune.specs.seeds import derive_seed


def random_fractions(index: torch.Tensor, seed: int, epoch: int, stream: int) -> torch.Tensor:
    """Return a uniform number in [0, 1) for each image, float64, (n,), as a hash of the arguments.

    Numbers from a generator would depend on the order of the draws, and differ between devices.

    Args:
        index: Numbers of the images, int64, (n,).
        seed: Seed of the training.
        epoch: Counted from 0.
        stream: Number of the random choice.
    """
    key = derive_seed(seed, "augment", epoch, stream)
    mask = 0xFFFFFFFF
    x = (index + (key & mask)) & mask
    for turn in (key >> 32, 0):
        # C. Wellons' 32-bit mixer "lowbias32"; products of two numbers below 2^32 keep their low half in int64.
        x = x ^ (x >> 16)
        x = (x * 0x21F0AAAD) & mask
        x = x ^ (x >> 15)
        x = (x * 0x735A2D97) & mask
        x = x ^ (x >> 15) ^ (turn & mask)
    return x.double() / 2**32
