"""Checkpoints of a training: the last two are kept, and a damaged one is never gone on from."""

import copy
import hashlib
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch

from kdtune.storage.files import cannot_be_written, read_whole, replaced_atomically

#: The last one and the one before, in case the last cannot be read.
KEPT = 2

#: Seconds after which a checkpoint is due at the end of an epoch. A kill loses the work since the last checkpoint: this
#: at most, and one epoch, and the time that writing takes; so less than 10 s unless a single epoch takes longer.
LONGEST_S = 4.0

#: Writing may take this share of the time, so small networks, whose epochs are short, get checkpoints more often.
SHARE = 0.02

#: Begins every file; the hash of what follows it comes next. torch's own format does not notice flipped bits.
_MAGIC = b"kdtune1\n"
_HASH_BYTES = hashlib.sha256().digest_size


class CheckpointFolder:
    """The checkpoints of one trial, named by the number of epochs done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> Path:
        """Write a checkpoint atomically, and delete all but the last two.

        Raises:
            MachineError: The disk is full or not writable.
        """
        path = self.folder / f"epoch-{state['epoch']:06d}.pt"
        content = io.BytesIO()
        torch.save(state, content)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replaced_atomically(path) as file:
                file.write(_MAGIC + hashlib.sha256(content.getbuffer()).digest())
                file.write(content.getbuffer())
            for old in self.paths()[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_be_written(error, path) from None
        return path

    def paths(self) -> list[Path]:
        """Return the existing checkpoints, oldest first."""
        return sorted(self.folder.glob("epoch-*.pt"))

    def load_latest(self) -> dict[str, Any] | None:
        """Return the newest checkpoint that can be read, or None.

        Its tensors are on the CPU. ``load_state_dict`` moves those that belong on the training device; the states of
        generators have to stay on the CPU.
        """
        for path in reversed(self.paths()):
            try:
                raw = read_whole(path)
            except OSError:
                continue
            digest, content = raw[len(_MAGIC) :][:_HASH_BYTES], raw[len(_MAGIC) + _HASH_BYTES :]
            if not raw.startswith(_MAGIC) or hashlib.sha256(content).digest() != digest:
                continue
            try:
                state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            except Exception:  # not written by kdtune; the unpickler raises errors of any type
                continue
            if isinstance(state, dict) and type(state.get("epoch")) is int:
                return dict(state)
        return None


class ResumableTraining(Protocol):
    """The part of a training that :class:`CheckpointWriter` uses."""

    @property
    def done(self) -> bool:
        """Whether the last epoch has been trained."""

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state that the next epoch depends on. The next epoch may change its tensors."""


class CheckpointWriter:
    """Writes the checkpoints of one training on a thread, by elapsed time and after the last epoch.

    As a context manager it closes itself.
    """

    def __init__(self, folder: CheckpointFolder, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; the thread starts with the first checkpoint.

        Args:
            folder: Folder of the checkpoints.
            clock: Returns seconds since some moment.
        """
        self.folder = folder
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kdtune-checkpoints")
        self._write: Future[None] | None = None
        self._copied_at_s = clock()
        self._took_s = 0.0

    def epoch_done(self, training: ResumableTraining, *, is_last: bool = False) -> None:
        """Copy the training's state to the host and write it in the background, if a checkpoint is due.

        The last epoch's checkpoint is on the disk when this method returns. If a write is still in progress when the
        next checkpoint is due, this method waits for it, so that a slow disk cannot increase the loss through a kill.

        Args:
            training: Training that has just finished an epoch.
            is_last: Whether it stops after this epoch, although it may go on later.

        Raises:
            MachineError: This checkpoint or an earlier one could not be written.
        """
        if self._write and self._write.done():
            self._wait()
        is_last = is_last or training.done
        if is_last or self._clock() - self._copied_at_s >= min(LONGEST_S, self._took_s / SHARE):
            self._wait()
            self._copied_at_s = self._clock()
            self._write = self._thread.submit(self._save, on_the_host(training.state_dict()))
        if is_last:
            self._wait()

    def close(self) -> None:
        """Wait for the thread to end. A failure that no epoch has raised is dropped with the training."""
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _save(self, state: dict[str, Any]) -> None:
        began_s = self._clock()
        self.folder.save(state)
        self._took_s = self._clock() - began_s

    def _wait(self) -> None:
        write, self._write = self._write, None
        if write:
            write.result()


def on_the_host(value: Any) -> Any:
    """Return a copy of nested mappings and sequences, with their tensors copied to the CPU.

    A copy of a view is as small as the view; without it, torch writes the whole tensor behind a view to a file.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        copied: Any = copy.copy(value)  # of the same type, with its attributes: torch keeps versions of layers there
        for key in value:
            copied[key] = on_the_host(value[key])
        return copied
    if type(value) in (list, tuple):
        return type(value)(on_the_host(one) for one in value)
    return copy.deepcopy(value)
