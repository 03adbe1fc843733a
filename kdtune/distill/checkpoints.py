"""Checkpoints of a training: the last two are kept, and a damaged one is never gone on from."""

import pickle
from pathlib import Path
from typing import Any

import torch

from kdtune.files import replaced_atomically

#: The last one and the one before, in case the last cannot be read.
KEPT = 2

#: What torch.load raises on a file that is cut short, has flipped bits or is none of ours.
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)


class CheckpointFolder:
    """The checkpoints of one trial, named by the number of epochs done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, and drop those before the last two.

        It is not forced to the disk: after a power cut an older one is gone on from, which costs an epoch.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"epoch-{state['epoch']:06d}.pt"
        with replaced_atomically(path, sync=False) as file:
            torch.save(state, file)
        for old in self.paths()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def paths(self) -> list[Path]:
        """The checkpoints there are, oldest first."""
        return sorted(self.folder.glob("epoch-*.pt"))

    def load_latest(self, device: torch.device) -> dict[str, Any] | None:
        """The newest checkpoint that can be read, None where there is none."""
        for path in reversed(self.paths()):
            try:
                state = torch.load(path, map_location=device, weights_only=True)
            except UNREADABLE:
                continue
            if isinstance(state, dict) and {"epoch", "metrics", "model", "optimizer", "policy"} <= state.keys():
                return state
        return None
