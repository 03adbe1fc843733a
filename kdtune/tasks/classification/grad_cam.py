"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): which parts of an image speak for a class."""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import nn


def grad_cam(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor | None:
    """Return how much each pixel's surroundings raise the logit of a class.

    The channels of the last convolution are weighted by the mean gradient of the logit, summed, and cut off below 0.
    The last convolution is the one that ran last, among those with an output of more than one pixel.

    Args:
        network: From images to logits, in inference mode.
        images: Normalised images, float32, (n, channels, height, width).
        classes: The class of each image, int64, (n,).

    Returns:
        Between 0 and 1, the greatest value of each image being 1 unless all are 0, float32, (n, height, width); None
        if the network has no such convolution.
    """
    outputs: list[torch.Tensor] = []

    def keep(_: nn.Module, __: object, output: torch.Tensor) -> None:
        if output.dim() == 4 and output[0, 0].numel() > 1:
            outputs.append(output)

    hooks = [one.register_forward_hook(keep) for one in network.modules() if isinstance(one, nn.Conv2d)]
    try:
        with torch.enable_grad():  # frozen weights need no gradient, so the images do
            logits = network(images.detach().requires_grad_().clone())  # a copy may be changed in place
    finally:
        for hook in hooks:
            hook.remove()
    if not outputs:
        return None
    maps = outputs[-1]
    score = logits.gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, maps, allow_unused=True)
    if gradient is None:  # the logits do not depend on this convolution
        return None
    heat = (gradient.mean((2, 3), keepdim=True) * maps.detach()).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat.float(), images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
