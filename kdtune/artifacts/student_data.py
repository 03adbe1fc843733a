"""The images that students of a study without data are trained and selected on."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kdtune.artifacts.image_facts import facts_of, write_sheet
from kdtune.artifacts.synthetic_images import FORMAT, MadeImages, SyntheticImages, images_folder
from kdtune.artifacts.teacher_record import read_record
from kdtune.catalog.builtin_syntheses import SYNTHESES
from kdtune.data.batches import ImageSet, Splits, image_set
from kdtune.data.splits import stratified_split
from kdtune.errors import KdtuneError, UsageError
from kdtune.specs.component import identity_of
from kdtune.specs.identity import digest
from kdtune.specs.synthetic_data import synthetic_images
from kdtune.storage.files import TRAINING, exclusive_lock, replaced_atomically
from kdtune.synthesis.base import Options, Synthesizer
from kdtune.synthesis.inverted_network import InvertedNetwork, statistics_layers

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext

#: Stands for the mean and the deviation of a teacher's images while there is no teacher yet.
_ANY_NORMALISATION = (0.5, 0.25)


def synthesizer_of(context: "TrainingContext[Any]") -> Synthesizer:
    """Return what makes the images of a study."""
    return synthesizer_with(context)


def synthesizer_with(context: "TrainingContext[Any]", options: Options | None = None) -> Synthesizer:
    """Return what makes images, with other options than the study's if they are given."""
    component = context.study.synthesis
    assert component is not None
    kind = SYNTHESES.load(component.name, component.digest)
    options = options or kind.Options.model_validate(component.options)
    made: Synthesizer = kind(options, context.task.output_size, context.image_shape)
    return made


def store_of(context: "TrainingContext[Any]") -> SyntheticImages:
    """Return the store of a study's images, which need not exist yet."""
    study, synthesizer = context.study, synthesizer_of(context)
    assert study.synthesis is not None
    component, options = study.synthesis, synthesizer.common
    if options.trial_batches:  # the shared images are those of the study without an adversarial term
        shared = options.of_shared().model_dump(mode="json", exclude_none=True)
        component = component.model_copy(update={"options": shared})
    depends_on = {
        "teacher": context.teacher_folder.name,
        "synthesis": identity_of(component),
        "shape": context.image_shape,
        "classes": context.task.output_size,
        "format": FORMAT,
    }
    name = f"{study.dataset.slug}-{study.teacher.slug}-{study.synthesis.slug}"
    return SyntheticImages(images_folder(name, digest(depends_on)[:16]), len(options.batches))


def check_teacher(context: "TrainingContext[Any]") -> None:
    """Refuse a teacher from which the study's method cannot make images.

    Raises:
        UsageError: It has no batch normalisation with running statistics.
    """
    study = context.study
    if not synthesizer_of(context).needs_batch_norm or statistics_layers(context.untrained_teacher()):
        return
    raise UsageError(
        f"teacher {study.teacher}: {study.synthesis.name if study.synthesis else ''} compares with the running "
        "statistics of batch normalisation, of which this network has none; use a teacher with batch normalisation"
    )


def make_images(context: "TrainingContext[Any]", numbers: list[int]) -> None:
    """Make and save batches of a study's images, and complete the store once all are there."""
    store, synthesizer, teacher = store_of(context), synthesizer_of(context), inverted_teacher(context)
    if not synthesizer.independent and numbers:
        numbers = list(range(_continued(store, synthesizer, teacher), store.batches))
    for number in numbers:
        images, targets = synthesizer.make(number, teacher)
        confidences, labels = teacher.classified(images).softmax(1).max(1)
        arrays = (one.cpu().numpy() for one in (images, targets, labels, confidences))
        store.add(number, MadeImages(*arrays))
        synthesizer.remember(number, images, teacher)
        if state := synthesizer.state_dict():
            with replaced_atomically(store.state) as file:
                torch.save({"batches": number + 1, "method": state}, file)
    with exclusive_lock(store.folder, TRAINING):  # another worker may finish its last batch at the same time
        if store.record() is None and not store.missing():
            made, classes = store.all_batches(), context.task.output_size
            write_sheet(made, classes, store.sheet)
            store.finish(made, {**facts_of(made, classes), "flops": synthesis_flops(context)})


def synthesis_flops(context: "TrainingContext[Any]") -> int:
    """Return the FLOPs of making all images of a study."""
    synthesizer = synthesizer_of(context)
    return synthesizer.flops(context.macs(context.study.teacher), 0) * synthesizer.common.images


def _continued(store: SyntheticImages, synthesizer: Synthesizer, teacher: InvertedNetwork) -> int:
    """Restore a method whose batches depend on those before them; return the number of the next batch."""
    try:
        state = torch.load(store.state, map_location="cpu", weights_only=True)
        finished = int(state["batches"])
    except Exception:  # it is missing or damaged, and what torch raises then is not documented
        return 0
    known = [store.batch(number) for number in range(finished)]
    if any(one is None for one in known):
        return 0
    synthesizer.load_state_dict(state["method"])
    for number in range(max(0, finished - synthesizer.remembered), finished):
        images = torch.from_numpy(known[number].images)  # type: ignore[union-attr]
        synthesizer.remember(number, images.to(teacher.device), teacher)
    return finished


def inverted_teacher(context: "TrainingContext[Any]", *, untrained: bool = False) -> InvertedNetwork:
    """Return the study's teacher, or an untrained one, through which gradients flow back to images."""
    teacher = context.untrained_teacher() if untrained else context.teacher
    return InvertedNetwork(teacher, context.arithmetic, *_normalisation(context, may_be_any=untrained))


def _normalisation(context: "TrainingContext[Any]", *, may_be_any: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and deviation of the images on which the teacher was trained, float32, (channels, 1, 1) each.

    Raises:
        KdtuneError: The teacher's record does not contain them.
    """
    given = context.study.data.normalisation
    if given is None:
        record = read_record(context.teacher_folder) or {}
        given = (record["mean"], record["std"]) if record.get("mean") else None
    if given is None and may_be_any:
        given = tuple((one,) * context.image_shape[0] for one in _ANY_NORMALISATION)
    if given is None:
        raise KdtuneError(
            f"{context.teacher_folder}: the teacher's record lacks the mean and deviation of its images, since an "
            "earlier kdtune wrote it; give data.mean and data.std, or delete the folder to train the teacher again"
        )
    mean, std = (torch.tensor(one, dtype=torch.float32, device=context.device)[:, None, None] for one in given)
    return mean, std


def student_splits(context: "TrainingContext[Any]") -> Splits:
    """Return the parts for students: synthetic images for training, and the test part of the data set.

    Images that are missing are made first: somebody deleted them, or a trial runs in a pipeline without kdtune.
    """
    store = store_of(context)
    context.keep(store.folder)
    if store.record() is None:
        with exclusive_lock(store.folder):
            make_images(context, store.missing())
    made = store.read()
    held_out = synthetic_images(context.study)[1]
    train, held = stratified_split(made.labels, held_out, context.study.split_seed)
    return _with_parts(context, made.images, made.labels, train, held)


def test_part(context: "TrainingContext[Any]", *, may_be_any: bool = False) -> ImageSet:
    """Return the test part of the data set, normalised as the teacher's training images were.

    Args:
        context: The study's data and networks.
        may_be_any: Whether any normalisation will do while there is no teacher.
    """
    arrays, (mean, std) = context.arrays, _normalisation(context, may_be_any=may_be_any)
    rows, resident = np.arange(len(arrays.test_labels)), context.study.data.resident
    return image_set(arrays.test_images, arrays.test_labels, rows, mean, std, context.device, resident=resident)


def use_stand_ins(context: "TrainingContext[Any]") -> None:
    """Let a context measure and check a study before there are images; does nothing for a study on real images.

    Raises:
        UsageError: See :func:`check_teacher`.
    """
    if context.study.synthesis:
        # The stand-ins come first: without them, a later check of the same context would train the teacher.
        context.splits = stand_in_splits(context)
        check_teacher(context)


def stand_in_splits(context: "TrainingContext[Any]") -> Splits:
    """Return the same parts with noise in place of images, for measurements before there are images."""
    train, held = synthetic_images(context.study)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (train + held, *context.image_shape), np.uint8)
    labels = np.arange(train + held) % context.task.output_size
    rows = np.arange(train + held)
    return _with_parts(context, images, labels, rows[:train], rows[train:], may_be_any=True)


def _with_parts(
    context: "TrainingContext[Any]",
    images: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    *,
    may_be_any: bool = False,
) -> Splits:
    """Return the parts of a study; the validation part is real if the study selects by it."""
    mean, std = _normalisation(context, may_be_any=may_be_any)

    def part(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> ImageSet:
        return image_set(images, labels, rows, mean, std, context.device, resident=context.study.data.resident)

    test = test_part(context, may_be_any=may_be_any)
    if context.study.selection == "synthetic":
        return Splits(part(images, labels, train), part(images, labels, held), test)
    real = context.teacher_splits.validation
    return Splits(part(images, labels, train), ImageSet(real.images, real.labels, mean, std), test)
