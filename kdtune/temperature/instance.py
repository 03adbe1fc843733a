"""A tau for each image from how hard it is (Wen, Lai and Qian, "Preparing Lessons", arXiv 1911.07471, 2019).

For image i of a batch, with the weights w detached, so that no gradient flows through tau:

    tau_i = max(1, tau + beta (mean(w) - w_i))

    FLSW (focal loss style weights):         w_i = (1 - cos(z_s, z_t))^gamma
    CWSM (confidence weighted by the student's maximum): w_i = 1 / (max_c softmax(z_s) + 0.001)

z_s and z_t are the logits of student and teacher. Hard images, with large w, get a small tau. The distillation term of
image i has the weight tau_i^2.

Lower limit: the formula itself can give a tau of 0 or less. It is limited to 1 here, so the mean tau of a batch exceeds
``tau`` where the limit acts.

Hidden tuning: ``tau``, ``beta`` and, for FLSW, ``gamma``; the defaults are neutral values of kdtune, not the authors'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.from_logits import FromLogits

if TYPE_CHECKING:
    import torch

#: The least tau of an image.
LEAST = 1.0

#: Added to the confidence of CWSM, so that its weight is at most 1000.
CONFIDENCE_OFFSET = 1e-3


class Options(FrozenModel):
    """How tau depends on an image.

    Attributes:
        weights: What tells how hard an image is: ``flsw`` or ``cwsm``.
        tau: Tau of an image of mean weight, which can be searched.
        beta: How far tau moves with the weight.
        gamma: Exponent of the weights ``flsw``; ``cwsm`` does not use it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"tau": 4}, {"tau": 4, "beta": 3, "gamma": 2}, {"tau": 4, "weights": "cwsm"}],
        }
    )

    weights: Literal["flsw", "cwsm"] = "flsw"
    tau: Tau
    beta: float = Field(default=1.0, ge=0, le=1e4)
    gamma: float = Field(default=1.0, gt=0, le=100)


class InstanceWise(FromLogits):
    """Softens hard images less than easy ones."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Keep the options."""
        super().__init__(options, context)
        assert isinstance(options, Options)
        self._options = options

    def of_images(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> Temperature:
        """Return one tau per image for both networks, without a gradient."""
        import torch

        with torch.no_grad():
            weights = self._weights(student_logits, teacher_logits)
            tau = self._options.tau + self._options.beta * (weights.mean() - weights)
            return Temperature.same(tau.clamp(min=LEAST).unsqueeze(1))

    def _weights(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
        """Return how hard each image is, (batch,)."""
        if self._options.weights == "cwsm":
            return 1 / (student_logits.softmax(dim=1).amax(dim=1) + CONFIDENCE_OFFSET)
        # Rounding may give a cosine above 1, and a power of a negative number is not a number.
        return (1 - _cosine(student_logits, teacher_logits)).clamp(min=0) ** self._options.gamma


def _cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the cosine of the angle between rows, (batch,); 0 where a row holds zeros only."""
    import torch.nn.functional as F  # noqa: N812 - the usual name

    # Each row is divided by its greatest element first: the squares of large logits would overflow.
    first, second = (rows / rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) for rows in (one, other))
    return F.cosine_similarity(first, second, dim=1)
