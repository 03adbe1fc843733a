"""How many training images a study uses and holds out, before any is read: free of numpy, so known at once."""

from kdtune.errors import UsageError


def held_out_images(images: int, validation: float | int) -> int:
    """How many of so many images are held out: a number (int) as it is, or a fraction (float) of all."""
    return validation if isinstance(validation, int) else round(validation * images)


def split_problems(images: int, validation: float | int, train_limit: int | None = None) -> dict[str, str]:
    """Why a split cannot be, by the study's key that asks for it; empty where it can.

    Args:
        images: Training images that there are.
        validation: Number (int) or fraction (float) of them to hold out.
        train_limit: Size of the subset that is split; None takes all.
    """
    if train_limit is not None and train_limit > images:
        return {"data.train_limit": f"has to be at most {images}, all that there are, got {train_limit}"}
    used = images if train_limit is None else train_limit
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
