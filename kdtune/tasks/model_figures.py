"""What a task shows of chosen models: numbers as bars or matrices, and pictures. The report draws them.

The classes import neither torch nor matplotlib, so that a report can be made from kept files alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from kdtune.catalog.builtin import TASKS

if TYPE_CHECKING:
    import numpy as np
    import torch

    from kdtune.data.batches import ImageSet


@dataclass(frozen=True, kw_only=True)
class ModelFigure:
    """What all of these figures have.

    Attributes:
        name: Short name of lower-case letters, digits and hyphens, of which a file's name and an id are made.
        title: Title.
        description: What the figure shows and how to read it, in complete sentences.

    Raises:
        ValueError: The name has other characters.
    """

    name: str
    title: str
    description: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise ValueError(f"a figure's name has lower-case letters, digits and hyphens only, unlike {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Bars(ModelFigure):
    """A number for each category and model.

    Attributes:
        axis: What the numbers are, with their unit.
        categories: Names of the categories.
        values: Numbers by model, one for each category; None where there is none.
    """

    axis: str
    categories: Sequence[str]
    values: Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, kw_only=True)
class Matrices(ModelFigure):
    """A confusion matrix for each model.

    Attributes:
        classes: Names of the classes.
        counts: Images by model, a row for each true class and a column for each predicted one.
    """

    classes: Sequence[str]
    counts: Mapping[str, Sequence[Sequence[int]]]


@dataclass(frozen=True, kw_only=True)
class PictureRows(ModelFigure):
    """A row of pictures for each model.

    Attributes:
        columns: What each column shows.
        images: PictureRows by row, uint8, each (height, width, 3).
        captions: A few words about each picture, by row.
    """

    columns: Sequence[str]
    images: "Mapping[str, Sequence[np.ndarray]]"
    captions: Mapping[str, Sequence[str]]


class DrawsNetworks(Protocol):
    """A task that can show what networks do with the test images; a task need not be able to."""

    def figures(
        self, networks: "Mapping[str, torch.nn.Module]", part: "ImageSet", class_names: Sequence[str]
    ) -> list[ModelFigure | str]:
        """Return figures of networks.

        Args:
            networks: Networks by name, in inference mode, in float32, on the device of the images.
            part: The test images.
            class_names: Of the first classes.

        Returns:
            Figures, and sentences about figures that cannot be drawn.
        """


def figures_of_documents(task: str, documents: Mapping[str, Mapping[str, str]]) -> list[ModelFigure]:
    """Return the figures that a task draws from the CSV files about chosen models; none if it has no such figures.

    Args:
        task: Name of the task.
        documents: By model, the texts of its files by their names, such as ``confusion``.
    """
    reference = TASKS.facts_of(task).get("document_figures")
    if reference is None or not documents:
        return []
    module, _, function = reference.partition(":")
    draw: Callable[[Mapping[str, Mapping[str, str]]], list[ModelFigure]] = getattr(import_module(module), function)
    return draw(documents)
