"""Images that stay memory-mapped on the host and reach the training device batch by batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from kdtune.data.device_transfer import moved

#: Batches that are read before they are asked for.
AHEAD = 3


class HostImages:
    """Takes the place of a tensor of all images in :class:`kdtune.data.batches.ImageSet`, where they do not fit."""

    def __init__(self, array: np.ndarray, rows: np.ndarray, device: torch.device) -> None:
        """Select images; none is read yet.

        Args:
            array: uint8, (N, channels, height, width), memory-mapped.
            rows: The rows of ``array`` that belong to this part, int64, (n,).
            device: Where batches are needed.
        """
        self._array = array
        self._rows = rows
        self.device = device
        self.shape = torch.Size((len(rows), *array.shape[1:]))

    def __getitem__(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Return images on the device, uint8, (n, channels, height, width)."""
        place = index if isinstance(index, slice) else index.cpu().numpy()
        return moved(self._read(self._rows[place]), self.device)

    def index_select(self, dim: int, index: torch.Tensor) -> torch.Tensor:
        """Return images as :func:`torch.index_select` does; ``dim`` has to be 0."""
        assert dim == 0
        return self[index]

    def fetched(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield one batch after the other on the device, while a thread reads those that follow.

        Args:
            batches: Numbers of the images of each batch, int64, (n,).
        """
        numbers = torch.cat(tuple(batches)).cpu().split([len(batch) for batch in batches])  # one transfer for all
        waiting: deque[Future[torch.Tensor]] = deque()
        with ThreadPoolExecutor(1, "images") as pool:
            for index in numbers:
                waiting.append(pool.submit(self._read, self._rows[index.numpy()]))
                if len(waiting) > AHEAD:
                    yield moved(waiting.popleft().result(), self.device)
            while waiting:
                yield moved(waiting.popleft().result(), self.device)

    def _read(self, rows: np.ndarray) -> torch.Tensor:
        images = torch.from_numpy(np.asarray(self._array[rows]))
        if self.device.type != "cuda":
            return images
        with torch.cuda.device(self.device):
            return images.pin_memory()
