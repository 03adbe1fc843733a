"""The epoch loop: trains one network under one recipe, with or without a teacher."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch

from kdtune.catalog.builtin import MODELS
from kdtune.catalog.metric import ACCURACY
from kdtune.data.batches import Splits
from kdtune.errors import DivergedError
from kdtune.specs.seeds import derive_seed
from kdtune.specs.split_sizes import batch_sizes
from kdtune.specs.trial_spec import Recipe
from kdtune.tasks.task import Evaluation, Task
from kdtune.temperature.base import PolicyContext
from kdtune.training.best_weights import BestWeights
from kdtune.training.captured_steps import CapturedSteps, EpochInputs
from kdtune.training.changing_images import ChangingImages
from kdtune.training.compiled_networks import Compiler
from kdtune.training.epoch_metrics import EpochMetrics
from kdtune.training.look_ahead import HeldOutImages, LookAhead
from kdtune.training.numerics import Arithmetic, seed_generator
from kdtune.training.optimisers import learning_rate
from kdtune.training.step_listener import step_taken
from kdtune.training.step_temperatures import StepTemperatures, can_be_captured, policy_of
from kdtune.training.teacher_logits import TeacherLogits
from kdtune.training.training_parts import TrainingParts

#: Steps on a GPU until all is done once: the first compiles a network, the second records it as a CUDA graph.
WARM_UP_STEPS = 3


class Distiller:
    """One training, epoch by epoch.

    The seed decides the initialisation, the order and all draws. Two distillers with the same seed share them even if
    their points differ (common random numbers). On a CPU the result is bit-identical for the same seed and number of
    threads, also if the training was interrupted and continued from :meth:`state_dict`.
    """

    changing_images: ChangingImages | None = None  #: training images, if they have to be prepared before each epoch

    def __init__(
        self,
        recipe: Recipe,
        seed: int,
        task: Task,
        splits: Splits,
        device: torch.device,
        teacher: TeacherLogits | None = None,
        arithmetic: Arithmetic | None = None,
        compiler: Compiler | None = None,
        captures: CapturedSteps | None = None,
    ) -> None:
        """Build the network and everything around it.

        Args:
            recipe: Recipe of the training.
            seed: Seed of the repeat. A restart derives its own seed from it, except for the changes to the images.
            task: Task of the network.
            splits: The data, on ``device``; the test part is not used.
            device: Device of the training.
            teacher: Provides the logits to imitate; None if the loss needs none.
            arithmetic: Precision and memory layout; None for float32, contiguous.
            compiler: Compiles the network for whole batches; None compiles nothing.
            captures: Captures the training step if its temperature can be captured; None takes every step eagerly.
        """
        if recipe.needs_teacher and teacher is None:
            raise ValueError(f"the loss {recipe.method.name!r} needs a teacher")
        self.recipe = recipe
        self.epoch = 0
        self._last: EpochMetrics | None = None
        self._seed = derive_seed(seed, "restart", recipe.restart) if recipe.restart else seed
        self._changes_seed = seed  # a restart sees the same images, for which the teacher's logits were stored
        self._task, self._splits, self._device = task, splits, device
        self._objective = task.objective.name
        self._held_out = HeldOutImages(splits.train, recipe.meta) if recipe.meta else None
        self._given_teacher = teacher
        self._arithmetic = arithmetic or Arithmetic(device)
        self._captures = captures
        seed_generator(self._device, derive_seed(self._seed, "init"))
        self._network = self._new_network()
        self._compiled: torch.nn.Module | None = None
        if compiler:
            self._network, self._compiled = compiler.compiled(recipe.model.model_dump_json(), self._network)
        self._begin(0)

    def _new_network(self) -> torch.nn.Module:
        network = self._task.network(self.recipe.model, self._splits.train.images.shape[1:])
        return self._arithmetic.place(network, built_in=self.recipe.model.name in MODELS)

    def _begin(self, phase: int) -> None:
        """Prepare the steps of a phase, with the present weights of the network and a new optimiser."""
        self._phase = phase
        self._recipe = recipe = self.recipe.of_phase(phase)
        self._best = BestWeights(self._task.objective)
        self._teacher = self._given_teacher if recipe.needs_teacher else None
        # A policy draws for full batches, whatever the last one holds: more only where that is the larger one.
        largest = max(recipe.training.batch_size, self.batch_sizes[-1])
        self._policy = policy_of(recipe, PolicyContext(self._seed, self._device, recipe.training.epochs, largest))
        given = recipe, self._task, self._splits.train, self._network, self._compiled, self._arithmetic
        parts = TrainingParts(*given, teacher=self._teacher, policy=self._policy)
        self._captured = None
        if self._captures and can_be_captured(self._policy):
            self._captured = self._captures.step_for(parts)
            self._training_step = self._captured.step
            self._policy = self._captured.policy or self._policy
        else:
            self._training_step = parts.training_step()
        self.model = self._training_step.model
        self._optimizer = self._training_step.optimizer
        self._temperatures = StepTemperatures(self._policy, self._device, parts.traced_softness)

    def _begin_next(self, phase: int) -> None:
        """Begin a phase with the weights that it asks for."""
        best = self._best.weights if self.recipe.phases[phase].from_best else {}
        self._network.load_state_dict(best or self.model.state_dict())
        self._begin(phase)

    @property
    def done(self) -> bool:
        """Whether the recipe's last epoch has been trained."""
        return self.epoch >= self.recipe.training.epochs

    @property
    def batch_sizes(self) -> list[int]:
        """Images in each step of an epoch."""
        images = len(self._splits.train) - len(self._held_out or ())
        return batch_sizes(images, self.recipe.training.batch_size)

    def train_epoch(self) -> EpochMetrics:
        """Train one more epoch and evaluate it on the validation images.

        Raises:
            DivergedError: The loss is no longer a finite number.
        """
        losses = []
        for loss in self.steps():
            losses.append(loss)
            step_taken()
        rate = self._rates()[-1]
        self.epoch += 1
        # The first reading of a value from the device: within the epoch nothing waits for it.
        return self._validated(float(torch.stack(losses).mean()), rate)

    def steps(self) -> Iterator[torch.Tensor]:
        """Take the steps of the present epoch, one for each loss that is taken; the last one does not end the epoch."""
        if self._phase != (phase := self.recipe.phase_at(self.epoch)):
            self._begin_next(phase)
        # Layers that draw (dropout) depend on the seed and the epoch, and not on what ran before.
        seed_generator(self._device, derive_seed(self._seed, "layers", self.epoch))
        self._temperatures.begin_epoch(self._epoch_of_phase, self.batch_sizes)
        # The device fills it: a copy from the host would wait for the queued work.
        self._progress_on_device = torch.full((), self._progress, device=self._device)
        if self._teacher:
            self._teacher.begin_epoch(self.epoch)
        self.model.train()
        for step, loss in enumerate(self._captured_steps() if self._captured else self._eager_steps()):
            yield loss
            if step == 1 and self._teacher and self._progress < 1:
                self._teacher.fetch_ahead(self.epoch + 1)  # while a GPU is at work on the first steps

    @property
    def _epoch_of_phase(self) -> int:
        """The present epoch of the phase, counted from 0."""
        return self.epoch - self.recipe.begin_of(self._phase)

    @property
    def _progress(self) -> float:
        """Share of the phase's epochs that have begun, the present one included."""
        return (self._epoch_of_phase + 1) / self._recipe.training.epochs

    def _rates(self) -> list[float]:
        """Return the learning rate of each step of the present epoch."""
        steps = len(self.batch_sizes)
        return [learning_rate(self.recipe.training, self.epoch, step, steps) for step in range(steps)]

    def _eager_steps(self) -> Iterator[torch.Tensor]:
        training, rates = self.recipe.training, self._rates()
        left_out = self._held_out.mask if self._held_out else None
        batches = self._splits.train.shuffled(
            training.batch_size, self._seed, self.epoch, training.augment, self._changes_seed, left_out
        )
        for step, (images, targets, index) in enumerate(batches):
            for group in self._optimizer.param_groups:
                group["lr"] = rates[step]
            yield self._step(images, targets, index, step)

    def _captured_steps(self) -> Iterator[torch.Tensor]:
        assert self._captured is not None
        train, sizes = self._splits.train, self.batch_sizes
        self._captured.begin_epoch(
            EpochInputs(
                order=train.order(self._seed, self.epoch),
                changes=train.epoch_changes(self.recipe.training.augment, self._changes_seed, self.epoch),
                rates=self._rates(),
                progress=self._progress,
                temperature=self._temperatures.scheduled,
                rows=self._teacher.rows if self._teacher else None,
            )
        )
        for step, size in enumerate(sizes):
            yield self._captured.take(step, size)
        if self._captured.taus:
            self._temperatures.captured(*self._captured.taus.of_epoch(len(sizes), sum(sizes)))

    def _validated(self, train_loss: float, rate: float) -> EpochMetrics:
        validation = self.validate()
        temperatures = self._temperatures.metrics()  # a policy's own fault is named rather than the loss
        if not (math.isfinite(train_loss) and math.isfinite(validation.loss)):
            worse = train_loss if not math.isfinite(train_loss) else validation.loss
            remedy = "a lower learning rate" if self._policy is None else "a lower learning rate or a tau nearer to 1"
            raise DivergedError(f"the loss became {worse} in epoch {self.epoch}; {remedy} may help")
        if self.recipe.keeps_best(self._phase):
            self._best.evaluated(validation, self.model)
        self._last = EpochMetrics(
            epoch=self.epoch,
            train_loss=train_loss,
            val_loss=validation.loss,
            val_accuracy=validation.metrics.get("accuracy"),
            learning_rate=rate,
            val_objective=None if self._objective == ACCURACY else validation.metrics[self._objective],
            **temperatures,
        )
        return self._last

    def validate(self) -> Evaluation:
        """Evaluate the network as it is on the validation images."""
        images = self._splits.validation
        captured = self._captured.logits_of(images) if self._captured else None
        return self._task.evaluate(self.model, images, self._arithmetic, captured)

    def _step(self, images: torch.Tensor, targets: Any, index: torch.Tensor, step: int) -> torch.Tensor:
        if self._policy and self._held_out and (held_out := self._held_out.of_step(step, len(index))):
            given = (images, targets, index, self._teacher, self._progress_on_device, held_out)
            self._policy.before_step(LookAhead(self._training_step, *given))
        temperature = self._temperatures.at(step, len(index))
        return self._training_step.take(images, targets, index, self._teacher, temperature, self._progress_on_device)

    def warm_up(self) -> None:
        """Take a few steps and an evaluation, since the first ones are slow: kernels are chosen, memory is allocated.

        A distiller that was warmed up must not be trained.
        """
        for phase in range(len(self.recipe.phases) or 1):
            self.epoch = self.recipe.begin_of(phase)
            list(islice(self.steps(), WARM_UP_STEPS if self._device.type == "cuda" else 1))
            last = self.batch_sizes[-1]
            if self._captured:
                self._captured.prepare(last)
            elif self._device.type == "cuda" and last != self.batch_sizes[0]:
                index = torch.arange(last, device=self._device)  # kernels are chosen for the epoch's last batch too
                self._step(*self._splits.train.batch(index, None), index, 0)
        self.validate()

    def last_metrics(self) -> EpochMetrics:
        """Return the metrics of the last epoch, even if it was trained before an interruption."""
        if self._last is None:
            raise ValueError("no epoch has been trained yet")
        return self._last

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state that the next epoch depends on, loadable with ``weights_only=True``."""
        phase = {"phase": self._phase, "best": self._best.state_dict()} if self.recipe.phases else {}
        return {
            "epoch": self.epoch,
            "metrics": self._last.as_report() if self._last else None,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "temperature": self._recipe.temperature.name if self._recipe.temperature else None,
            "policy": self._policy.state_dict() if self._policy else {},
            **phase,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a result of :meth:`state_dict`.

        This training keeps its hyperparameters, since population-based training copies weights and momenta between
        trials with different ones.
        """
        self.epoch = int(state["epoch"])
        self._last = EpochMetrics(**state["metrics"]) if state["metrics"] else None
        if self.recipe.phases:
            self._begin(int(state["phase"]))
            self._best.load_state_dict(state["best"])
        self.model.load_state_dict(state["model"])
        if self._captured:
            self._captured.load_optimizer(state["optimizer"]["state"])
        else:
            groups = self._optimizer.state_dict()["param_groups"]
            self._optimizer.load_state_dict({**state["optimizer"], "param_groups": groups})
        # A checkpoint of an older version does not name its temperature; only the same training is resumed from it.
        own = self._recipe.temperature
        if self._policy and own and state.get("temperature", own.name) == own.name:
            self._policy.load_state_dict(state["policy"])
