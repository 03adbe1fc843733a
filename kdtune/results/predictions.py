"""``predictions.npz`` and ``probabilities.npz``: the chosen models on the test images, one array for each repeat."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from kdtune.data.arrays import NOT_AN_ARRAY
from kdtune.errors import ResultsError
from kdtune.storage.files import replaced_atomically

#: Key of the true classes in ``probabilities.npz``.
LABELS = "labels"

#: Errors that numpy raises for a damaged archive.
_NO_ARCHIVE = (BadZipFile, zlib.error, KeyError, IndexError, AttributeError, TypeError, RuntimeError)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of each tested repeat by ``seed_N``; empty if the file does not exist.

    ``probabilities.npz`` also holds the true classes, as ``labels``.

    Raises:
        ResultsError: The file is damaged.
    """
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    except (*NOT_AN_ARRAY, *_NO_ARCHIVE) as error:
        raise ResultsError(
            f"{path}: damaged ({str(error).partition(chr(10))[0]}); replace it with an intact copy, or delete it and "
            "lose the predictions of repeats that have been tested"
        ) from None


def add_predictions(path: Path, by_seed: Mapping[int, np.ndarray], labels: np.ndarray | None = None) -> None:
    """Add the arrays of further repeats to the file.

    Args:
        path: The file.
        by_seed: The arrays.
        labels: The true classes, if the file is to hold them.

    Raises:
        ResultsError: The file is damaged.
    """
    whole = read_predictions(path) | {f"seed_{seed}": predicted for seed, predicted in by_seed.items()}
    if labels is not None:
        whole[LABELS] = labels
    with replaced_atomically(path) as file:
        np.savez_compressed(file, **whole)  # type: ignore[arg-type]
