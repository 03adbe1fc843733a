"""Turns any exception into an error that kdtune reports in one line."""

from kdtune.errors import KdtuneError
from kdtune.storage.files import cannot_be_written


def as_kdtune_error(error: BaseException) -> KdtuneError:
    """Returns the error that describes an exception in one line; a :class:`KdtuneError` is returned as it is."""
    if isinstance(error, KdtuneError):
        return error
    if isinstance(error, OSError):
        return cannot_be_written(error, "the disk")
    return KdtuneError(f"{type(error).__name__}: {error}")
