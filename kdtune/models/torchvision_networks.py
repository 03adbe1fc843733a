"""Torchvision's classification networks by name, with a classifier for the data set's classes."""

from functools import partial
from typing import Any

from torch import nn

from kdtune.catalog.packages import version_of
from kdtune.catalog.spelling import did_you_mean
from kdtune.models.first_convolution import replace_first_convolution


class _Torchvision:
    """The scheme ``torchvision:NAME``."""

    def identify(self, name: str) -> str:
        """Return torchvision's version.

        Raises:
            ValueError: Torchvision has no classification network of this name.
        """
        from torchvision import models

        known = models.list_models(module=models)
        if name not in known:
            raise ValueError(f"torchvision has no classification network {name!r}; {did_you_mean(name, known)}")
        return version_of("torchvision")

    def load(self, name: str) -> Any:
        """Return a function that builds the network."""
        return partial(build, name)


TORCHVISION = _Torchvision()


def build(name: str, num_classes: int, in_channels: int = 3, **options: Any) -> nn.Module:
    """Build a network with untrained weights.

    Args:
        name: Torchvision's name of the network.
        num_classes: Number of logits per image.
        in_channels: Channels of the images; if they are not 3, the first convolution is replaced.
        options: Keyword arguments of torchvision's function, such as ``dropout``.
    """
    from torchvision import models

    if name.startswith(("googlenet", "inception")):
        options = {"aux_logits": False, "init_weights": True, **options}  # auxiliary classifiers are not distilled
    network = models.get_model(name, weights=None, num_classes=num_classes, **options)
    if in_channels != 3:
        replace_first_convolution(network, in_channels)
    return network
