"""Shapes of a network's tensors, and the sizes of the network to which given tensors belong."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Literal

import torch

from kdtune.artifacts.weight_files import Weights
from kdtune.catalog.builtin import MODELS
from kdtune.errors import UsageError
from kdtune.models.building import build_network, build_without_values
from kdtune.specs.component import Component

#: End of the names of counters, which files from before 2018 lack and which are not used here.
COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class Sizes:
    """The sizes with which networks are built: channels of the images, and number of classes."""

    channels: int
    classes: int


class NetworkShapes:
    """Tensors without values of one network, built with any sizes."""

    def __init__(self, network: Component, sizes: Sizes) -> None:
        """Prepare for a network; nothing is built yet.

        Args:
            network: The network.
            sizes: The sizes of the study's data set.
        """
        self.network = network
        self.sizes = sizes
        self.with_sizes = cache(self._with_sizes)  # building a large network takes long

    @cached_property
    def tensors(self) -> Weights:
        """The tensors with the sizes of the study's data set.

        Raises:
            UsageError: The network cannot be built.
        """
        return self.with_sizes(self.sizes)

    @property
    def constants(self) -> set[str]:
        """Names of the tensors that no training changes: neither parameters nor statistics of normalisation layers."""
        return {
            name
            for name, one in self.tensors.items()
            if not isinstance(one, torch.nn.Parameter) and ".running_" not in f".{name}"
        }

    def sizes_of(self, given: Weights) -> Sizes | None:
        """Return the sizes with which the network has given tensors; None if it has other tensors with all sizes.

        A size that no tensor's shape depends on is that of the study's data set.
        """
        if not any(differences(self.tensors, given)):
            return self.sizes
        found = Sizes(
            # The first of these with which the network can be built; convolutions with groups accept few numbers.
            channels=self._size_of(given, "channels", (3, 1, 6)),
            classes=self._size_of(given, "classes", (self.sizes.classes + 1, 2 * self.sizes.classes)),
        )
        try:
            return None if any(differences(self.with_sizes(found), given)) else found
        except UsageError:
            return None

    def _size_of(self, given: Weights, key: Literal["channels", "classes"], others: tuple[int, ...]) -> int:
        """Return the size on which most of the given shapes agree; that of the study's data set if none depends on it.

        Args:
            given: The given tensors.
            key: Which of the sizes.
            others: Values with which the network is built to see which shapes depend on the size.
        """
        usual: int = getattr(self.sizes, key)
        for other in others:
            if other == usual:
                continue
            try:
                tensors = self.with_sizes(replace(self.sizes, **{key: other}))
            except UsageError:  # such as a network for one number of classes only
                continue
            solutions = Counter(_solutions(self.tensors, tensors, given, usual, other)).most_common(1)
            return solutions[0][0] if solutions else usual
        return usual

    def _with_sizes(self, sizes: Sizes) -> Weights:
        if self.network.name in MODELS and not self.network.options:
            return _of_built_in(self.network.name, sizes)
        return _shapes(self.network, sizes)


@cache
def _of_built_in(name: str, sizes: Sizes) -> Weights:
    """Return the tensors of one of kdtune's own networks: weights that do not fit are compared with each of them."""
    return _shapes(Component(name=name), sizes)


def _shapes(network: Component, sizes: Sizes) -> Weights:
    built = build_without_values(lambda: build_network(network, sizes.channels, sizes.classes))
    return {name: one for name, one in built.state_dict(keep_vars=True).items() if isinstance(one, torch.Tensor)}


def _solutions(one: Weights, other: Weights, given: Weights, size: int, other_size: int) -> Iterator[int]:
    """Yield a size for each dimension that depends on it, which is assumed to grow linearly.

    Args:
        one: Tensors of the network with ``size``.
        other: Tensors of the network with ``other_size``.
        given: The given tensors.
        size: Number of classes, or of channels.
        other_size: Another number.
    """
    for name in one:
        if name not in other or name not in given or not one[name].ndim == other[name].ndim == given[name].ndim:
            continue
        for here, there, wanted in zip(one[name].shape, other[name].shape, given[name].shape, strict=True):
            if here != there:
                more, rest = divmod((wanted - here) * (other_size - size), there - here)
                if rest == 0 and size + more > 0:
                    yield size + more


def differences(wanted: Weights, given: Weights) -> tuple[list[str], list[str], list[str]]:
    """Return the missing names, the unexpected names, and the names with another shape, these with both shapes."""
    missing = [name for name in wanted if name not in given and not name.endswith(COUNTER)]
    unlike = [
        f"{name} ({_described(given[name])} instead of {_described(wanted[name])})"
        for name in wanted
        if name in given and _described(given[name]) != _described(wanted[name])
    ]
    return missing, [name for name in given if name not in wanted], unlike


def _described(value: torch.Tensor) -> str:
    shape = "x".join(map(str, value.shape)) or "a number"
    plain = value.layout is torch.strided and not value.is_quantized and not value.is_complex()
    return shape if plain else f"{shape} {value.dtype}"
