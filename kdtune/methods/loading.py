"""Loads distillation losses, built-in ones and users' own."""

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from kdtune.catalog.builtin import LOSSES
from kdtune.catalog.foreign_calls import foreign_call
from kdtune.errors import UsageError
from kdtune.methods.base import MethodLoss
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.specs.component import Component

if TYPE_CHECKING:
    import torch

    from kdtune.temperature.base import Temperature

#: Arguments of every loss, by position; see :mod:`kdtune.methods.losses`.
_POSITIONAL = ("student_logits", "teacher_logits", "labels", "temperature", "alpha")

#: Keyword arguments that a loss accepts if it can serve more than unweighted classification.
_LABEL_LOSS, _PAIR_WEIGHTS = "label_loss", "pair_weights"

#: Keyword argument that a loss accepts if it changes during the training.
_PROGRESS = "progress"


class DistillationLoss(Protocol):
    """A loss with its options, as a training step calls it."""

    def __call__(
        self,
        pairs: SoftPairs,
        label_loss: "Callable[[], torch.Tensor]",
        temperature: "Temperature | None",
        alpha: float,
        progress: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """Return the loss of a batch, 0-d.

        Args:
            pairs: The logits of student and teacher.
            label_loss: Computes the task's loss with the labels.
            temperature: Temperature of this step; None without a teacher.
            alpha: Weight of the distillation term.
            progress: Share of the training's epochs that have begun, 0-d; None stands for 1.
        """


#: Function from the logits of student and teacher, and the temperature of a step, to what divides the logits.
Softness = Callable[["torch.Tensor", "torch.Tensor", "Temperature"], "Temperature"]


def softness_of(method: Component) -> Softness | None:
    """Return what a loss makes of the temperatures that are decided; None if it uses them as they are.

    Args:
        method: The loss.
    """
    kind = LOSSES.load(method.name, method.digest)
    if not (isinstance(kind, type) and issubclass(kind, MethodLoss)) or kind.softness is MethodLoss.softness:
        return None
    options = {key: value for key, value in method.options.items() if key != "alpha"}
    return kind(kind.Options.model_validate(options)).softness


def loss_of(method: Component, *, needs_label_loss: bool = False) -> DistillationLoss:
    """Return a loss with its options.

    Args:
        method: The loss.
        needs_label_loss: Whether the loss with the labels is the task's or weighted, so that the loss has to take it
            from the argument ``label_loss`` and cannot compute the mean cross-entropy by itself.

    Raises:
        UsageError: There is no such loss, it cannot be called so, or it does not have an option.
    """
    loss: Callable[..., Any] = LOSSES.load(method.name, method.digest)
    options = {key: value for key, value in method.options.items() if key != "alpha"}
    if not callable(loss):
        raise UsageError(f"loss {method}: {method.name} is not a function")
    if hasattr(loss, "Options"):
        loss, options = _with_options(loss, options, method), {}
    try:
        signature = inspect.signature(loss)
        signature.bind(*_POSITIONAL, **options)
    except TypeError as error:
        raise UsageError(
            f"loss {method}: {error}; a loss is defined as fn({', '.join(_POSITIONAL)}, **options)"
        ) from None
    accepted = frozenset({_LABEL_LOSS, _PAIR_WEIGHTS, _PROGRESS} & signature.parameters.keys())
    if needs_label_loss:
        _require(_LABEL_LOSS, accepted, method, "the loss with the labels is not the plain mean cross-entropy")
    return partial(_call, partial(loss, **options), accepted, method)


def _with_options(kind: Callable[..., Any], options: dict[str, Any], method: Component) -> Callable[..., Any]:
    """Return an instance of a class of losses.

    Raises:
        UsageError: The class refuses the options.
    """
    try:
        made: Callable[..., Any] = kind(kind.Options.model_validate(options))  # type: ignore[attr-defined]
    except ValidationError as error:
        faults = "; ".join(f"option {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"loss {method}: {faults}") from None
    return made


def _call(
    loss: Callable[..., Any],
    accepted: frozenset[str],
    method: Component,
    pairs: SoftPairs,
    label_loss: "Callable[[], torch.Tensor]",
    temperature: "Temperature | None",
    alpha: float,
    progress: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    if pairs.weights is not None:
        _require(_PAIR_WEIGHTS, accepted, method, "the task weighs its pairs of logits")
    keywords = {_LABEL_LOSS: label_loss, _PAIR_WEIGHTS: pairs.weights, _PROGRESS: progress}
    given = pairs.student, pairs.teacher, pairs.labels, temperature, alpha
    with foreign_call(f"loss {method}", "it") if method.digest else nullcontext():
        found = loss(*given, **{key: keywords[key] for key in accepted})
    return _checked(found, pairs, method)


def _checked(found: Any, pairs: SoftPairs, method: Component) -> "torch.Tensor":
    """Return what a loss returned.

    Raises:
        UsageError: It is no 0-d tensor, or has no gradient.
    """
    import torch

    if not isinstance(found, torch.Tensor):
        raise UsageError(f"loss {method}: returned a value of type {type(found).__name__}; return a 0-d tensor")
    if found.ndim:
        raise UsageError(
            f"loss {method}: returned a tensor of the shape {tuple(found.shape)}; return a 0-d tensor, such as "
            "the mean over the batch"
        )
    if pairs.student.requires_grad and not found.requires_grad:
        raise UsageError(
            f"loss {method}: its result has no gradient, so that nothing is learnt; compute it from student_logits "
            "without detach(), item(), argmax() or torch.no_grad()"
        )
    return found


def _require(keyword: str, accepted: frozenset[str], method: Component, why: str) -> None:
    if keyword not in accepted:
        raise UsageError(
            f"loss {method}: {why}, so the loss has to accept it as the keyword argument {keyword}; define it as "
            f"fn({', '.join(_POSITIONAL)}, {keyword}=None, **options)"
        )
