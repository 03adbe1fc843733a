"""Sizes of splits and batches, computed without numpy before any image is read."""

from collections.abc import Sequence

from kdtune.errors import UsageError


def held_out_images(images: int, validation: float | int) -> int:
    """Return how many images are held out: ``validation`` itself (int), or this fraction (float) of all images."""
    return validation if isinstance(validation, int) else round(validation * images)


def used_images(images: int, train_limit: int | None) -> int:
    """Return how many training images are used; a limit of None uses all."""
    return images if train_limit is None else train_limit


def batch_sizes(images: int, batch_size: int) -> list[int]:
    """Return the number of images in each step of an epoch.

    The last batch holds the remaining images. A single remaining image joins the batch before it: batch normalisation
    cannot compute a variance from one value per channel, and a mean over one image would give this image the weight of
    a whole batch. No batch therefore has a single image unless ``batch_size`` or ``images`` is 1.

    Args:
        images: Number of images in the training part.
        batch_size: Number of images in a full batch.
    """
    full, left = divmod(images, batch_size)
    sizes = [batch_size] * full
    if left == 1 and sizes:
        sizes[-1] += 1
    elif left:
        sizes.append(left)
    return sizes


def folds_last_image(images: int, batch_size: int) -> bool:
    """Return whether the last batch of an epoch is one image larger than the others; see :func:`batch_sizes`."""
    return batch_sizes(images, batch_size)[-1] > batch_size


def split_problems(images: int, validation: float | int, train_limit: int | None = None) -> dict[str, str]:
    """Return what is wrong with a split, by key of the study; empty if the split is possible.

    Args:
        images: Number of available training images.
        validation: Number (int) or fraction (float) of images to hold out.
        train_limit: Size of the subset to split; None uses all.
    """
    if train_limit is not None and train_limit > images:
        return {"data.train_limit": f"has to be at most {images}, all that there are, got {train_limit}"}
    used = used_images(images, train_limit)
    held = held_out_images(used, validation)
    if 0 < held < used:
        return {}
    problem = (
        f"holding out {held} of {used} training images leaves one part empty; "
        "give a fraction such as 0.1 or a smaller number"
    )
    return {"validation": problem}


def check_split(dataset: str, images: int, validation: float | int, train_limit: int | None = None) -> None:
    """Refuse a split that is impossible with the available images.

    Args:
        dataset: Name of the data set, for the message.
        images: See :func:`split_problems`.
        validation: See :func:`split_problems`.
        train_limit: See :func:`split_problems`.

    Raises:
        UsageError: One of the parts would be empty, or there are fewer images than the limit.
    """
    for key, problem in split_problems(images, validation, train_limit).items():
        raise UsageError(f"{dataset}: {key}: {problem}")


def normalisation_problem(channels: int, normalisation: tuple[Sequence[float], Sequence[float]] | None) -> str | None:
    """Say what is wrong with a given mean and standard deviation; None if nothing is.

    Args:
        channels: Of the images.
        normalisation: Mean and standard deviation of each channel; None if they are computed.
    """
    if normalisation is None or len(normalisation[0]) == channels:
        return None
    return f"the images have {channels} channels, but {len(normalisation[0])} numbers are given; give one for each"
