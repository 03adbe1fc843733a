"""The teacher's logits of a study's repeats: which store keeps them, how they are computed, and how they are read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from kdtune.artifacts.logit_store import LogitStore, Shape, store_folder
from kdtune.data.batches import ImageSet
from kdtune.data.device_transfer import moved
from kdtune.specs.study import Setting
from kdtune.specs.teacher_identity import logits_key
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.evaluation import BATCH_SIZE
from kdtune.training.graphs import graph_maker
from kdtune.training.numerics import Arithmetic
from kdtune.training.step_listener import step_taken
from kdtune.training.teacher_logits import LiveTeacher


class RepeatLogits:
    """Keeps one epoch's logits on the device, and the teacher's captured passes."""

    def __init__(
        self, study: Setting, train: ImageSet, output_size: int, arithmetic: Arithmetic, *, captures: bool
    ) -> None:
        """Prepare for one study.

        Args:
            study: The study.
            train: Its training images, on the device.
            output_size: Numbers that the teacher puts out for an image.
            arithmetic: Precision and memory layout of the teacher's passes.
            captures: Whether the passes are captured as graphs.
        """
        self._study = study
        self._train = train
        self._output_size = output_size
        self._arithmetic = arithmetic
        self._captures = captures
        self._device = train.images.device
        self._passes: CapturedLogits | None = None
        self._rows: tuple[tuple[Path, int], torch.Tensor] | None = None

    def store(self, seed: int, teacher_key: str) -> LogitStore:
        """Where the logits for a repeat are kept, or will be.

        Args:
            seed: Of the repeat.
            teacher_key: Name of the teacher's folder.
        """
        study = self._study
        # Without random changes the images, and so the logits, are the same in every epoch and every repeat.
        changing = bool(study.training.augment)
        epochs = study.training.epochs if changing else 1
        key = logits_key(study, teacher_key, epochs, seed if changing else None)
        shape = Shape(epochs, len(self._train), self._output_size)
        return LogitStore(store_folder(f"{study.dataset.slug}-{study.teacher.slug}", key), shape)

    def fill(self, store: LogitStore, teacher: torch.nn.Module, seed: int, epochs: Sequence[int]) -> None:
        """Compute the logits of some epochs of a repeat, and keep them.

        Args:
            store: Where to keep them; has been created.
            teacher: Frozen, on the device; the same in every call.
            seed: Of the repeat.
            epochs: Of the store, counted from 0.

        Raises:
            KdtuneError: The disk cannot hold them.
        """
        for epoch in epochs:
            while not store.fill(epoch, self._computed(teacher, seed, epoch)):
                pass  # once: what float16 cannot hold, float32 can

    def _computed(self, teacher: torch.nn.Module, seed: int, epoch: int) -> Iterator[np.ndarray]:
        train, augment = self._train, self._study.training.augment
        if self._captures:
            if self._passes is None:
                new_graph = graph_maker(self._device)
                self._passes = CapturedLogits(teacher, train, BATCH_SIZE, self._arithmetic, new_graph)
            for logits in self._passes.of_all(train.epoch_changes(augment, seed, epoch)).split(BATCH_SIZE):
                yield logits.cpu().numpy()
                step_taken()
            return
        live = LiveTeacher(teacher, self._arithmetic)
        for index in torch.arange(len(train), device=self._device).split(BATCH_SIZE):
            yield live(train.changed(index, augment, seed, epoch), index).cpu().numpy()
            step_taken()

    def rows(self, store: LogitStore, epoch: int) -> torch.Tensor:
        """An epoch's logits on the device, (images, classes); may be called by several threads at once.

        They are kept until another epoch's are asked for: without random changes all epochs are the same.

        Raises:
            MachineError: They are not there, or damaged.
        """
        key, kept = (store.folder, epoch % store.shape.epochs), self._rows
        if kept is None or kept[0] != key:
            self._rows = kept = key, moved(torch.from_numpy(np.array(store.rows(epoch))), self._device)
        return kept[1]
