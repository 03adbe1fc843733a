"""``predictions.npz``: the classes that the chosen models predict for the test images, one array for each repeat."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from kdtune.data.arrays import NOT_AN_ARRAY
from kdtune.errors import ResultsError
from kdtune.storage.files import replaced_atomically

#: Errors that numpy raises for a damaged archive.
_NO_ARCHIVE = (BadZipFile, zlib.error, KeyError, IndexError, AttributeError, TypeError, RuntimeError)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Return the predictions of each tested repeat by ``seed_N``; empty if the file does not exist.

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


def add_predictions(path: Path, by_seed: Mapping[int, np.ndarray]) -> None:
    """Add the predictions of further repeats to the file.

    Raises:
        ResultsError: The file is damaged.
    """
    whole = read_predictions(path) | {f"seed_{seed}": predicted for seed, predicted in by_seed.items()}
    with replaced_atomically(path) as file:
        np.savez_compressed(file, **whole)  # type: ignore[arg-type]
