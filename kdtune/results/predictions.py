"""``predictions.npz``: what the chosen models predict for each test image, an array a repeat."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from kdtune.data.arrays import NOT_AN_ARRAY
from kdtune.errors import ResultsError
from kdtune.storage.files import replaced_atomically

#: What numpy stumbles over in an archive that is none, or no more.
_NO_ARCHIVE = (BadZipFile, zlib.error, KeyError, IndexError, AttributeError, TypeError, RuntimeError)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Of every repeat that was tested, by ``seed_N``; none where there is no file.

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
            f"{path}: damaged ({str(error).partition(chr(10))[0]}); put a copy of it in its place, or delete it to do "
            "without the predictions of repeats that were tested before"
        ) from None


def add_predictions(path: Path, by_seed: Mapping[int, np.ndarray]) -> None:
    """Put further repeats' predictions beside those that there are.

    Raises:
        ResultsError: The file is damaged.
    """
    whole = read_predictions(path) | {f"seed_{seed}": predicted for seed, predicted in by_seed.items()}
    with replaced_atomically(path) as file:
        np.savez_compressed(file, **whole)  # type: ignore[arg-type]
