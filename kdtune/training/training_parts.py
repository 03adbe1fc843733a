"""The parts of a training, from which its steps are made, eager or captured."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.data.batches import ImageSet
from kdtune.methods.loading import Softness, loss_of, softness_of
from kdtune.specs.trial_spec import Recipe
from kdtune.tasks.task import Task
from kdtune.temperature.base import TemperaturePolicy
from kdtune.temperature.in_graph import InGraph
from kdtune.training.numerics import Arithmetic
from kdtune.training.optimisers import make_optimizer
from kdtune.training.teacher_logits import TeacherLogits
from kdtune.training.training_step import TrainingStep


@dataclass(frozen=True)
class TrainingParts:
    """The parts of a training.

    Attributes:
        recipe: Recipe of the training.
        task: Task of the study.
        train: The training images, whose address does not change.
        model: Network on the training device; the addresses of its weights do not change.
        compiled: The same network, compiled for the recipe's batch size; None if it is not compiled.
        arithmetic: Precision and memory layout.
        teacher: Provides the teacher's logits; None without a teacher.
        policy: Decides tau; None without a teacher.
    """

    recipe: Recipe
    task: Task
    train: ImageSet
    model: torch.nn.Module
    compiled: torch.nn.Module | None
    arithmetic: Arithmetic
    teacher: TeacherLogits | None
    policy: TemperaturePolicy | None

    @property
    def in_graph(self) -> InGraph | None:
        """The policy if captured steps compute its temperatures."""
        return self.policy if isinstance(self.policy, InGraph) else None

    @property
    def traced_softness(self) -> Softness | None:
        """What the loss makes of the temperatures that are decided; None if it uses them as they are."""
        return softness_of(self.recipe.method) if self.policy is not None else None

    @property
    def computing_teacher(self) -> TeacherLogits | None:
        """The teacher if it computes the logits of each batch; None if they are looked up."""
        return self.teacher if self.teacher is not None and self.teacher.rows is None else None

    @property
    def recorded(self) -> tuple[object, ...]:
        """Everything that is fixed in a captured step; trainings that agree in it share their graphs."""
        recipe, training = self.recipe, self.recipe.training
        # Numbers that are not tensors become constants of the graph.
        numbers = (training.batch_size, training.momentum, training.weight_decay, training.class_weights)
        names = (recipe.model.model_dump_json(), recipe.method.model_dump_json(), training.optimizer, training.augment)
        # What a policy computes in the graph may depend on everything that it was made with.
        policy: tuple[object, ...] = ()
        if self.in_graph:
            policy = (recipe.temperature, self.in_graph.context if self.in_graph.depends_on_context else None)
        return (*names, self.computing_teacher, *numbers, *map(repr, policy))

    def training_step(self, rate: torch.Tensor | None = None) -> TrainingStep:
        """Return a training step with a new optimiser.

        Args:
            rate: The learning rate as a tensor; see :func:`make_optimizer`.
        """
        recipe = self.recipe
        label_loss = self.task.label_loss(recipe.training, self.train)
        learned = self.policy.parameters() if self.policy else ()
        return TrainingStep(
            model=self.model,
            compiled=self.compiled,
            compiled_size=recipe.training.batch_size,
            arithmetic=self.arithmetic,
            optimizer=make_optimizer(recipe.training, [*self.model.parameters(), *learned], rate),
            task=self.task,
            loss=loss_of(recipe.method, needs_label_loss=label_loss is not F.cross_entropy),
            label_loss=label_loss,
            alpha=recipe.alpha,
        )
