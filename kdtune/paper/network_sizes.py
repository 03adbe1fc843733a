"""Sizes of the networks that the paper's Table 3 lists, as kdtune builds them."""

from functools import cache


@cache
def million_parameters(network: str, classes: int) -> float:
    """Return the number of parameters of a built-in network for images in colour, in millions.

    Args:
        network: Name of the network.
        classes: Number of classes of the data set.
    """
    from kdtune.models.building import build_network, build_without_values
    from kdtune.specs.component import Component

    built = build_without_values(lambda: build_network(Component(name=network), 3, classes))
    return sum(one.numel() for one in built.parameters()) / 1e6
