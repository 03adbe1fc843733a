"""Weight initialisation shared by several architectures."""

import math

from torch import nn


def he_normal(model: nn.Sequential) -> nn.Sequential:
    """Initialise the convolutions in place as in He et al. (2015), with biases of 0.

    Weights are normal with variance 2 / (kernel height x kernel width x output channels). Batch normalisations keep
    PyTorch's scale of 1 and shift of 0, and linear layers are not changed.

    Returns:
        The same model.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / (math.prod(module.kernel_size) * module.out_channels)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
