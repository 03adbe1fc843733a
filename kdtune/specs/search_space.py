"""Search spaces: the values from which strategies choose."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator, model_validator

Point = dict[str, Any]
"""Values that a strategy proposes, such as ``{"tau": 4}``; they replace the study's values."""

#: Values that can be searched, with their valid range (both ends included; None for no limit).
SEARCHABLE: dict[str, tuple[float | None, float | None]] = {
    "tau": (None, None),
    "alpha": (0.0, 1.0),
    "learning_rate": (None, None),
    "weight_decay": (0.0, None),
}

#: Greater numbers may not fit into float32.
GREATEST = 1e38

#: Upper limit of points that catches typing errors and avoids lists that do not fit into memory.
MAX_POINTS = 100_000

#: Searchable values that have to be greater than 0, because 0 is meaningless.
POSITIVE = frozenset({"tau", "learning_rate"})


class Dimension(BaseModel):
    """One dimension: ``low`` and ``high``, optionally with ``step`` and ``log``, or a list of ``values``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = Field(default=None, gt=0)
    log: bool = False
    values: tuple[int | float, ...] | None = None

    @field_validator("values", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _consistent(self) -> "Dimension":
        if self.values is not None:
            if (self.low, self.high, self.step) != (None, None, None):
                raise ValueError("give either 'values' or 'low' and 'high', not both")
            if not self.values:
                raise ValueError("'values' is empty; give at least one value")
            if len(set(self.values)) != len(self.values):
                raise ValueError("'values' has a value twice")
        elif self.low is None or self.high is None:
            raise ValueError("needs 'low' and 'high', or a list of 'values'")
        elif self.low > self.high:
            raise ValueError(f"low ({self.low}) is greater than high ({self.high})")
        numbers = [*(self.values or ()), *(one for one in (self.low, self.high, self.step) if one is not None)]
        if any(abs(number) > GREATEST for number in numbers):
            raise ValueError(f"no number may be greater than {GREATEST:g}")
        if self.count is not None and self.count > MAX_POINTS:
            raise ValueError(f"has more than {MAX_POINTS:,} points; give a larger 'step', or none")
        if self.log and self.bounds[0] <= 0:
            raise ValueError("'log' needs values greater than 0")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        if self.values is not None:
            return min(self.values), max(self.values)
        assert self.low is not None and self.high is not None
        return self.low, self.high

    @property
    def is_finite(self) -> bool:
        """Whether the values can be enumerated."""
        return self.values is not None or self.step is not None or self.low == self.high

    @property
    def count(self) -> int | None:
        """Number of points; None for an interval without a step."""
        if self.values is not None:
            return len(self.values)
        assert self.low is not None and self.high is not None
        if self.low == self.high:
            return 1
        return None if self.step is None else _steps(self.low, self.high, self.step)

    def points(self) -> list[int | float]:
        """Return every value, in order. Integers remain integers.

        Raises:
            ValueError: The dimension is an interval without a step.
        """
        if self.values is not None:
            return list(self.values)
        assert self.low is not None and self.high is not None
        if self.low == self.high:
            return [self.low]
        if self.step is None:
            raise ValueError("an interval without 'step' has no points to enumerate")
        values = [self.low + index * self.step for index in range(_steps(self.low, self.high, self.step))]
        if all(isinstance(value, int) for value in values):
            return values
        # 0.1 + 2 * 0.1 is 0.30000000000000004, so values are rounded to twelve digits and kept within the bounds.
        return [min(max(float(f"{value:.12g}"), self.low), self.high) for value in values]

    def weights(self) -> list[float]:
        """Return the relative probability of each of :meth:`points`: equal, or proportional to 1/x with ``log``."""
        points = self.points()
        return [1.0 / point for point in points] if self.log else [1.0] * len(points)


def _steps(low: float, high: float, step: float) -> int:
    """Return the number of values from ``low`` to ``high``, both included, up to just above the permitted maximum."""
    return math.floor(min((high - low) / step, MAX_POINTS) + 1e-9) + 1


class SearchSpace(RootModel[dict[str, Dimension]]):
    """The dimensions of a search, by name."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _known(self) -> "SearchSpace":
        if not self.root:
            raise ValueError("the search space is empty: give at least [tau] with low and high")
        for name, dimension in self.root.items():
            if name not in SEARCHABLE:
                continue  # reported by the loader, with a suggestion
            low, high = dimension.bounds
            least, greatest = SEARCHABLE[name]
            if name in POSITIVE and low <= 0:
                raise ValueError(f"{name} has to be greater than 0, low is {low}")
            if (least is not None and low < least) or (greatest is not None and high > greatest):
                raise ValueError(f"{name} has to lie in [{least}, {'...' if greatest is None else greatest}]")
        if math.prod(dimension.count or 1 for dimension in self.root.values()) > MAX_POINTS:
            raise ValueError(
                f"the search space has more than {MAX_POINTS:,} points; give larger steps or fewer dimensions"
            )
        return self

    def __iter__(self) -> Iterator[str]:  # type: ignore[override] # iterates over names, like a mapping
        return iter(self.root)

    def __getitem__(self, name: str) -> Dimension:
        return self.root[name]

    def __contains__(self, name: object) -> bool:
        return name in self.root

    @property
    def is_finite(self) -> bool:
        """Whether every dimension can be enumerated."""
        return all(dimension.is_finite for dimension in self.root.values())

    def points(self) -> list[Point]:
        """Return the full grid; the last dimension varies fastest."""
        names = list(self.root)
        return [dict(zip(names, values, strict=True)) for values in product(*(self.root[n].points() for n in names))]
