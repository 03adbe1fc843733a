"""Base class of losses that are methods of their own, with options; plans validate these without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.trial_spec import Phase

if TYPE_CHECKING:
    import torch

    from kdtune.temperature.base import Temperature


#: Weight of a term of a loss.
Weight = Annotated[float, Field(ge=0, le=1e6)]

#: Weight of a term, or None for the weight that follows from the study's ``alpha``.
OptionalWeight = Weight | None


class Options(FrozenModel):
    """Weights of both terms; base class of the options of a method.

    Attributes:
        weight: Weight of the distillation term; None for ``alpha``.
        label_weight: Weight of the loss with the labels; None for 1 - ``alpha``.
    """

    weight: OptionalWeight = None
    label_weight: OptionalWeight = None

    @property
    def ignores_alpha(self) -> bool:
        """Whether both weights are given, so that ``alpha`` has no effect."""
        return self.weight is not None and self.label_weight is not None


class MethodLoss:
    """A loss with options: a weighted sum of a distillation term and the loss with the labels.

    It is called like the functions of :mod:`kdtune.methods.losses`. A pure function of its arguments, it can be
    captured as a graph, needs no state in checkpoints, and uses replayed logits like computed ones.

    Attributes:
        Options: Model of the method's options, derived from :class:`Options`.
    """

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel) -> None:
        """Keep the options, an instance of the class's ``Options``."""
        assert isinstance(options, Options)
        self._weight, self._label_weight = options.weight, options.label_weight

    @classmethod
    def phases(cls, options: dict[str, Any], epochs: int) -> tuple[Phase, ...]:
        """Return the phases of a training, whose epochs add up to ``epochs``; empty if it is all of one piece.

        A training with phases has no other temperature than theirs.

        Args:
            options: Validated options of the method, and ``alpha`` if it is given.
            epochs: Number of epochs of the training.

        Raises:
            SpecError: There are too few epochs for the phases.
        """
        return ()

    def softness(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: Temperature
    ) -> Temperature:
        """Return by what the logits of each pair are divided, for the log; a method that changes this overrides it.

        Args:
            student_logits: (n, classes).
            teacher_logits: (n, classes).
            temperature: Temperature of the step.
        """
        return temperature

    def of_pairs(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: Temperature,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the distillation term of each pair of logits, (n,).

        Args:
            student_logits: (n, classes), with gradient.
            teacher_logits: (n, classes), without gradient.
            temperature: Temperature of this step, as a strategy or policy chose it.
            progress: Share of the training's epochs that have begun, above 0 and up to 1, 0-d; None stands for 1.
        """
        raise NotImplementedError

    def __call__(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        labels: torch.Tensor,
        temperature: Temperature,
        alpha: float,
        label_loss: Callable[[], torch.Tensor] | None = None,
        pair_weights: torch.Tensor | None = None,
        progress: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of a batch, 0-d; see :mod:`kdtune.methods.losses` and :meth:`of_pairs`."""
        from kdtune.methods.losses import of_labels, weighted_mean

        weight = alpha if self._weight is None else self._weight
        label_weight = 1.0 - alpha if self._label_weight is None else self._label_weight
        distillation = self.of_pairs(student_logits, teacher_logits, temperature, progress)
        loss = weight * weighted_mean(distillation, pair_weights)
        # If the labels have no weight, their loss is not computed.
        return loss + label_weight * of_labels(student_logits, labels, label_loss) if label_weight else loss
