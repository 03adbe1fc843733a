"""Training steps captured as graphs over static buffers, one for each batch size, and shared by many trainings.

At the beginning of an epoch, everything that differs between epochs and trainings (the order of the images, their
random changes, learning rates, temperatures, replayed logits) is copied into permanent buffers. A step then reads its
part by means of counters on the device, so the host only has to replay the graph.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from kdtune.data.augment import Changes
from kdtune.data.batches import ImageSet
from kdtune.data.device_transfer import moved
from kdtune.temperature.base import Temperature
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.captured_taus import CapturedTaus
from kdtune.training.cuda_graphs import Graph, graph_maker
from kdtune.training.optimisers import allocate_state, fill_state, optimizer_tensors
from kdtune.training.tau_trace import traced_tau
from kdtune.training.training_parts import TrainingParts
from kdtune.training.training_step import StepTemperature, Teacher

#: Number of recipes whose steps are kept. Each needs memory for a network, its optimiser's state and its graphs.
KEPT = 4

#: Prefix of the names of the tables of :class:`Changes`.
_CHANGE = "change_"

#: Names and shapes of the tensors that differ from epoch to epoch.
_Form = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class EpochInputs:
    """Inputs of the steps of an epoch, which no step changes.

    Attributes:
        order: Indices of the images in the order of the epoch, int64, (N,).
        changes: Random changes to all images; None without any.
        rates: Learning rate of each step.
        progress: Share of the training's epochs that have begun, this one included.
        temperature: Temperatures of all steps, see :meth:`Temperature.of_steps`; None without a teacher, or if the
            steps compute them.
        rows: The teacher's logits of all images, (N, classes); None without a teacher, or if they are computed for
            each batch.
    """

    order: torch.Tensor
    changes: Changes | None
    rates: Sequence[float]
    progress: float
    temperature: Temperature | None
    rows: torch.Tensor | None

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the inputs other than order and rates, by name, without those that are None."""
        softness = self.temperature
        found = {
            **({f"{_CHANGE}{name}": table for name, table in self.changes.tables().items()} if self.changes else {}),
            "student_tau": softness.student if softness else None,
            "teacher_tau": softness.teacher if softness else None,
            "weight": softness.weight if softness else None,
            # Epochs may be stored as float16 or as float32; float32 represents both exactly.
            "rows": None if self.rows is None else self.rows.float(),
        }
        return {name: tensor for name, tensor in found.items() if tensor is not None}


class CapturedStep:
    """The training step of one recipe, captured at its first use with each batch size."""

    def __init__(self, parts: TrainingParts, new_graph: Callable[[], Graph]) -> None:
        """Allocate the buffers.

        Args:
            parts: Parts of the training.
            new_graph: Returns a new, empty graph.
        """
        self._train = parts.train
        self._teacher = parts.computing_teacher
        #: Computes the temperatures of the steps in the graph; None if they are inputs.
        self.policy = parts.in_graph
        self._new_graph = new_graph
        device, images = parts.train.images.device, len(parts.train)
        # torch's kernels read a learning rate as float32 on a GPU, and in full precision on a CPU.
        dtype = torch.float32 if device.type == "cuda" else torch.float64
        self._rate = torch.zeros((), dtype=dtype, device=device)
        self._progress = torch.ones((), device=device)
        self.step = parts.training_step(self._rate)
        allocate_state(self.step.optimizer)
        self._number, self._start = (torch.zeros(1, dtype=torch.int64, device=device) for _ in range(2))
        self._places = torch.arange(images, device=device)
        self._losses = torch.zeros(images, device=device)  # no epoch has more steps than images
        self._traced = parts.traced_softness
        #: The student's temperatures in the steps of the epoch; None if they are all known before.
        self.taus = CapturedTaus(images, device) if self.policy or self._traced else None
        self._rates = torch.zeros(images, dtype=dtype, device=device)
        self._order = torch.zeros(images, dtype=torch.int64, device=device)
        #: Buffers and graphs for each form (names and shapes) that the inputs of an epoch have had.
        self._buffers: dict[_Form, dict[str, torch.Tensor]] = {}
        self._graphs: dict[tuple[_Form, int], Graph] = {}
        self._form: _Form = ()
        self._changes: Changes | None = None  # the kinds of change; their tables are in the buffers
        self._evaluation: CapturedLogits | None = None

    def begin_epoch(self, inputs: EpochInputs) -> None:
        """Copy an epoch's inputs into the buffers and set the counters to its first step."""
        self._number.zero_()
        self._start.zero_()
        self._order.copy_(inputs.order)
        self._progress.fill_(inputs.progress)
        rates = moved(torch.tensor(inputs.rates, dtype=self._rates.dtype), self._rates.device)
        self._rates[: len(rates)].copy_(rates)
        self._changes = inputs.changes
        given = inputs.tensors()
        self._form = tuple((name, tuple(tensor.shape)) for name, tensor in given.items())
        if self._form not in self._buffers:
            self._buffers[self._form] = {
                name: torch.empty(t.shape, dtype=t.dtype, device=t.device) for name, t in given.items()
            }
        buffers = self._buffers[self._form]
        for name, tensor in given.items():
            buffers[name].copy_(tensor)

    def take(self, step: int, size: int) -> torch.Tensor:
        """Take the next step of the epoch.

        Args:
            step: Number of the step, counted from 0.
            size: Number of images in the step.

        Returns:
            The loss, 0-d, which is overwritten in the next epoch.
        """
        self._graph(size).replay()
        return self._losses[step]

    def prepare(self, size: int) -> None:
        """Capture the step for one batch size unless it was captured before. This ends the current epoch."""
        self._number.zero_()
        self._start.zero_()
        self._graph(size)

    def _graph(self, size: int) -> Graph:
        graph = self._graphs.get((self._form, size))
        if graph is None:
            graph = self._new_graph()
            graph.capture(partial(self._work, self._buffers[self._form], size), self._state())
            self._graphs[self._form, size] = graph
        return graph

    def logits_of(self, images: ImageSet) -> CapturedLogits:
        """Return captured passes of the network over the images for evaluation, which are always the same."""
        if self._evaluation is None:
            step = self.step
            self._evaluation = CapturedLogits(step.model, images, images.pass_size, step.arithmetic, self._new_graph)
        return self._evaluation

    def reset(self, parts: TrainingParts) -> None:
        """Begin another training of the same recipe, with the parts' weights and an optimiser state of zeros."""
        self.step.model.load_state_dict(parts.model.state_dict())
        if self.policy and parts.policy:
            self.policy.load_state_dict(parts.policy.state_dict())
        self.load_optimizer({})

    def load_optimizer(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        """Load an optimiser's state in place; see :func:`fill_state`."""
        fill_state(self.step.optimizer, state)

    def _state(self) -> list[torch.Tensor]:
        """Return all tensors that a step both reads and writes."""
        weights = self.step.model.state_dict().values()
        of_policy = self.policy.tensors() if self.policy else ()
        return [*weights, *optimizer_tensors(self.step.optimizer), *of_policy, self._number, self._start]

    def _work(self, buffers: dict[str, torch.Tensor], size: int) -> None:
        index = self._order.index_select(0, self._start + self._places[:size])
        images, targets = self._train.batch(index, self._changes_from(buffers))
        self._rate.copy_(self._rates.index_select(0, self._number)[0])
        teacher, temperature = self._teacher_from(buffers), self._temperature_from(buffers, size)
        loss = self.step.take(images, targets, index, teacher, temperature, self._progress)
        self._losses.index_copy_(0, self._number, loss.view(1))
        self._number.add_(1)
        self._start.add_(size)

    def _changes_from(self, buffers: dict[str, torch.Tensor]) -> Changes | None:
        tables = {name.removeprefix(_CHANGE): buffer for name, buffer in buffers.items() if name.startswith(_CHANGE)}
        return self._changes.with_tables(tables) if self._changes else None

    def _teacher_from(self, buffers: dict[str, torch.Tensor]) -> Teacher | None:
        if "rows" not in buffers:
            return self._teacher
        return lambda images, index: buffers["rows"].index_select(0, index).float()

    def _temperature_from(self, buffers: dict[str, torch.Tensor], size: int) -> StepTemperature | None:
        if self.policy:
            return partial(self._recorded, partial(self.policy.of_step, step=0), size)
        if "student_tau" not in buffers:
            return None
        of_steps = Temperature(buffers["student_tau"], buffers["teacher_tau"], buffers["weight"])
        return partial(self._recorded, lambda student, teacher, labels: of_steps.at(self._number, size), size)

    def _recorded(
        self,
        decide: StepTemperature,
        size: int,
        student: torch.Tensor,
        teacher: torch.Tensor,
        labels: torch.Tensor,
    ) -> Temperature:
        temperature = decide(student, teacher, labels)
        if self.taus:
            traced = traced_tau(temperature, self._traced, student, teacher)
            self.taus.record(traced, labels, self._number, self._start, size)
        return temperature


class CapturedSteps:
    """Keeps the captured step of each recipe, which successive trainings use."""

    def __init__(self, device: torch.device) -> None:
        """Prepare for captures on one device."""
        self._new_graph = graph_maker(device)
        self._kept: dict[tuple[object, ...], CapturedStep] = {}

    def step_for(self, parts: TrainingParts) -> CapturedStep:
        """Return the step for a training that begins with the weights of its model.

        An earlier training that used the step must have ended, because its weights are overwritten.
        """
        key = parts.recorded
        kept = self._kept.pop(key, None)
        if kept is None:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            kept = CapturedStep(parts, self._new_graph)
        kept.reset(parts)
        self._kept[key] = kept  # the last key is the most recently used one
        return kept
