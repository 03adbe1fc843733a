"""Initial weights that several architectures share."""

import math

from torch import nn


def he_normal(model: nn.Sequential) -> nn.Sequential:
    """Draw the convolutions' weights as He et al. (2015) do, in place, and set their biases to 0.

    A weight is normal with variance 2 / (kernel height x kernel width x output channels). Batch normalisations
    keep PyTorch's scale of 1 and shift of 0; linear layers are left as they are.

    Returns:
        The same model.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / (math.prod(module.kernel_size) * module.out_channels)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
