"""Metrics that can decide a study, free of torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The metric that results name by itself. Any other one that decides a study stands beside it as the objective.
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Metric:
    """A measure of how good a network is.

    Attributes:
        name: Its key in results, such as ``accuracy``.
        higher_is_better: Whether larger values are better.
        unit: ``fraction`` for values in [0, 1], which tables show as percentages.
        resolution: Smallest difference that tables show, in the unit.
    """

    name: str
    higher_is_better: bool = True
    unit: str = "fraction"
    resolution: float = 0.001

    @property
    def title(self) -> str:
        """Its name in the head of a table, such as ``balanced acc.``."""
        words = self.name.replace("_", " ").replace("accuracy", "acc.").split()
        return " ".join("mAP" if word == "map" else word for word in words)

    @property
    def shown_unit(self) -> str:
        """Unit of the values that tables show: ``%`` for fractions."""
        return "%" if self.unit == "fraction" else self.unit

    @property
    def difference_unit(self) -> str:
        """Unit of differences in tables: ``points``, of percentages, for fractions."""
        return "points" if self.unit == "fraction" else self.unit

    @property
    def heading(self) -> str:
        """The head of a column with its values, such as ``acc. %``."""
        return f"{self.title} {self.shown_unit}".rstrip()

    @property
    def scale(self) -> int:
        """By what values are multiplied before tables show them."""
        return 100 if self.unit == "fraction" else 1

    @property
    def decimals(self) -> int:
        """Number of decimals that tables show of its values."""
        shown = self.resolution * self.scale
        return min(6, max(0, math.ceil(-math.log10(shown) - 1e-9))) if shown > 0 else 3

    def score(self, value: float) -> float:
        """Return what search strategies maximise."""
        return value if self.higher_is_better else -value


def deciding_value(report: Mapping[str, Any]) -> float | None:
    """Return the validation metric that decides, from an epoch's report: the objective where it is not the accuracy."""
    value: float | None = report.get("val_objective")
    return report["val_accuracy"] if value is None else value
