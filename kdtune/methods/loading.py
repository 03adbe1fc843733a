"""Loads distillation losses, built-in ones and users' own."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from kdtune.catalog.builtin import LOSSES
from kdtune.errors import UsageError
from kdtune.specs.component import Component

#: Arguments of every loss, by position; see :mod:`kdtune.methods.losses`.
_POSITIONAL = ("student_logits", "teacher_logits", "labels", "temperature", "alpha")


def loss_of(method: Component) -> Callable[..., Any]:
    """Return a loss with its options, to be called as (student_logits, teacher_logits, labels, temperature, alpha).

    Raises:
        UsageError: There is no such loss, it cannot be called so, or it does not have an option.
    """
    loss: Callable[..., Any] = LOSSES.load(method.name, method.digest)
    options = {key: value for key, value in method.options.items() if key != "alpha"}
    if method.name in LOSSES and not options:
        return loss
    if not callable(loss):
        raise UsageError(f"loss {method}: {method.name} is not a function")
    try:
        inspect.signature(loss).bind(*_POSITIONAL, **options)
    except TypeError as error:
        raise UsageError(
            f"loss {method}: {error}; a loss is defined as fn({', '.join(_POSITIONAL)}, **options)"
        ) from None
    return partial(loss, **options) if options else loss
