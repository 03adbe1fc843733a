"""Refuses trainings with one image per step if the network's batch normalisation needs more.

Batch normalisation computes a variance over the batch and the map. Where the map is 1x1 it needs two images.
"""

from collections.abc import Callable, Sequence

from kdtune.errors import Fault, SpecError, UsageError
from kdtune.specs.component import Component
from kdtune.specs.split_sizes import batch_sizes, held_out_images, used_images
from kdtune.specs.study import Study
from kdtune.specs.synthetic_data import synthetic_images
from kdtune.tasks.loading import task_of
from kdtune.tasks.task import Task

#: In the message of torch's normalisation layers for a batch that is too small.
_NEEDS_MORE = "more than 1 value per channel"


def check_batches(study: Study, images: int, *, trains_teacher: bool) -> None:
    """Refuse a study with a training that would fail in its first step, before energy is spent.

    Args:
        study: The study.
        images: Number of training images before some are held out.
        trains_teacher: Whether the study trains its teacher.

    Raises:
        SpecError: A training would fail; one fault for each, with its key.
    """
    used = used_images(images, study.data.train_limit)
    train = used - held_out_images(used, study.validation)
    seen = synthetic_images(study)[0] if study.synthesis else train
    trainings = [("training", study.student, study.training, seen)]
    trainings += [("teacher_training", study.teacher, study.teacher_training, train)] if trains_teacher else []
    faults = []
    for key, network, training, images in trainings:
        try:
            check_step(network, images, training.batch_size, study.data_info.shape, lambda: task_of(study))
        except UsageError as error:
            faults.append(Fault(f"study {study.name}", f"{key}.batch_size", str(error)))
    if faults:
        raise SpecError(faults)


def check_step(
    network: Component, images: int, batch_size: int, shape: Sequence[int], task: Callable[[], Task]
) -> None:
    """Refuse a training with single-image steps if the network cannot be trained on one image.

    Without such a step, this does not import torch, which takes seconds.

    Args:
        network: The network.
        images: Images in the training part.
        batch_size: Images in a full batch.
        shape: Shape of an image: channels, height, width.
        task: Returns the task for which the network is trained.

    Raises:
        UsageError: The training would fail; the message names a remedy.
    """
    if batch_sizes(images, batch_size)[-1] > 1 or _trains_on_one(network, shape, task()):
        return
    size = "x".join(map(str, shape))
    remedy = "hold out fewer, or use more" if images == 1 else "give 2 or more"
    raise UsageError(
        f"{network} cannot be trained on one image a step: on images of {size} its batch normalisation gets a single "
        f"value a channel; {remedy}"
    )


def _trains_on_one(network: Component, shape: Sequence[int], task: Task) -> bool:
    """Return whether a training pass over one image is possible, by a pass on the meta device."""
    import torch

    from kdtune.models.building import build_without_values

    def build() -> torch.nn.Module:
        return task.network(network, shape).train()

    model = build_without_values(build)
    try:
        with torch.device("meta"):
            model(torch.zeros(1, *shape))
    except ValueError as error:
        return _NEEDS_MORE not in str(error)
    except Exception:  # a network that needs values: a pass over one image is computed
        with torch.random.fork_rng(devices=[]):
            try:
                build()(torch.zeros(1, *shape))
            except Exception as error:  # what else may fail, the check of the network reports
                return _NEEDS_MORE not in str(error)
    return True
