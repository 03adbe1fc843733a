"""Passes over all images of one part of a data set, recorded as graphs: for evaluation and for logits that are kept."""

from collections.abc import Callable

import torch

from kdtune.data.augment import Changes
from kdtune.data.batches import ImageSet
from kdtune.training.cuda_graphs import Graph
from kdtune.training.numerics import Arithmetic


class CapturedLogits:
    """Gives a network's logits for all images in order, from a graph for each size of batch."""

    def __init__(
        self,
        model: torch.nn.Module,
        images: ImageSet,
        batch_size: int,
        arithmetic: Arithmetic,
        new_graph: Callable[[], Graph],
    ) -> None:
        """Prepare; nothing is captured before its use.

        Args:
            model: In inference mode whenever it is asked. Its weights stay where they are, and may change.
            images: Of the part, on the device.
            batch_size: Images in a pass; the last one takes what is left.
            arithmetic: Precision and memory layout.
            new_graph: Makes an empty graph.
        """
        self._model = model
        self._images = images
        self._batch_size = batch_size
        self._arithmetic = arithmetic
        self._new_graph = new_graph
        self._start = torch.zeros(1, dtype=torch.int64, device=images.labels.device)
        self._places = torch.arange(batch_size, device=images.labels.device)
        self._changes: Changes | None = None
        self._logits: torch.Tensor | None = None
        self._graphs: dict[tuple[int, bool], Graph] = {}

    @torch.no_grad()
    def of_all(self, changes: Changes | None = None) -> torch.Tensor:
        """Return the logits of all images, float32, (N, classes). The next call overwrites them.

        Args:
            changes: Random changes to the images, of the same kinds in every call that has any.
        """
        if self._logits is None:
            classes = self._arithmetic.logits(self._model, self._images.normalised(slice(0, 1))).shape[1]
            self._logits = torch.zeros(len(self._images), classes, device=self._start.device)
        if changes is not None:
            self._keep(changes)
        self._start.zero_()
        for begin in range(0, len(self._images), self._batch_size):
            size = min(self._batch_size, len(self._images) - begin)
            self._graph(size, self._logits, self._changes if changes is not None else None).replay()
        return self._logits

    def _keep(self, changes: Changes) -> None:
        """Copy the changes to where the graphs read them."""
        if self._changes is None:
            self._changes = changes.with_tables({name: table.clone() for name, table in changes.tables().items()})
            return
        for name, table in changes.tables().items():
            self._changes.tables()[name].copy_(table)

    def _graph(self, size: int, logits: torch.Tensor, changes: Changes | None) -> Graph:
        key = size, changes is not None
        if key not in self._graphs:

            def work() -> None:
                index = self._start + self._places[:size]
                images, _ = self._images.batch(index, changes)
                logits.index_copy_(0, index, self._arithmetic.logits(self._model, images))
                self._start.add_(size)

            graph = self._new_graph()
            graph.capture(work, [self._start])
            self._graphs[key] = graph
        return self._graphs[key]
