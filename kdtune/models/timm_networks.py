"""The networks of timm by name, with a classifier for the data set's classes; requires the extra ``timm``."""

from functools import partial
from importlib.util import find_spec
from typing import Any

from torch import nn

from kdtune.catalog.packages import version_of
from kdtune.catalog.spelling import did_you_mean


class _Timm:
    """The scheme ``timm:NAME``."""

    def identify(self, name: str) -> str:
        """Return timm's version.

        Raises:
            ValueError: Timm is not installed, or has no network of this name.
        """
        if find_spec("timm") is None:
            raise ValueError(f"timm:{name} requires timm; install it with: pip install 'kdtune[timm]'")
        import timm

        if not timm.is_model(name.partition(".")[0]):
            raise ValueError(f"timm has no network {name!r}; {did_you_mean(name, timm.list_models()[:])}")
        return version_of("timm")

    def load(self, name: str) -> Any:
        """Return a function that builds the network."""
        return partial(build, name)


TIMM = _Timm()


def build(name: str, num_classes: int, in_channels: int = 3, **options: Any) -> nn.Module:
    """Build a network with untrained weights.

    Args:
        name: Timm's name of the network.
        num_classes: Number of logits per image.
        in_channels: Channels of the images.
        options: Keyword arguments of ``timm.create_model``, such as ``img_size`` of a transformer.
    """
    import timm

    network: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=num_classes, in_chans=in_channels, **options
    )
    return network
