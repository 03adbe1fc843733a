"""Asynchronous transfer from host memory to the training device."""

import torch


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device. A copy to a GPU is asynchronous, and later operations on the GPU wait for it.

    Only copies from pinned memory are asynchronous; for other memory the host waits until the GPU has finished all
    queued work. The allocator keeps the pinned memory until it has been copied.

    Args:
        tensor: A tensor on the host or on the device.
        device: The target device.
    """
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    with torch.cuda.device(device):  # each thread has a present GPU of its own, for which memory is pinned
        return tensor.pin_memory().to(device, non_blocking=True)
