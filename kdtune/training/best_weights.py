"""The weights of a network that did best on the validation images in one phase of a training."""

from typing import Any

import torch

from kdtune.catalog.metric import Metric
from kdtune.tasks.task import Evaluation


class BestWeights:
    """Keeps a copy of the best weights on the training device; of equally good ones those with the lower loss."""

    def __init__(self, objective: Metric) -> None:
        """Begin without weights.

        Args:
            objective: The metric that decides the study.
        """
        self._objective = objective
        self._rank: list[float] = []
        #: The best weights; empty before the first evaluation.
        self.weights: dict[str, torch.Tensor] = {}

    def evaluated(self, evaluation: Evaluation, model: torch.nn.Module) -> None:
        """Keep the weights of a network if its evaluation on the validation images is the best one so far."""
        value = evaluation.metrics[self._objective.name]
        if value is None:
            return
        rank = [self._objective.score(value), -evaluation.loss]
        if not self._rank or rank > self._rank:
            self._rank = rank
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"rank": self._rank, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a result of :meth:`state_dict`."""
        self._rank = [float(one) for one in state["rank"]]
        self.weights = dict(state["weights"])
