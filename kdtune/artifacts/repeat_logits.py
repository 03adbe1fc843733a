"""Computing, storing and reading the teacher's logits for the repeats of a study."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from kdtune.artifacts.logit_store import LogitShape, LogitStore, store_folder
from kdtune.data.batches import ImageSet
from kdtune.data.device_transfer import moved
from kdtune.specs.study import Setting
from kdtune.specs.teacher_identity import logits_key
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.cuda_graphs import graph_maker
from kdtune.training.numerics import Arithmetic
from kdtune.training.step_listener import step_taken
from kdtune.training.teacher_logits import LiveTeacher


class RepeatLogits:
    """Computes, stores and reads logits. Keeps one epoch's logits and the captured passes of the teacher in memory."""

    def __init__(
        self, study: Setting, train: ImageSet, output_size: int, arithmetic: Arithmetic, *, captures: bool
    ) -> None:
        """Prepare for one study.

        Args:
            study: The study.
            train: Its training images, on the device.
            output_size: Number of outputs of the teacher for an image.
            arithmetic: Precision and memory layout of the teacher's passes.
            captures: Whether the passes are captured as CUDA graphs.
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
        """Return the store of a repeat, which need not exist yet.

        Args:
            seed: Seed of the repeat.
            teacher_key: Name of the teacher's folder.
        """
        study = self._study
        # Without augmentation the images, and so the logits, are the same in every epoch and every repeat.
        changing = bool(study.training.augment)
        epochs = study.training.epochs if changing else 1
        key = logits_key(study, teacher_key, epochs, seed if changing else None)
        shape = LogitShape(epochs, len(self._train), self._output_size)
        return LogitStore(store_folder(f"{study.dataset.slug}-{study.teacher.slug}", key), shape)

    def fill(self, store: LogitStore, teacher: torch.nn.Module, seed: int, epochs: Sequence[int]) -> None:
        """Compute and store the logits of the given epochs of a repeat.

        Args:
            store: Store of the repeat, already created.
            teacher: Frozen teacher on the device; the same in every call.
            seed: Seed of the repeat.
            epochs: Epochs of the store, counted from 0.

        Raises:
            KdtuneError: The disk has too little space.
        """
        for epoch in epochs:
            while not store.fill(epoch, self._computed(teacher, seed, epoch)):
                pass  # at most once more, in float32

    def _computed(self, teacher: torch.nn.Module, seed: int, epoch: int) -> Iterator[np.ndarray]:
        train, augment = self._train, self._study.training.augment
        if self._captures:
            if self._passes is None:
                new_graph = graph_maker(self._device)
                self._passes = CapturedLogits(teacher, train, train.pass_size, self._arithmetic, new_graph)
            for logits in self._passes.of_all(train.epoch_changes(augment, seed, epoch)).split(train.pass_size):
                yield logits.cpu().numpy()
                step_taken()
            return
        live = LiveTeacher(teacher, self._arithmetic)
        for index in torch.arange(len(train), device=self._device).split(train.pass_size):
            yield live(train.changed(index, augment, seed, epoch), index).cpu().numpy()
            step_taken()

    def rows(self, store: LogitStore, epoch: int) -> torch.Tensor:
        """Return an epoch's logits on the device, (images, classes); several threads may call it at the same time.

        The logits stay in memory until another epoch is read: without augmentation all epochs are the same.

        Raises:
            MachineError: The logits are missing or damaged.
        """
        key, kept = (store.folder, epoch % store.shape.epochs), self._rows
        if kept is None or kept[0] != key:
            self._rows = kept = key, moved(torch.from_numpy(np.array(store.rows(epoch))), self._device)
        return kept[1]
