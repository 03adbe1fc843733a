"""From the host's memory to the training device, without a wait."""

import torch


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on another device; to a GPU it is on its way there, and what is computed with it comes after it.

    The GPU copies from pinned memory alone without the host: from any other the host waits for all that the GPU has
    been given to do. What is pinned here stays until it is copied, for its allocator notes the copy.

    Args:
        tensor: On the host, or there already.
        device: Where it is to go.
    """
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    with torch.cuda.device(device):  # each thread has a present GPU of its own, for which memory is pinned
        return tensor.pin_memory().to(device, non_blocking=True)
