"""How many training images a study uses, holds out and takes a step: free of numpy, so known before any is read."""

from kdtune.errors import UsageError


def held_out_images(images: int, validation: float | int) -> int:
    """How many of so many images are held out: a number (int) as it is, or a fraction (float) of all."""
    return validation if isinstance(validation, int) else round(validation * images)


def used_images(images: int, train_limit: int | None) -> int:
    """How many training images are split; the limit None takes all."""
    return images if train_limit is None else train_limit


def batch_sizes(images: int, batch_size: int) -> list[int]:
    """Images in each step of an epoch.

    The last batch holds what is left over. A single image that is left over joins the batch before it: batch
    normalisation has no variance to compute from one value a channel, and a mean over one image would weigh that image
    as much as a whole batch. So no batch has a single image unless ``batch_size`` or ``images`` is 1.

    Args:
        images: Images in the training part.
        batch_size: Images in a full batch.
    """
    full, left = divmod(images, batch_size)
    sizes = [batch_size] * full
    if left == 1 and sizes:
        sizes[-1] += 1
    elif left:
        sizes.append(left)
    return sizes


def folds_last_image(images: int, batch_size: int) -> bool:
    """Whether the last batch of an epoch is one image larger than the others; see :func:`batch_sizes`."""
    return batch_sizes(images, batch_size)[-1] > batch_size


def split_problems(images: int, validation: float | int, train_limit: int | None = None) -> dict[str, str]:
    """Why a split cannot be, by the study's key that asks for it; empty where it can.

    Args:
        images: Training images that there are.
        validation: Number (int) or fraction (float) of them to hold out.
        train_limit: Size of the subset that is split; None takes all.
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
    """Refuse a split that the images which are there do not allow.

    Args:
        dataset: For the message.
        images: See :func:`split_problems`, and so are the others.
        validation: See there.
        train_limit: See there.

    Raises:
        UsageError: One of the parts would be empty, or there are fewer images than the limit.
    """
    for key, problem in split_problems(images, validation, train_limit).items():
        raise UsageError(f"{dataset}: {key}: {problem}")
