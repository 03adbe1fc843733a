"""Checkpoints of a training: the last two are kept, and a damaged one is never gone on from."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from kdtune.storage.files import cannot_be_written, read_whole, replaced_atomically

#: The last one and the one before, in case the last cannot be read.
KEPT = 2

#: Begins every file; the hash of what follows it comes next. torch's own format does not notice flipped bits.
_MAGIC = b"kdtune1\n"
_HASH_BYTES = hashlib.sha256().digest_size


class CheckpointFolder:
    """The checkpoints of one trial, named by the number of epochs done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, and drop those before the last two.

        It is not forced to the disk: after a power cut an older one is gone on from, which costs an epoch.

        Raises:
            MachineError: The disk is full, or cannot be written.
        """
        path = self.folder / f"epoch-{state['epoch']:06d}.pt"
        content = io.BytesIO()
        torch.save(state, content)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replaced_atomically(path, sync=False) as file:
                file.write(_MAGIC + hashlib.sha256(content.getbuffer()).digest())
                file.write(content.getbuffer())
            for old in self.paths()[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_be_written(error, path) from None
        return path

    def paths(self) -> list[Path]:
        """The checkpoints there are, oldest first."""
        return sorted(self.folder.glob("epoch-*.pt"))

    def load_latest(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read, None where there is none.

        Its tensors are on the CPU: ``load_state_dict`` moves what belongs on the training device, and generator states
        have to stay.
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
            except Exception:  # nobody's checkpoint but for its hash; the unpickler raises what it likes
                continue
            if isinstance(state, dict) and type(state.get("epoch")) is int:
                return dict(state)
        return None
