"""The temperatures at which float32, in which losses are computed, still tells softened outputs apart."""

from numbers import Real
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from kdtune.errors import Fault
from kdtune.specs.search_space import GREATEST
from kdtune.specs.study import Study

#: The least and the greatest tau, both included. Every loss is computed in float32: it rounds to a relative error of
#: 1.2e-7 (eps), and holds numbers up to 3.4e38.
#:
#: Upwards, softened outputs approach 1/classes, and what is learned is their difference: it shrinks as
#: (difference of logits)/tau, while each output stays rounded by eps. So the gradient of ``hkd`` and ``dml`` has a
#: relative error of about tau eps / (difference of logits): 0.1 % at 1e4 where logits differ by 1, and nothing but
#: noise from 1e7 on. Their loss, a difference of logarithms, is coarser: nothing is chosen by it.
#: From 2e19 on tau^2 overflows, and ``hkd`` is infinity times zero.
#:
#: Downwards, outputs depend on differences of logits of the size of tau, and a logit of 10 to 100 is itself rounded by
#: 1e-6 to 1e-5: at 1e-4 that is 1 to 10 %, below it outputs are decided by rounding. The gradient grows as 1/tau for
#: ``dml`` and as 1/tau^2 for ``cmc``; logits may be as large as 1e15 until cmc's squares overflow at 1e-4.
TAU_RANGE = (1e-4, 1e4)


#: The pydantic context in which a temperature outside of the range is still read: that of a study that has run.
HAS_RUN = {"has_run": True}


def tau_problem(tau: Any) -> str | None:
    """Why a training cannot have a temperature; None where it can."""
    low, high = TAU_RANGE
    if isinstance(tau, Real) and not isinstance(tau, bool) and low <= float(tau) <= high:
        return None
    return f"has to lie between {low:g} and {high:g}, beyond which float32 rounds the losses away"


def in_range(tau: float, info: ValidationInfo) -> float:
    """Refuse a temperature out of the range, unless the context is that of a study that has run."""
    if info.context != HAS_RUN and (problem := tau_problem(tau)):
        raise ValueError(problem)
    return tau


#: A temperature among the options of a component.
Tau = Annotated[float, Field(gt=0, le=GREATEST), AfterValidator(in_range)]

#: A temperature that is shown as the user wrote it: an integer stays one.
TauAsWritten = Annotated[int | float, Field(gt=0, le=GREATEST), AfterValidator(in_range)]


def temperature_faults(study: Study, where: str) -> list[Fault]:
    """The temperatures of a study's search space that float32 cannot hold.

    Not part of the model: a study that ran with such a temperature is still read as it ran.

    Args:
        study: Valid in itself.
        where: The file or flag that has it.
    """
    bounds = study.search_space["tau"].bounds if "tau" in study.search_space else ()
    problems = [(bound, tau_problem(bound)) for bound in dict.fromkeys(bounds)]
    return [Fault(where, "search_space.tau", f"{problem}, got {bound!r}") for bound, problem in problems if problem]
