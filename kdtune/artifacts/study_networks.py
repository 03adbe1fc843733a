"""The networks of a study, built for its images, numerics and device."""

import json
from functools import cached_property
from typing import Generic

import torch
from typing_extensions import TypeVar

from kdtune.catalog.builtin import MODELS
from kdtune.data.batches import Splits
from kdtune.energy.flops import Workload
from kdtune.energy.operation_counts import count_operations
from kdtune.specs.component import Component, identity_of
from kdtune.specs.study import Setting, Study
from kdtune.tasks.task import Task
from kdtune.training.numerics import Arithmetic

#: Multiply-adds of built-in networks that this process has counted. The key holds everything that a count depends on.
_COUNTED: dict[str, int] = {}

#: A whole study, or the resolved setting that several trainings share.
S = TypeVar("S", bound=Setting, default=Study)


class StudyNetworks(Generic[S]):
    """Builds the networks of a study; a subclass provides the attributes.

    Attributes:
        study: The study, or the setting that its trainings share.
        task: The task of the study.
        arithmetic: Precision, memory layout and device of the networks.
    """

    study: S
    task: Task
    arithmetic: Arithmetic

    @cached_property
    def splits(self) -> Splits:
        """The parts on which students are trained, selected and tested, on the device."""
        raise NotImplementedError

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        raise NotImplementedError

    def untrained_student(self) -> torch.nn.Module:
        """Return an untrained student."""
        return self._untrained(self.study.student)

    def untrained_teacher(self) -> torch.nn.Module:
        """Return an untrained, frozen network of the teacher's architecture, which is as fast as the real teacher."""
        return self._frozen(self.study.teacher, self._untrained(self.study.teacher))

    def student(self, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
        """Return the student with the given weights, frozen."""
        model = self.untrained_student()
        model.load_state_dict(weights)
        return self._frozen(self.study.student, model)

    def workload(self) -> Workload:
        """Return the sizes of the study's networks and the students' data, from which FLOPs are computed.

        Raises:
            UsageError: The operations of a network cannot be counted.
        """
        macs, parts = (self.macs(self.study.teacher), self.macs(self.study.student)), self.splits
        return Workload(*macs, len(parts.train), len(parts.validation), len(parts.test))

    def macs(self, network: Component) -> int:
        """Return the multiply-adds of a network's forward pass for one image."""
        if network.name not in MODELS:  # a user may change its code while the process runs
            return self._counted(network)
        depends_on = json.dumps([identity_of(network), *self.image_shape, self.task.output_size])
        if depends_on not in _COUNTED:
            _COUNTED[depends_on] = self._counted(network)
        return _COUNTED[depends_on]

    def _counted(self, network: Component) -> int:
        return count_operations(self._untrained(network), *self.image_shape, str(network)).macs

    def _untrained(self, network: Component) -> torch.nn.Module:
        model = self.task.network(network, self.image_shape)
        return self.arithmetic.place(model, built_in=network.name in MODELS)

    def _frozen(self, network: Component, model: torch.nn.Module) -> torch.nn.Module:
        return self.arithmetic.freeze(model, built_in=network.name in MODELS)
