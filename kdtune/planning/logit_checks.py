"""Checks of temperatures and losses on batches of logits, which cost far less than training steps."""

import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.foreign_calls import foreign_call
from kdtune.errors import Fault, KdtuneError, UsageError
from kdtune.methods.loading import loss_of
from kdtune.specs.numerics import Numerics
from kdtune.specs.split_sizes import batch_sizes
from kdtune.specs.trial_spec import Recipe
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.loading import make_policy

#: Standard deviation of random logits, about that of a trained network.
_DEVIATION = 5.0

_REMEDY = "narrow the search space, or compute it from log_softmax()"


@dataclass(frozen=True)
class LogitBatch:
    """Logits of a batch of images.

    Attributes:
        origin: Where they come from, for messages.
        student: Logits of the student, float32, (n, classes).
        teacher: Logits of the teacher, of the same shape.
        targets: Targets of the images, as the task has them.
    """

    origin: str
    student: torch.Tensor
    teacher: torch.Tensor
    targets: Any


@dataclass(frozen=True)
class NamedRecipe:
    """A recipe to check.

    Attributes:
        recipe: The recipe.
        loss_key: Key of the study that names the loss.
        temperature_key: Key of the study that names the temperature.
    """

    recipe: Recipe
    loss_key: str
    temperature_key: str


def random_logits(context: TrainingContext) -> LogitBatch:
    """Return random logits that are as different as those of trained networks, for the first training images."""
    train = context.splits.train.first(context.study.training.batch_size)
    targets = train.targets(torch.arange(len(train), device=context.device), None)
    generator = torch.Generator().manual_seed(0)
    shape = 2, len(train), context.task.output_size
    student, teacher = _DEVIATION * torch.randn(shape, generator=generator).to(context.device)
    return LogitBatch(f"for random logits with a standard deviation of {_DEVIATION:g}", student, teacher, targets)


def untrained_logits(context: TrainingContext, precision: str) -> LogitBatch:
    """Return the logits of the study's untrained networks for the first training images.

    Raises:
        UsageError: A network fails for them, or returns a batch of another size.
    """
    numerics = Numerics(precision=precision, memory_layout="contiguous", compile="off")
    here = context.with_study(context.study.model_copy(update={"numerics": numerics, "teacher_logits": "live"}))
    train = here.splits.train.first(context.study.training.batch_size)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student, teacher = here.untrained_student().train(), here.untrained_teacher_logits()
        images, targets = next(train.in_order(len(train)))
        index = torch.arange(len(train), device=context.device)
        batch, shape = f"a batch of {len(train)} images in {precision}", (len(train), here.task.output_size)
        found = []
        for network, compute in (
            (here.study.student, partial(here.arithmetic.logits, student, images)),
            (here.study.teacher, partial(teacher, images, index)),
        ):
            with foreign_call(f"model {network}", f"its forward() for {batch}"):
                found.append(compute())
            if found[-1].shape != shape:
                raise UsageError(f"model {network}: its output for {batch} has the shape {tuple(found[-1].shape)}")
    of_student, of_teacher = found
    return LogitBatch(f"for the untrained networks in {precision}", of_student, of_teacher, targets)


def check_on_logits(
    context: TrainingContext, recipes: Iterable[NamedRecipe], batches: Sequence[LogitBatch], where: str
) -> list[Fault]:
    """Compute temperatures and losses, and return one fault for each temperature and each loss that cannot be used.

    Args:
        context: The study's training context.
        recipes: Recipes to check; those with the same loss and temperature are checked once.
        batches: Logits on which they are checked.
        where: The study's file, for messages.
    """
    faults: dict[str, Fault] = {}
    checked = set()
    for named in recipes:
        recipe = named.recipe
        way = recipe.method.model_dump_json(), recipe.temperature and recipe.temperature.model_dump_json()
        if way in checked:
            continue
        checked.add(way)
        try:
            taken = [(batch, _temperatures(context, recipe, batch)) for batch in batches]
        except KdtuneError as error:
            assert recipe.temperature is not None
            faults.setdefault(recipe.temperature.name, Fault(where, named.temperature_key, str(error)))
            continue
        try:
            for batch, temperatures in taken:
                for temperature in temperatures:
                    _check_loss(context, recipe, batch, temperature)
        except KdtuneError as error:
            faults.setdefault(recipe.method.name, Fault(where, named.loss_key, str(error)))
    return list(faults.values())


def _temperatures(context: TrainingContext, recipe: Recipe, batch: LogitBatch) -> list[Temperature | None]:
    """Return the smallest and the largest temperature of the first and the last epoch, as far as they are known.

    Raises:
        UsageError: The policy fails, or returns a temperature that cannot be used.
    """
    if recipe.temperature is None:
        return [None]
    epochs, batch_size = recipe.training.epochs, recipe.training.batch_size
    sizes = batch_sizes(len(context.splits.train), batch_size)
    largest = max(batch_size, sizes[-1])
    policy = make_policy(recipe.temperature, PolicyContext(0, context.device, epochs, largest), guarded=True)
    images, taken = len(batch.student), list[Temperature | None]()
    pairs = context.task.soft_pairs(batch.student, batch.teacher, batch.targets)
    assert pairs.teacher is not None
    for epoch in dict.fromkeys((0, epochs - 1)):
        policy.begin_epoch(epoch, len(sizes))
        if policy.depends_on_logits:
            steps = dict.fromkeys((0, len(sizes) - 1))
            taken += [policy.of_step(pairs.student, pairs.teacher, pairs.labels, step) for step in steps]
        else:
            schedule = policy.scheduled(sizes)
            means = schedule.student.flatten(1).mean(1) if schedule.student.ndim > 1 else schedule.student
            ends = torch.stack([means.argmin(), means.argmax()]).unique()
            taken += [schedule.at(step.view(1), images) for step in ends]
        policy.epoch_tau()
    return taken


def _check_loss(context: TrainingContext, recipe: Recipe, batch: LogitBatch, temperature: Temperature | None) -> None:
    """Compute the loss of a batch and its gradient.

    Raises:
        UsageError: The loss fails, changes its arguments, or it or its gradient is not finite.
    """
    label_loss = context.task.label_loss(recipe.training, context.splits.train)
    loss = loss_of(recipe.method, needs_label_loss=label_loss is not F.cross_entropy)
    leaf = batch.student.clone().requires_grad_()
    outputs = leaf.clone()  # no leaf, like the output of a network
    given = batch.teacher.clone() if recipe.needs_teacher else None
    pairs = context.task.soft_pairs(outputs, given, deepcopy(batch.targets))
    arguments = {"student_logits": pairs.student, "teacher_logits": pairs.teacher, "labels": pairs.labels}
    seen = {name: (one, one.detach().clone()) for name, one in arguments.items() if one is not None}
    temperature = temperature and temperature.of_pairs(len(pairs.student))
    value = loss(pairs, lambda: label_loss(outputs, batch.targets), temperature, recipe.alpha)
    name = f"loss {recipe.method.name}"
    for argument, (after, before) in seen.items():
        if not torch.equal(after.detach(), before):
            raise UsageError(f"{name}: changes {argument} in place; compute with a copy, such as logits / tau")
    with foreign_call(name, "its backward pass"):
        value.backward()
    at = "" if temperature is None else f" at tau {_shown(temperature)}"
    if not bool(value.isfinite()):
        raise UsageError(f"{name}: is {value.item():g}{at} {batch.origin}; {_REMEDY}")
    if leaf.grad is None:
        raise UsageError(f"{name}: does not depend on student_logits, so that nothing is learnt")
    if not bool(leaf.grad.isfinite().all()):
        raise UsageError(f"{name}: has a gradient that is not finite{at} {batch.origin}; {_REMEDY}")


def _shown(temperature: Temperature) -> str:
    low, high = (float(one) for one in torch.aminmax(temperature.student.detach()))
    return f"{low:g}" if math.isclose(low, high) else f"{low:g} to {high:g}"
