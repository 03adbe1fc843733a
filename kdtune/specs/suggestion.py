"""What a strategy suggests: values to try, and what a training does differently from the study's other trainings."""

from numbers import Real
from typing import Any

from pydantic import Field, ValidationError

from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, SpecError
from kdtune.specs.component import Component
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.search_space import SEARCHABLE, Point
from kdtune.specs.validation_messages import faults_of


class Suggestion(FrozenModel):
    """One training that a strategy wants to see the outcome of.

    Attributes:
        values: Searched values by name; each replaces the option of that name.
        method: The loss, where it is not the study's.
        temperature: What decides tau, where that is not a fixed value.
        longer: Factor of the study's epochs.
        restart: Counted from 0, the repeat's own training; others begin with other weights and another order.
    """

    values: dict[str, int | float] = {}
    method: Component | None = None
    temperature: Component | None = None
    longer: float = Field(default=1.0, gt=0)
    restart: int = Field(default=0, ge=0)

    def as_point(self) -> Point:
        """The suggestion as one flat table, as results and ``--json`` have it: ``{"tau": 4}``.

        A component is named by ``temperature`` or ``loss``, with its options beside it. What is not suggested is left
        out.
        """
        point: Point = dict(self.values)
        if self.temperature:
            point |= {"temperature": self.temperature.name, **self.temperature.options}
        if self.method:
            point |= {"loss": self.method.name, **self.method.options}
        if self.longer != 1:
            point["longer"] = self.longer
        if self.restart:
            point["restart"] = self.restart
        return point

    @classmethod
    def from_point(cls, point: Point) -> "Suggestion":
        """Read a flat table, as :meth:`as_point` makes it of a suggestion that names one component at most.

        What is neither a searched value nor a key of a suggestion is an option of the named temperature, or else of
        the named loss.

        Raises:
            SpecError: A key is unknown, or a number is none.
        """
        components = {key: point[key] for key in ("temperature", "loss") if key in point}
        numbers = [*SEARCHABLE, "longer", "restart"]
        options = {key: value for key, value in point.items() if key not in (*numbers, *components)}
        faults = [
            Fault("point", key, f"has to be a number, got {point[key]!r}")
            for key in numbers
            if key in point and not _is_number(point[key])
        ]
        faults += [
            Fault("point", key, f"has to be a name, got {name!r}")
            for key, name in components.items()
            if not isinstance(name, str)
        ]
        if options and not components:
            known = [*numbers, "temperature", "loss"]
            faults += [Fault("point", key, f"cannot be searched; {did_you_mean(key, known)}") for key in options]
        if faults:
            raise SpecError(faults)
        owner = next(iter(components), None)
        made = {key: Component(name=name, options=options if key == owner else {}) for key, name in components.items()}
        try:
            return cls(
                values={key: _plain(point[key]) for key in SEARCHABLE if key in point},
                method=made.get("loss"),
                temperature=made.get("temperature"),
                longer=float(point.get("longer", 1)),
                restart=point.get("restart", 0),
            )
        except ValidationError as error:
            raise SpecError(faults_of(error, cls, "point")) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _plain(value: Any) -> int | float:
    """A number of Python's own; search algorithms may give NumPy's."""
    return value if type(value) is int else float(value)
