"""Range of temperatures at which losses can be computed in float32."""

from numbers import Real
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from kdtune.errors import Fault
from kdtune.specs.search_space import GREATEST
from kdtune.specs.study import Study

#: The smallest and the largest tau, both included. Every loss is computed in float32, which rounds with a relative
#: error of 1.2e-7 (eps) and represents numbers up to 3.4e38.
#:
#: For large tau, softened outputs approach 1/classes. Training uses their differences, which shrink in proportion to
#: (difference of logits)/tau, while the rounding error of each output remains eps. The gradient of ``hkd`` and ``dml``
#: therefore has a relative error of about tau eps / (difference of logits): 0.1 % at 1e4 if logits differ by 1, and
#: only noise from 1e7 on. The loss itself, a difference of logarithms, is less exact, but no choice depends on it.
#: From 2e19 on, tau^2 overflows and ``hkd`` is infinity times zero.
#:
#: For small tau, outputs depend on differences of logits of the size of tau, and a logit of 10 to 100 has a rounding
#: error of 1e-6 to 1e-5. At 1e-4 this is 1 to 10 %; below, rounding determines the outputs. The gradient grows as 1/tau
#: for ``dml`` and as 1/tau^2 for ``cmc``. At 1e-4, the squares in ``cmc`` overflow only for logits above 1e15.
TAU_RANGE = (1e-4, 1e4)


#: Pydantic context for studies that have run, in which temperatures out of range are accepted.
HAS_RUN = {"has_run": True}


def tau_problem(tau: Any) -> str | None:
    """Return why a temperature is not valid for a training; None if it is valid."""
    low, high = TAU_RANGE
    if isinstance(tau, Real) and not isinstance(tau, bool) and low <= float(tau) <= high:
        return None
    return f"has to lie between {low:g} and {high:g}, because float32 is not exact enough beyond"


def in_range(tau: float, info: ValidationInfo) -> float:
    """Return a temperature; raise ValueError if it is out of range, unless the study has run."""
    if info.context != HAS_RUN and (problem := tau_problem(tau)):
        raise ValueError(problem)
    return tau


#: A temperature among the options of a component.
Tau = Annotated[float, Field(gt=0, le=GREATEST), AfterValidator(in_range)]

#: A temperature that is shown as the user wrote it; an integer remains an integer.
TauAsWritten = Annotated[int | float, Field(gt=0, le=GREATEST), AfterValidator(in_range)]


def temperature_faults(study: Study, where: str) -> list[Fault]:
    """Return faults for temperatures in a study's search space that are out of range.

    This check is not part of the model, so that a study that ran with such a temperature can still be read.

    Args:
        study: A validated study.
        where: The file or flag that holds it, for messages.
    """
    bounds = study.search_space["tau"].bounds if "tau" in study.search_space else ()
    problems = [(bound, tau_problem(bound)) for bound in dict.fromkeys(bounds)]
    return [Fault(where, "search_space.tau", f"{problem}, got {bound!r}") for bound, problem in problems if problem]
