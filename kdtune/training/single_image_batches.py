"""Refuses a training whose steps would have one image each where its network needs more of them.

Batch normalisation computes a variance over the batch and the map. Where the map is 1x1 it needs two images.
"""

from collections.abc import Sequence

from kdtune.data.split_sizes import batch_sizes, held_out_images, used_images
from kdtune.errors import Fault, SpecError, UsageError
from kdtune.models.building import build_network, build_without_values
from kdtune.specs.component import Component
from kdtune.specs.study import Study

#: In the message of torch's normalisation layers for a batch that is too small.
_NEEDS_MORE = "more than 1 value per channel"


def check_batches(study: Study, images: int, *, trains_teacher: bool) -> None:
    """Refuse a study with a training that would fail in its first step, before anything is spent.

    Args:
        study: What is to run.
        images: Training images that there are, before some are held out.
        trains_teacher: Whether the study's teacher is to be trained.

    Raises:
        UsageError: Every training that would fail, by its key.
    """
    used = used_images(images, study.data.train_limit)
    train = used - held_out_images(used, study.validation)
    info = study.data_info
    trainings = [("training", study.student, study.training)]
    trainings += [("teacher_training", study.teacher, study.teacher_training)] if trains_teacher else []
    faults = []
    for key, network, training in trainings:
        try:
            check_step(network, train, training.batch_size, info.shape, info.classes)
        except UsageError as error:
            faults.append(Fault(f"study {study.name}", f"{key}.batch_size", str(error)))
    if faults:
        raise SpecError(faults)


def check_step(network: Component, images: int, batch_size: int, shape: Sequence[int], classes: int) -> None:
    """Refuse a training whose network cannot be trained on a single image, where that is what a step has.

    Args:
        network: The network.
        images: Images in the training part.
        batch_size: Images in a full batch.
        shape: Of an image: channels, height, width.
        classes: Logits of an image.

    Raises:
        UsageError: The training would fail; says what works.
    """
    if batch_sizes(images, batch_size)[-1] > 1 or _trains_on_one(network, shape, classes):
        return
    size = "x".join(map(str, shape))
    remedy = "hold out fewer, or use more" if images == 1 else "give 2 or more"
    raise UsageError(
        f"{network} cannot be trained on one image a step: on images of {size} its batch normalisation gets a single "
        f"value a channel; {remedy}"
    )


def _trains_on_one(network: Component, shape: Sequence[int], classes: int) -> bool:
    """Whether a training pass over one image is possible, found out without computing any of it."""
    import torch

    model = build_without_values(network, shape[0], classes).train()
    try:
        with torch.device("meta"):
            model(torch.zeros(1, *shape))
    except ValueError as error:
        return _NEEDS_MORE not in str(error)
    except Exception:  # a network that needs values: a pass over one image is computed
        return _computes_one(network, shape, classes)
    return True


def _computes_one(network: Component, shape: Sequence[int], classes: int) -> bool:
    """Return whether a training pass over one image is possible; what else may fail, the check of the network names."""
    import torch

    with torch.random.fork_rng(devices=[]):
        try:
            build_network(network, shape[0], classes).train()(torch.zeros(1, *shape))
        except Exception as error:
            return _NEEDS_MORE not in str(error)
    return True
