"""Suggestions of strategies: values to try, and other deviations from the study's settings."""

from numbers import Real
from typing import Any

from pydantic import Field, ValidationError

from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, SpecError
from kdtune.specs.component import Component
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.quantisation import KEY as QUANTISED
from kdtune.specs.quantisation import Quantisation
from kdtune.specs.search_space import POSITIVE, SEARCHABLE, Point
from kdtune.specs.validation_messages import faults_of


class Suggestion(FrozenModel):
    """One training that a strategy suggests.

    Attributes:
        values: Searched values by name; each replaces the option of that name.
        method: The loss; None for that of the study.
        temperature: The temperature policy; None for a fixed tau.
        longer: Factor of the study's epochs.
        until: Part of the epochs after which the training stops, as a fraction; a later suggestion of the same training
            may let it go on from there. It does not belong to the identity of the training.
        restart: Number of the restart; 0 is the original training. Restarts have other initial weights and another
            order of the images.
        quantisation: Quantisation of the student of another strategy; None for the training of a float student.
    """

    values: dict[str, int | float] = {}
    method: Component | None = None
    temperature: Component | None = None
    longer: float = Field(default=1.0, gt=0)
    restart: int = Field(default=0, ge=0)
    until: float = Field(default=1.0, gt=0, le=1)
    quantisation: Quantisation | None = None

    def as_point(self) -> Point:
        """Return the suggestion as a flat table, as in results and ``--json``: ``{"tau": 4}``.

        A component is named by ``temperature`` or ``loss``, with its options in the same table. Default values are
        left out, and so is :attr:`until`.
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
        return point | (self.quantisation.as_point() if self.quantisation else {})

    def value_problems(self) -> dict[str, str]:
        """Return by key why a searched value cannot be used; tau is validated by the temperature that uses it."""
        problems = {}
        for key, value in self.values.items():
            low, high = SEARCHABLE.get(key, (None, None))
            if key in POSITIVE - {"tau"} and value <= 0:
                problems[key] = f"has to be greater than 0, got {value}"
            elif (low is not None and value < low) or (high is not None and value > high):
                problems[key] = f"has to lie in [{low:g}, {'...' if high is None else f'{high:g}'}], got {value}"
        return problems

    @classmethod
    def from_point(cls, point: Point) -> "Suggestion":
        """Return the suggestion of a flat table that :meth:`as_point` made of a suggestion with at most one component.

        A key that is neither a searched value nor a field of a suggestion is an option of the temperature, or of the
        loss if the table has no temperature.

        Raises:
            SpecError: A key is unknown, or a value is not valid.
        """
        components = {key: point[key] for key in ("temperature", "loss") if key in point}
        numbers = [*SEARCHABLE, "longer", "restart"]
        of_quantisation = {QUANTISED, *Quantisation.option_keys()} if QUANTISED in point else set()
        known_keys = {*numbers, *components, *of_quantisation}
        options = {key: value for key, value in point.items() if key not in known_keys}
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
        try:
            made = {
                key: Component(name=name, options=options if key == owner else {}) for key, name in components.items()
            }
            return cls(
                values={key: _plain(point[key]) for key in SEARCHABLE if key in point},
                method=made.get("loss"),
                temperature=made.get("temperature"),
                longer=float(point.get("longer", 1)),
                restart=point.get("restart", 0),
                quantisation=Quantisation.from_point(point),
            )
        except ValidationError as error:
            raise SpecError(faults_of(error, cls, "point")) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _plain(value: Any) -> int | float:
    """Return a number as a Python number; search algorithms may use NumPy's."""
    return value if type(value) is int else float(value)
