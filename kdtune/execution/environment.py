"""Environment variables while a study runs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

#: Prefixes of variables that users set for other programs and that would break or silently change a study, which has
#: its own settings for threads, precision and results, and whose workers rely on assertions.
HIDDEN = (
    *("CODECARBON_", "OMP_", "GOMP_", "KMP_AFFINITY", "KMP_BLOCKTIME", "MKL_NUM_THREADS", "MKL_DYNAMIC"),
    *("PYTHONOPTIMIZE", "PYTHONWARNINGS", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
)


@contextmanager
def environment(variables: Mapping[str, str], hidden: Iterable[str] = ()) -> Iterator[None]:
    """Set environment variables within the context and restore them afterwards.

    Args:
        variables: Variables to set unless the user has set them.
        hidden: Variables to remove first.
    """
    before = dict(os.environ)
    changed = set(hidden)
    for key in changed:
        del os.environ[key]
    for key, value in variables.items():
        if key not in os.environ:
            os.environ[key] = value
            changed.add(key)
    try:
        yield
    finally:
        for key in changed:
            if key in before:
                os.environ[key] = before[key]
            else:
                os.environ.pop(key, None)
